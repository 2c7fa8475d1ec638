"""Letters that exist: hand over, print, extend, release, unlock, end."""

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response as Answer

from ..deeds import letters
from ..domain.errors import Code, Problem
from ..domain.share import DAY
from ..domain.study import person_name
from ..language import N_
from .door import actor, session, the_parts, the_sessions
from .pages import gettext, page, tell
from .qr import qr_svg
from .studies import days_chosen, pdf_answer

blueprint = Blueprint("shares", __name__, url_prefix="/shares/<id:share_id>")


@blueprint.get("/handover")
def handover(share_id: str) -> Answer:
    """Code and password, for the quarter of an hour in which the slip is printed."""
    parts = the_parts()
    view = parts.sharing.view(share_id)
    study = parts.inspecting.study(view.record.studies[0])
    given = the_sessions().handed(session(), share_id)
    link = f"{parts.public_url}/s/{given.code}" if given else ""
    return page(
        "handover.html",
        view=view,
        study=study,
        patient=person_name(study.facts.patient_name),
        given=given,
        link=link,
        qr=qr_svg(link, gettext("QR code of the link")) if given else "",
    )


@blueprint.post("/done")
def done(share_id: str) -> Answer:
    """Handed over: neither code nor password is shown again."""
    the_sessions().take_back(session(), share_id)
    return _back(share_id)


@blueprint.post("/letter")
def letter(share_id: str) -> Answer:
    parts = the_parts()
    view = parts.sharing.view(share_id)
    record, code = parts.sharing.letter_code(actor(), share_id)
    reports = any(parts.inspecting.study(study_id).reports for study_id in record.studies)
    pdf = letters.letter(
        letters.LetterText(
            practice=parts.settings.practice(),
            record=record,
            code=code,
            portal_url=parts.public_url,
            written_at=parts.now(),
            recipient=view.recipient,
            report=reports,
            grace_days=parts.sharing.limits.grace // DAY,
            zone=parts.timezone,
        )
    )
    return pdf_answer(pdf, gettext("Letter"))


@blueprint.post("/slip")
def slip(share_id: str) -> Answer:
    given = the_sessions().handed(session(), share_id)
    if given is None:
        raise Problem(Code.CONFLICT, "This password is not kept any more. Make a new password, then print its slip.")
    parts = the_parts()
    record = parts.sharing.view(share_id).record
    pdf = letters.slip(parts.settings.practice(), record, given.password)
    parts.sharing.slip_printed(actor(), share_id)
    return pdf_answer(pdf, gettext("Password slip"))


@blueprint.post("/extend")
def extend(share_id: str) -> Answer:
    try:
        days = days_chosen()
    except ValueError:
        raise Problem(Code.INVALID, "This is not a number of days. Choose one from the list.") from None
    the_parts().sharing.extend(actor(), share_id, days)
    tell(N_("The access was extended. Code and password stay the same."))
    return _back(share_id)


@blueprint.post("/release")
def release(share_id: str) -> Answer:
    the_parts().sharing.release_reports(actor(), share_id)
    tell(N_("The reports can be read now."))
    return _back(share_id)


@blueprint.post("/password")
def new_password(share_id: str) -> Answer:
    the_sessions().hand(session(), share_id, the_parts().sharing.new_password(actor(), share_id))
    return redirect(url_for("shares.handover", share_id=share_id), 303)


@blueprint.post("/unlock")
def unlock(share_id: str) -> Answer:
    the_parts().sharing.unlock(actor(), share_id)
    tell(N_("The access is unlocked. The password stays the same."))
    return _back(share_id)


@blueprint.route("/revoke", methods=["GET", "POST"])
def revoke(share_id: str) -> Answer:
    """Asked once more before it is done: nothing brings a revoked letter back."""
    parts = the_parts()
    if request.method == "GET":
        view = parts.sharing.view(share_id)
        return page("revoke.html", view=view, patient=person_name(parts.inspecting.study(view.record.studies[0]).facts.patient_name))
    parts.sharing.revoke(actor(), share_id)
    the_sessions().take_back(session(), share_id)
    tell(N_("The access has ended. Code and password open nothing any more."))
    return _back(share_id)


def _back(share_id: str) -> Answer:
    """To the study the letter is about."""
    study_id = the_parts().sharing.view(share_id).record.studies[0]
    return redirect(url_for("studies.study", study_id=study_id, _anchor="letters"), 303)
