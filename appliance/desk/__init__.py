"""The desk: where staff find a study, add its report and hand it to its patient by letter. For the practice's own network only."""

from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from threading import Event, Thread

from flask import Flask

from ..domain.errors import Problem
from ..log import log
from ..webserver import WebServer
from . import door, entrance, office, pages, refusals, shares, studies
from .guard import FORM_LIMIT, UPLOAD_SLACK
from .parts import DeskParts

THREADS = 16


def create_app(parts: DeskParts) -> Flask:
    """The desk as a WSGI application."""
    app = Flask(__name__, static_folder=None)
    app.request_class = door.InMemoryRequest
    app.config.update(MAX_FORM_MEMORY_SIZE=FORM_LIMIT, MAX_FORM_PARTS=64)
    door.set_up(app, parts)
    pages.set_up(app, parts)
    refusals.set_up(app)
    for part in (entrance, studies, shares, office):
        app.register_blueprint(part.blueprint)
    return app


def serve(
    parts: DeskParts,
    *,
    host: str,
    port: int,
    ready: Event,
    stop: Event,
    trusted_proxy: str | None = None,
    listening: Callable[[int], None] = lambda _: None,
) -> None:
    """Answer until `stop` is set. `listening` is told the port. Prints the one-time set-up link while there are no users."""
    app = create_app(parts)
    server = WebServer(app, host=host, port=port, threads=THREADS, body_limit=_body_limit(app, parts), trusted_proxy=trusted_proxy)
    if token := parts.staff.setup_token():
        # To the operator's terminal and nowhere else: a log keeps it longer than it is secret.
        print(f"Create the first user of the desk here (within 14 days): {parts.desk_url}/setup/{token}", flush=True)
        log.info("set-up link printed")
    Thread(target=_open_list, args=(parts, stop), daemon=True).start()
    listening(server.port)
    ready.set()
    server.run(stop)


def _open_list(parts: DeskParts, stop: Event) -> None:
    """Read the list before anybody asks for it: with thousands of studies that takes seconds. Again until the keyholder answers."""
    while not stop.is_set():
        try:
            parts.worklist.refresh()
        except Problem:
            stop.wait(1)
        else:
            return


def _body_limit(app: Flask, parts: DeskParts) -> Callable[[Mapping[str, str]], int]:
    """Only who is logged in may send a report; whoever else sends much is read to the end and not kept."""

    def limit(headers: Mapping[str, str]) -> int:
        try:
            cookie = SimpleCookie(headers.get("COOKIE", "")).get(door.cookie_name(parts))
        except CookieError:
            cookie = None
        session = door.sessions_of(app).find(cookie.value) if cookie else None
        return parts.reports.limit + UPLOAD_SLACK if session else FORM_LIMIT

    return limit


__all__ = ["DeskParts", "create_app", "serve"]
