"""What is the same for everybody: help, privacy, imprint, our own files, and a sign of life."""

from pathlib import Path
from typing import Final

from flask import Blueprint, abort, send_from_directory
from werkzeug import Response

from .pages import page

_STATIC: Final = Path(__file__).with_name("static")


def routes() -> Blueprint:
    about = Blueprint("about", __name__)

    @about.get("/help")
    def help_page() -> Response:
        return page("help.html")

    @about.get("/privacy")
    def privacy() -> Response:
        return page("privacy.html")

    @about.get("/imprint")
    def imprint() -> Response:
        return page("imprint.html")

    @about.get("/static/<version>/<name>")
    def asset(version: str, name: str) -> Response:
        """A file of ours; its address changes with its content."""
        if not version.isalnum():
            abort(404)
        answer = send_from_directory(_STATIC, name, conditional=False, etag=False)
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer

    @about.get("/robots.txt")
    def robots() -> Response:
        return Response("User-agent: *\nDisallow: /\n", mimetype="text/plain")

    @about.get("/health")
    def health() -> Response:
        return Response("ok\n", mimetype="text/plain")

    return about
