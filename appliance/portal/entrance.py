"""The way in and out: code, password, session, log-out."""

from collections.abc import Callable
from typing import Final

from flask import Blueprint, g, redirect, request, url_for
from werkzeug import Response

from ..deeds.opening import Closed, Later, Opening, Visit, Wrong
from ..domain.codes import INPUT_LIMIT, read_code
from ..domain.share import Grant, ShareState
from . import guard
from .pages import current_session, language, page, speak
from .reading import who_reads
from .sessions import Session, Sessions

CLOSED_PAGES: Final = {
    ShareState.EXPIRED: "expired.html",
    ShareState.REVOKED: "revoked.html",
    ShareState.NOT_YET: "not-yet.html",
    ShareState.LOCKED: "locked.html",
}


def routes(opening: Opening, sessions: Sessions, is_from_here: Callable[[], bool]) -> Blueprint:
    """The pages before the password, and the small calls that a session's pages make."""
    way = Blueprint("entrance", __name__)
    who = who_reads(opening, sessions)

    @way.get("/")
    def start() -> Response:
        return page("start.html")

    @way.post("/")
    def typed() -> Response:
        code = read_code(request.form.get("code", ""))
        return page("start.html", 422, typo=True) if code is None else redirect(url_for(".letter", code=code), 303)

    @way.get("/s/<code>")
    def letter(code: str) -> Response:
        """The same page for every code that can be one, known or not: nothing is looked up."""
        read = read_code(code)
        if read is None:
            return page("start.html", 404, typo=True)
        return page("password.html", code=read) if read == code else redirect(url_for(".letter", code=read), 308)

    @way.post("/s/<code>")
    def try_password(code: str) -> Response:
        read, password = read_code(code), request.form.get("password", "")[:INPUT_LIMIT]
        if read is None:
            return page("start.html", 404, typo=True)
        if not is_from_here():
            return page("password.html", 403, code=read, problem="foreign")
        if not any(sign.isalnum() for sign in password):
            return page("password.html", 422, code=read, problem="empty")
        device = request.cookies.get(guard.DEVICE_COOKIE, "")[:INPUT_LIMIT] or None
        match opening.open(read, password, prefix=guard.network(request.remote_addr or ""), device=device):
            case Visit() as visit:
                return _welcome(visit)
            case Closed(state, record):
                speak(record.language)
                return page(CLOSED_PAGES[state], 403, about=record)
            case Later(seconds, busy):
                answer = page("password.html", 503 if busy else 429, code=read, problem="busy" if busy else "wait", seconds=seconds)
                answer.headers["Retry-After"] = str(seconds)
                return answer
            case Wrong():
                return page("password.html", 403, code=read, problem="wrong")

    def _welcome(visit: Visit) -> Response:
        if old := current_session():
            sessions.close(old, "another letter opened")
        grant = opening.grant(visit.proof)
        if isinstance(grant, Grant):
            speak(grant.record.language)
        token = sessions.open(visit, language())
        g.session = sessions.find(token)
        answer = redirect(url_for("reading.worklist"), 303)
        guard.set_cookie(answer, guard.SESSION_COOKIE, token)
        guard.set_cookie(answer, guard.DEVICE_COOKIE, visit.device, days=guard.DEVICE_DAYS)
        return answer

    @way.post("/logout")
    def logout() -> Response:
        # Without the form's token: a page from before the last log-in must log out too, and no other site can do more harm by it.
        if not is_from_here():
            return page("problem.html", 403, code=403, text=None)
        if session := current_session():
            sessions.close(session, "logged out")
        g.session = None
        answer = redirect(url_for(".ended", lang=language()), 303)
        guard.delete_cookie(answer, guard.SESSION_COOKIE)
        # Not "cookies": that would take those of the practice's other sites along (Clear Site Data, 3.1).
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    @way.get("/ended")
    def ended() -> Response:
        return page("ended.html")

    @way.post("/here")
    def here() -> Response:
        """A page's heartbeat: 403 when session or letter have ended. Answers the seconds that are left unless its reader does something."""
        session = _sender()
        if session is None:
            return Response(status=403)
        who()
        active = request.form.get("active") == "1"
        return Response(str(sessions.page_here(session, _page_id(), active=active)), mimetype="text/plain")

    @way.post("/gone")
    def gone() -> Response:
        """A page's good-bye."""
        if session := _sender():
            sessions.page_gone(session, _page_id())
        return Response(status=204)

    def _sender() -> Session | None:
        """The session whose own page sent this form."""
        session, token = current_session(), request.form.get("token", "")[:INPUT_LIMIT]
        return session if session and is_from_here() and sessions.is_form_token(session, token) else None

    def _page_id() -> str:
        return request.form.get("page", "")[:INPUT_LIMIT] or "-"

    return way
