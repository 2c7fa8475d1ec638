"""What people read, in their language. The English sentence is the key; `<language>/<part>.po` hold the translations.

The catalogues are read as they are and merged in memory: nothing to compile, nothing to forget to compile.
A text is known to the catalogues when it stands in `_("…")`, `gettext("…")`, `ngettext("…", "…", n)` or `N_("…")`, in a template's
`{{ _("…") }}` or `{% trans %}`, or behind a `Code.…` in a refusal; a test demands a translation for each.
"""

import datetime as dt
import io
from functools import cache
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

from appliance.domain.errors import Problem

LANGUAGES: Final = ("de", "en")
"""The languages everything is written in; the first is the default."""

ZONE: Final = "Europe/Berlin"
"""The practice's time zone, unless it says otherwise."""

Length = Literal["short", "medium", "long", "full"]
"""de: 24.11.26, 24.11.2026, 24. November 2026, Dienstag, 24. November 2026."""

# English as it is written in Europe: the day before the month, 24 hours.
_LOCALES: Final = {"de": Locale("de", "DE"), "en": Locale("en", "GB")}


def N_(text: str) -> str:  # noqa: N802  (gettext's own name for it)
    """Marks a text for the catalogues where it is written; it is translated where it is shown."""
    return text


@cache
def translations(language: str) -> Translations:
    """The merged catalogues of a language; the default's for one we do not have. `.gettext`, `.ngettext`; fit for `jinja2.ext.i18n`."""
    merged = Translations()
    for path in sorted(Path(__file__).with_name(known(language)).glob("*.po")):
        with path.open("rb") as po:
            catalog = read_po(po, locale=known(language), abort_invalid=True)
        mo = io.BytesIO()
        write_mo(mo, catalog)
        mo.seek(0)
        part = Translations(mo)
        merged.merge(part)
        merged.plural = part.plural
    return merged


def known(language: str) -> str:
    """The language itself if we have it, else the default."""
    return language if language in LANGUAGES else LANGUAGES[0]


def best(accept_language: str, default: str = LANGUAGES[0]) -> str:
    """Which of our languages an Accept-Language header (RFC 9110, 12.5.4) asks for first; `default` if none."""
    wishes: list[tuple[float, str]] = []
    for wish in accept_language[:1000].split(","):
        tag, _, weight = wish.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        wishes.append((quality, tag.strip().lower().partition("-")[0]))
    ranked = sorted((wish for wish in wishes if wish[0] > 0), key=lambda wish: -wish[0])
    return next((language for _, language in ranked if language in LANGUAGES), default)


def sentence(language: str, problem: Problem) -> str:
    """A refusal's sentence in the reader's language, its places filled."""
    text = translations(language).gettext(problem.message)
    return text % problem.values if problem.values else text


def date(language: str, yyyymmdd: str, length: Length = "medium") -> str:
    """A DICOM date (DA, PS3.5 6.2) as people write it; anything that is not one is shown as it stands."""
    text = yyyymmdd.strip()
    try:
        day = dt.date.fromisoformat(text if text.isdecimal() else "")
    except ValueError:
        return yyyymmdd
    return _date(language, day, length)


def moment(language: str, seconds: int, *, time: bool = True, zone: str = ZONE, length: Length = "medium") -> str:
    """A moment (UTC seconds) on the practice's calendar and, with `time`, its clock: "24.11.2026, 14:05"."""
    local = dt.datetime.fromtimestamp(seconds, ZoneInfo(zone))
    day = _date(language, local, length)
    return f"{day}, {format_time(local, 'short', locale=_LOCALES[known(language)])}" if time else day


def end_of(language: str, seconds: int, *, zone: str = ZONE, length: Length = "long") -> str:
    """The last moment before `seconds`, as an end people can rely on: only the day, if all of it counts, else with the time."""
    last = dt.datetime.fromtimestamp(seconds - 1, ZoneInfo(zone))
    return moment(language, seconds - 1, time=(last.hour, last.minute) != (23, 59), zone=zone, length=length)


def _date(language: str, day: dt.date, length: Length) -> str:
    return format_date(day, length, locale=_LOCALES[known(language)])
