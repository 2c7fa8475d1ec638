"""What all pages share: the language they are in, the practice they are from, the session they belong to."""

import hashlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from flask import Flask, current_app, g, make_response, render_template, request, url_for
from werkzeug import Response

from .. import language as tongue
from ..domain.codes import show_code
from ..domain.share import Grant
from ..domain.study import person_name
from ..language import LANGUAGES, N_, translations
from ..registry.settings import Practice
from . import words
from .sessions import Session

_OWN_NAMES: Final = {"de": "Deutsch", "en": "English"}
_FILE_NAMES: Final = {"images": N_("images"), "report": N_("report")}
_STATIC: Final = Path(__file__).with_name("static")


def language() -> str:
    """The language of this answer: the one just chosen, the session's, or what the browser asks for."""
    if "language" not in g:
        session = current_session()
        g.language = chosen_language() or (session.language if session else _asked_for())
    return str(g.language)


def speak(chosen: str) -> None:
    """Answer in the language of a letter, unless its reader has chosen another."""
    g.language = chosen_language() or tongue.known(chosen)


def chosen_language() -> str | None:
    """What `?lang=` asks for; no cookie remembers it."""
    wish = request.args.get("lang", "")
    return wish if wish in LANGUAGES else None


def _asked_for() -> str:
    return tongue.best(request.headers.get("Accept-Language", ""), current_app.config["LANGUAGE"])


def current_session() -> Session | None:
    session: Session | None = g.get("session")
    return session


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A page in the reader's language."""
    return make_response(render_template(template, **values), status)


def set_up(
    app: Flask, now: Callable[[], int], practice: Callable[[], Practice], timezone: str, form_token: Callable[[Session], str]
) -> None:
    """Give the templates their words and helpers."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        lambda text: translations(language()).gettext(text),
        lambda one, many, n: translations(language()).ngettext(one, many, n),
        newstyle=True,
    )
    app.jinja_env.filters.update(person_name=person_name, code=show_code)

    @app.url_defaults
    def _carry_the_choice(endpoint: str, values: dict[str, Any]) -> None:
        """Without a session there is nothing but the address to remember the language by."""
        if request and endpoint != "about.asset" and current_session() is None and (wish := chosen_language()):
            values.setdefault("lang", wish)

    @app.context_processor
    def _common() -> dict[str, Any]:
        tongue_now, session = language(), current_session()
        grant: Grant | None = g.get("grant")
        return {
            "language": tongue_now,
            "languages": {other: _OWN_NAMES[other] for other in LANGUAGES if other != tongue_now},
            "here": partial(_here, request.path, request.args.to_dict()),
            "practice": practice(),
            "form_token": form_token(session) if session else None,
            "record": grant.record if grant else None,
            "asset": _asset,
            "now": now,
            "day": partial(tongue.date, tongue_now),
            "end_of": partial(tongue.end_of, tongue_now, zone=timezone),
            "moment": partial(tongue.moment, tongue_now, zone=timezone),
            "size": partial(words.size, tongue_now),
            "duration": partial(words.duration, tongue_now),
            "modality": partial(words.modality, tongue_now),
            "study_kind": partial(words.study_kind, tongue_now),
            "study_title": partial(words.study_title, tongue_now),
        }


def _here(path: str, values: dict[str, str], lang: str) -> str:
    """This page in another language."""
    kept = {"series": values["series"]} if "series" in values else {}
    return f"{path}?{'&'.join(f'{name}={value}' for name, value in {**kept, 'lang': lang}.items() if value.isalnum())}"


def file_name(what: str, extension: str) -> str:
    """A neutral name for a file to keep, in the reader's language."""
    return f"{translations(language()).gettext(_FILE_NAMES[what])}.{extension}"


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]


def _asset(name: str) -> str:
    """The address of a file of ours: another one when it changes, so that browsers may keep it for good."""
    return url_for("about.asset", name=name, version=_digest(name))


__all__ = ["chosen_language", "current_session", "file_name", "language", "page", "set_up", "speak"]
