"""Studies: the list, one study, its thumbnails and reports, and the letter made for it."""

from typing import Any, Final

from flask import Blueprint, Response, make_response, redirect, request, url_for
from werkzeug.wrappers import Response as Answer

from ..deeds.sharing import ShareView
from ..deeds.worklist import WORDS_LIMIT
from ..domain.errors import Code, Problem
from ..domain.share import DAY, Audience, Release, ShareState
from ..domain.study import StudyState, person_name
from ..language import LANGUAGES, N_
from . import words
from .door import actor, session, the_parts, the_sessions
from .pages import gettext, language, page, tell
from .refusals import status

blueprint = Blueprint("studies", __name__)

SHOWN: Final = 200  # studies listed at most; more are found by searching
HISTORY: Final = 100
RECIPIENT_LIMIT: Final = 200  # characters, 6 lines: what the window of the envelope shows
_DAYS: Final = (7, 14, 30, 90, 180, 365)


@blueprint.get("/")
def worklist() -> Answer:
    found = the_parts().worklist.search(session().words)
    return page("worklist.html", entries=found[:SHOWN], total=len(found), words_typed=session().words)


@blueprint.post("/search")
def search() -> Answer:
    """The words stay in the session: a patient's name has no place in an address. A single hit is opened at once."""
    words_typed = session().words = "" if "all" in request.form else request.form.get("words", "")[:WORDS_LIMIT].strip()
    if words_typed and len(found := the_parts().worklist.search(words_typed)) == 1:
        return redirect(url_for("studies.study", study_id=found[0].study_id), 303)
    return redirect(url_for("studies.worklist"), 303)


@blueprint.get("/studies/<id:study_id>")
def study(study_id: str) -> Answer:
    return _study_page(study_id)


def _study_page(study_id: str, problem: Problem | None = None) -> Response:
    parts = the_parts()
    limits = parts.sharing.limits
    names = {member.user_id: member.name for member in parts.staff.members()}
    history = [
        (entry, text, words.who(language(), entry.actor, names))
        for entry in parts.inspecting.timeline(study_id)
        if (text := words.happening(language(), entry))
    ]
    found = parts.inspecting.study(study_id)
    return page(
        "study.html",
        status(problem) if problem else 200,
        study=found,
        patient=person_name(found.facts.patient_name),
        physician=person_name(found.facts.referring_physician),
        receiving=found.state is StudyState.RECEIVING,
        shares=parts.sharing.views(study_id),
        history=history[:HISTORY],
        days=sorted({*(days for days in _DAYS if days * DAY <= limits.longest), limits.default // DAY}),
        default_days=limits.default // DAY,
        reader_language=parts.language,
        upload_megabytes=parts.reports.limit >> 20,
        upload_limit=parts.reports.limit,
        now=parts.now(),
        can=_can,
        problem=problem,
        given=request.form,
    )


def _can(view: ShareView) -> set[str]:
    """Which buttons a letter has."""
    match view.state:
        case ShareState.REVOKED | ShareState.GONE:
            return set()
        case ShareState.EXPIRED:
            return {"extend", "revoke"}
    released = view.record.reports_from is not None and view.record.reports_from <= the_parts().now()
    return (
        {"letter", "extend", "password", "revoke"}
        | ({"unlock"} if view.state is ShareState.LOCKED else set())
        | ({"release"} if view.record.may_read_reports and not released else set())
    )


@blueprint.get("/studies/<id:study_id>/thumbnails/<id:series_id>")
def thumbnail(study_id: str, series_id: str) -> Answer:
    response = make_response(the_parts().inspecting.thumbnail(study_id, series_id))
    response.content_type = "image/webp"
    return response


# -- reports -----------------------------------------------------------------------------------------------------------


@blueprint.post("/studies/<id:study_id>/reports")
def add_report(study_id: str) -> Answer:
    try:
        the_parts().reports.add(actor(), study_id, request.form.get("title", ""), _uploaded())
    except Problem as problem:
        return _study_page(study_id, problem)
    tell(N_("The report was added."))
    return redirect(url_for("studies.study", study_id=study_id, _anchor="reports"), 303)


def _uploaded() -> bytes:
    """The PDF that was sent along, in memory."""
    sent = request.files.get("pdf")
    content = sent.stream.read() if sent else b""
    if not content:
        raise Problem(Code.INVALID, "No file was chosen. Choose the report as PDF, then add it.")
    return content


@blueprint.get("/reports/<id:report_id>")
def report(report_id: str) -> Answer:
    """The PDF as it was added, to look at."""
    facts, pdf = the_parts().reports.read(actor(), report_id)
    return pdf_answer(pdf, facts.title or gettext("Report"))


def pdf_answer(pdf: bytes, name: str) -> Response:
    """A PDF in the browser's own viewer."""
    response = make_response(pdf)
    response.content_type = "application/pdf"
    response.headers.set("Content-Disposition", "inline", filename=f"{name}.pdf")
    return response


# -- letters -----------------------------------------------------------------------------------------------------------


@blueprint.post("/studies/<id:study_id>/shares")
def share(study_id: str) -> Answer:
    try:
        record, given = the_parts().sharing.create(actor(), [study_id], **_wishes())
    except Problem as problem:
        return _study_page(study_id, problem)
    the_sessions().hand(session(), record.share_id, given)
    return redirect(url_for("shares.handover", share_id=record.share_id), 303)


def _wishes() -> dict[str, Any]:
    """What was chosen for a letter. Problem INVALID for what no form of ours sends."""
    form = request.form
    recipient = form.get("recipient", "").replace("\r\n", "\n").strip()
    if len(recipient) > RECIPIENT_LIMIT or len([line for line in recipient.splitlines() if line.strip()]) > 6:
        raise Problem(Code.INVALID, "The address is too long for the window of an envelope. Shorten it to six lines.")
    reader = form.get("language", the_parts().language)
    try:
        wishes = {
            "audience": Audience(form.get("audience", Audience.PATIENT)),
            "release": Release(form.get("release", Release.NOW)),
            "days": days_chosen(),
        }
    except ValueError:
        raise Problem(Code.INVALID, "Something in the form was not filled in as expected. Check it and try again.") from None
    if reader not in LANGUAGES:
        raise Problem(Code.INVALID, "Letters are written in German or English. Choose one of them.")
    return {**wishes, "language": reader, "may_download": form.get("download") == "yes", "recipient": recipient}


def days_chosen() -> int | None:
    """How many days a form asks for. ValueError when it is no number."""
    typed = request.form.get("days", "").strip()[:9]
    return int(typed) if typed else None
