"""The portal: the web pages on which a reader opens a letter. The only door that faces the internet.

It has no cookie but the session's and the device's, keeps sessions and study keys in memory only, and asks for each request
whether the letter is still open.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from flask import Flask, g, request
from werkzeug import Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ..deeds.delivery import Delivery
from ..deeds.opening import Opening, Visit
from ..domain.audit import Action
from ..domain.errors import Code, Problem
from ..language import sentence
from ..log import log
from ..registry.settings import Settings
from . import about, downloads, entrance, guard, pages, reading
from .reading import NoSession
from .sessions import Limits, Sessions

THREADS: Final = downloads.AT_ONCE + 16
"""So many requests are answered at once."""

_STATUS: Final = {
    Code.INVALID: 400,
    Code.UNAUTHENTICATED: 403,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.CONFLICT: 409,
    Code.TOO_LARGE: 413,
    Code.WAIT: 429,
    Code.UNAVAILABLE: 503,
    Code.DAMAGED: 500,
    Code.NO_SPACE: 503,
}


@dataclass(frozen=True, slots=True)
class PortalParts:
    """What the portal is made of. `public_url` is the address readers see, `language` and `timezone` the practice's own."""

    opening: Opening
    delivery: Delivery
    settings: Settings
    now: Callable[[], int]
    public_url: str
    language: str
    timezone: str
    limits: Limits = field(default_factory=Limits)


def create_app(parts: PortalParts) -> Flask:
    """The portal as a WSGI application."""
    app = Flask(__name__, static_folder=None)
    app.config.update(LANGUAGE=parts.language, MAX_CONTENT_LENGTH=guard.BODY_LIMIT, MAX_FORM_MEMORY_SIZE=guard.BODY_LIMIT)
    opening, practice = parts.opening, parts.settings.practice

    def left(visit: Visit, reason: str) -> None:
        try:
            opening.note(Action.SHARE_LEFT, visit, reason=reason)
        except Problem:
            log.warning("session's end not noted")

    sessions = Sessions(parts.limits, parts.now, left)
    pages.set_up(app, parts.now, practice, parts.timezone, sessions.form_token)

    @app.before_request
    def _who_is_it() -> None:
        g.session = sessions.find(request.cookies.get(guard.SESSION_COOKIE))
        if g.session and (chosen := pages.chosen_language()):
            g.session.language = chosen

    app.after_request(guard.protect)

    app.register_blueprint(about.routes())
    app.register_blueprint(entrance.routes(opening, sessions, lambda: guard.is_from_here(request, parts.public_url)))
    app.register_blueprint(reading.routes(opening, parts.delivery, sessions))
    app.register_blueprint(downloads.routes(opening, parts.delivery, sessions, practice, parts.now))
    _explain_refusals(app)
    return app


def _explain_refusals(app: Flask) -> None:
    """Every refusal as a page with a way on; none says more than its reader may know."""

    @app.errorhandler(NoSession)
    def _no_session(refusal: NoSession) -> Response:
        g.session = g.grant = None
        template = entrance.CLOSED_PAGES.get(refusal.reason, "ended.html") if refusal.reason else "ended.html"
        answer = pages.page(template, 403)
        if guard.SESSION_COOKIE in request.cookies:
            guard.delete_cookie(answer, guard.SESSION_COOKIE)
        return answer

    @app.errorhandler(Problem)
    def _problem(problem: Problem) -> Response:
        status = _STATUS[problem.code]
        if status >= 500:
            log.exception("request refused", code=problem.code)
        answer = _refusal(status, sentence(pages.language(), problem))
        if status == 503:
            answer.headers["Retry-After"] = "30"
        return answer

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        answer = _refusal(error.code or 500)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            answer.allow.update(error.valid_methods)  # RFC 9110, 15.5.6
        return answer

    @app.errorhandler(Exception)
    def _fault(_: Exception) -> Response:
        log.exception("request failed")
        return _refusal(500)


def _refusal(status: int, text: str | None = None) -> Response:
    return pages.page("problem.html", status, code=status, text=text)


__all__ = ["THREADS", "Limits", "PortalParts", "create_app"]
