"""README.TXT and INDEX.HTM of a download (IHE RAD TF-2 4.47.4.1.2.3.3): who made it, what is in it, how to open it, what it is not for.

Both are in the reader's language and work without anything running.
"""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Protocol

from .. import __version__
from ..domain.study import InstanceFacts, Kind, ReportFacts, SeriesFacts, StudyFacts, person_name

APPLICATION: Final = f"Bildbrief {__version__}"


class Practice(Protocol):
    """Who hands out the download. Plain texts, possibly empty."""

    @property
    def name(self) -> str: ...
    @property
    def street(self) -> str: ...
    @property
    def city(self) -> str: ...
    @property
    def phone(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def website(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Words:
    """The reader's language: its code, its translation of our English, and its way to write a DICOM date."""

    language: str
    translate: Callable[[str], str]
    date: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Content:
    """What is in the download: instances, and reports with their file names."""

    instances: Sequence[tuple[StudyFacts, SeriesFacts, InstanceFacts]]
    reports: Sequence[tuple[str, StudyFacts, ReportFacts]]


@dataclass(frozen=True, slots=True)
class _Study:
    heading: str
    lines: list[str]


def readme(content: Content, practice: Practice, words: Words) -> bytes:
    """Plain text for any system: UTF-8 with a mark that says so, lines of at most 78 signs that end as Windows likes them."""
    _ = words.translate
    lines = [_("Medical images and reports"), "", *_maker(practice), ""]
    for patient, studies in _patients(content, words):
        lines += [patient, *(line for study in studies for line in (f"- {study.heading}", *(f"    {line}" for line in study.lines))), ""]
    for name, _study, report in content.reports:
        lines.append(f"{_('Report')}: {report.title or name} ({name})")
    lines += ["", _("How to open it"), *(f"- {line}" for line in _instructions(words)), "", _("Please note"), *_notices(words)]
    lines += ["", _("Made with %(application)s") % {"application": APPLICATION}]
    wrapped = (textwrap.wrap(line, 78, subsequent_indent=" " * _indent(line)) or [""] for line in lines)
    text = "\r\n".join(line for group in wrapped for line in group)
    return f"\ufeff{text}\r\n".encode()


def index(content: Content, practice: Practice, words: Words) -> bytes:
    """The same as a page: static, nothing fetched, nothing run. Everything that comes from a file or a person is escaped."""
    _ = words.translate
    title = escape(_("Medical images and reports"))
    parts = [f"<h1>{title}</h1>", "<address>", "<br/>".join(map(escape, _maker(practice))), "</address>"]
    for patient, studies in _patients(content, words):
        parts.append(f"<h2>{escape(patient)}</h2>")
        for study in studies:
            parts += [f"<h3>{escape(study.heading)}</h3>", _list(map(escape, study.lines))]
    if content.reports:
        links = (f'<a href="{escape(name)}">{escape(report.title or name)}</a>' for name, _study, report in content.reports)
        parts += [f"<h2>{escape(_('Reports'))}</h2>", _list(links)]
    parts += [f"<h2>{escape(_('How to open it'))}</h2>", _list(map(escape, _instructions(words)))]
    parts += [f"<h2>{escape(_('Please note'))}</h2>", *(f"<p>{escape(notice)}</p>" for notice in _notices(words))]
    made = escape(_("Made with %(application)s") % {"application": APPLICATION})
    parts.append(f'<p class="made">{made} · <a href="README.TXT">README.TXT</a></p>')
    return _PAGE.format(language=escape(words.language), title=title, body="\n".join(parts)).encode()


_PAGE: Final = """<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" lang="{language}" xml:lang="{language}">
<head>
<meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<meta name="viewport" content="width=device-width"/>
<title>{title}</title>
<style>
body {{ max-width: 42em; margin: 2em auto; padding: 0 1em; font: 1em/1.5 sans-serif; color: #222; }}
address {{ font-style: normal; }}
.made {{ color: #666; font-size: smaller; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def _maker(practice: Practice) -> list[str]:
    """Institution and contact."""
    lines = (practice.name, practice.street, practice.city, practice.phone, practice.email, practice.website)
    return [line for line in lines if line]


def _instructions(words: Words) -> list[str]:
    _ = words.translate
    return [
        _("Unpack the whole download into a folder first."),
        _("Images: open the file DICOMDIR with a DICOM viewer, or import the folder into your practice's image system."),
        _("Reports: the PDF files in the folder IHE_PDI/REPORTS open with any PDF reader."),
    ]


def _notices(words: Words) -> list[str]:
    _ = words.translate
    return [
        _("The image files are the unchanged originals, in full quality."),
        _(
            "Looking at them with ordinary programs and screens is not for diagnosis. "
            "A diagnosis needs a program and screens approved for that purpose."
        ),
        _("This download holds personal health data. Keep it safe, and delete it when you no longer need it."),
    ]


def _patients(content: Content, words: Words) -> list[tuple[str, list[_Study]]]:
    """A line for each patient, with their studies."""
    found: dict[str, dict[str, list[tuple[StudyFacts, SeriesFacts, InstanceFacts]]]] = {}
    for instance in content.instances:
        study = instance[0]
        found.setdefault(study.patient_id or study.patient_name, {}).setdefault(study.study_uid, []).append(instance)
    return [
        (_patient(next(iter(studies.values()))[0][0], words), [_study(instances, words) for instances in studies.values()])
        for studies in found.values()
    ]


def _patient(study: StudyFacts, words: Words) -> str:
    _ = words.translate
    name = person_name(study.patient_name) or _("Patient without a name")
    born = f"{_('born')} {words.date(study.patient_birth_date)}" if study.patient_birth_date else ""
    return ", ".join(filter(None, (name, born)))


def _study(instances: Sequence[tuple[StudyFacts, SeriesFacts, InstanceFacts]], words: Words) -> _Study:
    _ = words.translate
    study = instances[0][0]
    heading = ", ".join(filter(None, (words.date(study.study_date), study.description))) or _("Examination")
    series: dict[str, list[tuple[SeriesFacts, InstanceFacts]]] = {}
    for _study_facts, about, instance in instances:
        series.setdefault(about.series_uid, []).append((about, instance))
    ordered = sorted(series.values(), key=lambda members: (members[0][0].number is None, members[0][0].number or 0))
    return _Study(heading, [_series(members, words) for members in ordered])


def _series(members: Sequence[tuple[SeriesFacts, InstanceFacts]], words: Words) -> str:
    _ = words.translate
    about = members[0][0]
    images = sum(instance.frames for _series_facts, instance in members if instance.kind is Kind.IMAGE)
    amount = _("%(count)s images") % {"count": images} if images > 1 else _("1 image") if images else ""
    return ", ".join(filter(None, (about.modality, about.description, amount)))


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" ")) + 2 * line.lstrip(" ").startswith("- ")
