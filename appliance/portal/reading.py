"""The pages of an open letter: worklist, study, report, and their pictures."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, g, request
from werkzeug import Response

from ..deeds.delivery import Delivery, Document, StudyView
from ..deeds.opening import Opening, Visit
from ..domain.audit import Action
from ..domain.share import Grant, Refused, ShareState
from . import transfer
from .pages import current_session, file_name, page
from .sessions import Sessions


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody with a running session whose letter is open at this moment."""

    visit: Visit
    grant: Grant


class NoSession(Exception):  # noqa: N818  (as Problem is: a refusal)
    """Nobody is logged in, or not any more. `reason`: what became of the letter, if that is why."""

    def __init__(self, reason: ShareState | None = None) -> None:
        super().__init__()
        self.reason = reason


def who_reads(opening: Opening, sessions: Sessions) -> Callable[[], Reader]:
    """Gives the reader of a request, or raises NoSession. The letter is asked for each time, so an end is an end at once."""

    def reader() -> Reader:
        session = current_session()
        if session is None:
            raise NoSession
        match opening.grant(session.visit.proof):
            case Grant() as grant:
                g.grant = grant
                return Reader(session.visit, grant)
            case Refused(reason):
                sessions.close(session, f"letter {reason}")
                raise NoSession(reason)

    return reader


def routes(opening: Opening, delivery: Delivery, sessions: Sessions) -> Blueprint:
    """Each page makes its session live on; the pictures on it do not."""
    letter = Blueprint("reading", __name__)
    who = who_reads(opening, sessions)

    def sent(answer: Response, *, without_script: bool = False) -> Response:
        if session := current_session():
            sessions.page_sent(session, without_script=without_script)
        return answer

    @letter.get("/worklist")
    def worklist() -> Response:
        reader = who()
        return sent(page("worklist.html", studies=delivery.worklist(reader.grant, reader.visit.study_keys)))

    @letter.get("/study/<study_id>")
    def study(study_id: str) -> Response:
        reader = who()
        view = delivery.study(reader.grant, reader.visit.study_keys, study_id)
        if not view.complete:
            return sent(page("not-ready.html", study=view))
        wanted = request.args.get("series")
        chosen = next((at for at, series in enumerate(view.series) if series.series_id == wanted), _main_series(view))
        return sent(page("study.html", study=view, at=chosen))

    @letter.get("/study/<study_id>/<series_id>/<any(small,large):which>.webp")
    def picture(study_id: str, series_id: str, which: str) -> Response:
        reader = who()
        return _image(delivery.picture(reader.grant, reader.visit.study_keys, study_id, series_id, large=which == "large"))

    @letter.get("/report/<report_id>")
    def report(report_id: str) -> Response:
        reader = who()
        view, document = delivery.report(reader.grant, reader.visit.study_keys, report_id)
        opening.note(Action.REPORT_READ, reader.visit, object_id=document.object_id)
        return sent(page("report.html", report=view, bytes=document.size))

    @letter.get("/report/<report_id>/<int:number>.webp")
    def report_page(report_id: str, number: int) -> Response:
        reader = who()
        return _image(delivery.report_page(reader.grant, reader.visit.study_keys, report_id, number))

    @letter.get("/report/<report_id>/pdf", defaults={"how": "inline"})
    @letter.get("/report/<report_id>/pdf/<any(download):how>")
    def report_pdf(report_id: str, how: str) -> Response:
        reader = who()
        _, document = delivery.report(reader.grant, reader.visit.study_keys, report_id)
        opening.note(Action.REPORT_READ, reader.visit, object_id=document.object_id, form="pdf")
        answer = transfer.answer(
            request,
            transfer.Content(document.size, document.object_id, document.read, "application/pdf"),
            disposition="inline" if how == "inline" else f'attachment; filename="{file_name("report", "pdf")}"',
        )
        return sent(answer, without_script=True) if how == "inline" else answer

    return letter


def _main_series(view: StudyView) -> int:
    """What a reader wants to see first: of the series with a picture, the one with most images, not the scanner's planning view."""
    return max(range(len(view.series)), key=lambda at: (view.series[at].has_picture, view.series[at].images), default=0)


def _image(document: Document) -> Response:
    """A picture is small: read it whole, so that damage is told instead of half a picture shown."""
    return Response(b"".join(document.read(0, document.size)), mimetype="image/webp")


__all__ = ["NoSession", "Reader", "routes", "who_reads"]
