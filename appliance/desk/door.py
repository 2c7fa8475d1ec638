"""Who comes in: the session of a request, the checks before a page, the headers after it."""

from io import BytesIO
from typing import IO, Any, Final, cast
from urllib.parse import urlsplit

from flask import Flask, Request, Response, current_app, g, redirect, request, url_for
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Response as Answer

from ..deeds.staff import Role
from ..domain.errors import Code, Problem
from .guard import FORM_LIMIT, UPLOAD_SLACK, is_from_here, protect
from .parts import DeskParts
from .sessions import Session, Sessions, new_token

_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_OPEN: Final = ("entrance.log_in", "entrance.set_up", "entrance.language", "static")
"""Endpoints for those who are not logged in."""
_ADMIN_ONLY: Final = ("office.practice", "office.users", "office.add_user", "office.remove_user")


class InMemoryRequest(Request):
    """werkzeug would spool larger uploads into a temporary file, where a report would lie readable."""

    def _get_file_stream(
        self,
        total_content_length: int | None,  # noqa: ARG002
        content_type: str | None,  # noqa: ARG002
        filename: str | None = None,  # noqa: ARG002
        content_length: int | None = None,  # noqa: ARG002
    ) -> IO[bytes]:
        return BytesIO()


class _Id(BaseConverter):
    """An id in an address: anything else is no page."""

    regex = "[0-9a-f]{32}"


def set_up(app: Flask, parts: DeskParts) -> None:
    app.extensions["parts"] = parts
    app.extensions["sessions"] = Sessions(parts.now)
    app.url_map.converters["id"] = _Id
    https = urlsplit(parts.desk_url).scheme == "https"

    @app.before_request
    def _check() -> Any:
        cookie = request.cookies.get(cookie_name(parts), "")
        live = request.headers.get("X-Live") == "1"  # a page looking for news is nobody at the keyboard
        session = sessions_of(app).find(cookie, touch=not live)
        role = parts.staff.role(session.user_id) if session else None
        if session and role is None:
            sessions_of(app).close(session)
            session = None
        g.session, g.role, g.visitor = session, role, cookie or new_token()
        request.max_content_length = parts.reports.limit + UPLOAD_SLACK if session else FORM_LIMIT
        if request.endpoint is None:
            return None  # there is no such page, for anybody
        if session is None and request.endpoint not in _OPEN:
            return redirect(url_for("entrance.log_in"), 303)
        if request.method not in _SAFE and not (
            is_from_here(request) and sessions_of(app).is_form_token(cookie, request.form.get("form", ""))
        ):
            raise Problem(Code.FORBIDDEN, "This form is too old or did not come from here. Go back, reload the page and try again.")
        if request.endpoint in _ADMIN_ONLY and role is not Role.ADMIN:
            raise Problem(Code.FORBIDDEN, "This page is for admins. Ask the admin of your practice.")
        return None

    @app.after_request
    def _protect(response: Response) -> Response:
        visitor = g.get("visitor")
        if visitor and request.endpoint != "static" and visitor != request.cookies.get(cookie_name(parts)):
            keep(response, visitor)
        return protect(response, https=https)


def cookie_name(parts: DeskParts) -> str:
    """Browsers take the safe name over https only."""
    return "__Host-desk" if parts.desk_url.startswith("https:") else "desk"


def keep(response: Answer, token: str) -> None:
    """Let the browser hold this token."""
    parts = the_parts()
    secure = parts.desk_url.startswith("https:")
    response.set_cookie(cookie_name(parts), token, path="/", secure=secure, httponly=True, samesite="Strict")


def the_parts() -> DeskParts:
    return cast(DeskParts, current_app.extensions["parts"])


def sessions_of(app: Flask) -> Sessions:
    return cast(Sessions, app.extensions["sessions"])


def the_sessions() -> Sessions:
    return sessions_of(current_app)


def session() -> Session:
    """The session of this request. Only for pages behind the login."""
    found: Session | None = g.session
    if found is None:
        raise Problem(Code.UNAUTHENTICATED, "Please log in.")
    return found


def actor() -> str:
    return session().user_id
