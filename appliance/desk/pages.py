"""What all pages share: their language, their words, and what the strip at their top says of the appliance."""

import hashlib
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from babel.numbers import format_decimal
from flask import Flask, Response, abort, g, make_response, render_template, request, url_for

from .. import language as tongue
from ..certificates import RENEW
from ..deeds.staff import Role
from ..domain.codes import show_code, show_password
from ..domain.errors import Problem
from ..language import LANGUAGES, translations
from . import words
from .door import the_parts, the_sessions
from .parts import DeskParts

LANGUAGE_COOKIE: Final = "desk-language"
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def language() -> str:
    """The language of this answer: the chosen one, or what the browser asks for."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return chosen if chosen in LANGUAGES else tongue.best(request.headers.get("Accept-Language", ""), the_parts().language)


def gettext(text: str) -> str:
    return translations(language()).gettext(text)


def page(template: str, code: int = 200, **values: Any) -> Response:
    return make_response(render_template(template, **values), code)


def tell(text: str, **values: Any) -> None:
    """Say this at the top of the next page."""
    if g.session:
        g.session.notices.append((text, values))


def set_up(app: Flask, parts: DeskParts) -> None:
    """Give the templates their words and helpers."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        gettext, lambda one, many, n: translations(language()).ngettext(one, many, n), newstyle=True
    )
    app.jinja_env.filters.update(code=show_code, password=show_password)
    app.jinja_env.globals.update(asset=_asset, words=words)
    app.add_url_rule("/static/<name>", "static", _static)

    @app.context_processor
    def _common() -> dict[str, Any]:
        spoken, session = language(), g.get("session")
        return {
            "language": spoken,
            "languages": words.LANGUAGES,
            "member": session,
            "is_admin": g.get("role") is Role.ADMIN,
            "form_token": the_sessions().form_token(g.visitor) if "visitor" in g else "",
            "notices": _notices(session),
            "overview": _overview(parts) if session else None,
            "certificate_end": _ending_soon(parts),
            "mirrored": parts.mirrored,
            "wide_open": parts.wide_open,
            "commits": parts.commits,
            "rehearse_days": parts.rehearse_days,
            "practice": parts.settings.practice(),
            "day": partial(tongue.date, spoken),
            "moment": partial(tongue.moment, spoken, zone=parts.timezone),
            "end_of": partial(tongue.end_of, spoken, zone=parts.timezone, length="medium"),
            "said": gettext,  # for texts that are not written in a template: without its markup
            "sentence": partial(tongue.sentence, spoken),
            "number": partial(format_decimal, locale=spoken),
        }


def _notices(session: Any) -> list[str]:
    """What there is to tell, once."""
    if session is None or request.headers.get("X-Live"):
        return []
    told, session.notices = session.notices, []
    return [gettext(text) % values for text, values in told]


def _overview(parts: DeskParts) -> Any:
    """The refusal page shows the strip, too: it must not fail over what it reports."""
    try:
        return parts.inspecting.overview()
    except Problem:
        return None


def _ending_soon(parts: DeskParts) -> int | None:
    """When the receiver's certificate ends, once it is time to renew it."""
    end = parts.certificate_end()
    return end if end is not None and end - parts.now() <= RENEW else None


def _asset(name: str) -> str:
    """The address of a file of ours: another one when it changes, so that browsers may keep it."""
    return url_for("static", name=name, v=hashlib.sha256(_files()[name]).hexdigest()[:12])


@cache
def _files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(__file__).with_name("static").iterdir()}


def _static(name: str) -> Response:
    if name not in _files():
        abort(404)
    response = make_response(_files()[name])
    response.content_type = _TYPES[Path(name).suffix]
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response
