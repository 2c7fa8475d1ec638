"""What the desk calls things: states, roles, releases, and everything that can happen."""

from typing import Any, Final

from ..deeds.inspecting import Happening
from ..deeds.staff import Role
from ..domain.audit import Action
from ..domain.share import Audience, Release, ShareState
from ..language import N_, translations

AUDIENCES: Final = {Audience.PATIENT: N_("Patient"), Audience.REFERRER: N_("Referring physician")}

RELEASES: Final = {
    Release.NOW: N_("at once"),
    Release.LATER: N_("after 24 hours"),
    Release.BY_HAND: N_("when we release them"),
    Release.NEVER: N_("never: images only"),
}

ROLES: Final = {
    Role.FRONT_DESK: N_("Front desk"),
    Role.PHYSICIAN: N_("Physician"),
    Role.ADMIN: N_("Admin"),
    Role.AUDITOR: N_("Auditor"),
}

LANGUAGES: Final = {"de": "Deutsch", "en": "English"}

SHARE_STATES: Final = {
    ShareState.NOT_YET: N_("not yet open"),
    ShareState.OPEN: N_("open"),
    ShareState.LOCKED: N_("locked"),
    ShareState.EXPIRED: N_("expired"),
    ShareState.REVOKED: N_("revoked"),
    ShareState.GONE: N_("erased"),
}

_HAPPENINGS: Final = {
    Action.INSTANCES_STORED: N_("%(count)s images received"),
    Action.INSTANCES_REPEATED: N_("%(count)s images were sent again, unchanged"),
    Action.INSTANCE_REVISED: N_("%(count)s images were sent again with other content; the latest counts"),
    Action.STUDY_COMPLETED: N_("Study complete: %(instances)s images"),
    Action.STUDY_KEPT: N_("Study kept"),
    Action.REPORT_ADDED: N_("Report added"),
    Action.REPORT_READ: N_("Report read"),
    Action.REPORTS_RELEASED: N_("Reports released"),
    Action.SHARE_CREATED: N_("Letter made"),
    Action.SHARE_REVOKED: N_("Access ended"),
    Action.SHARE_CLOSED: N_("Access erased"),
    Action.SHARE_UNLOCKED: N_("Access unlocked"),
    Action.LETTER_PRINTED: N_("Letter printed"),
    Action.PASSWORD_REPLACED: N_("New password made"),
    Action.SLIP_PRINTED: N_("Password slip printed"),
    Action.SHARE_OPENED: N_("Opened with code and password"),
    Action.SHARE_REFUSED: N_("Wrong password entered"),
    Action.SHARE_LOCKED: N_("Locked after too many wrong passwords"),
    Action.SHARE_LEFT: N_("Closed by its reader"),
    Action.DOWNLOAD_STARTED: N_("Download begun"),
    Action.DOWNLOAD_ENDED: N_("Download ended"),
    Action.SENDING_STARTED: N_("Sending to %(ae)s begun: %(count)s images"),
    Action.SENDING_ENDED: N_("Sent to %(ae)s: %(sent)s of %(count)s images"),
}
"""What a study's history shows; the rest is for the audit log."""

_CHANGES: Final = {"extended": N_("Access extended"), "reports released": N_("Reports released")}

_PROCESSES: Final = {
    "ingester": N_("automatic"),
    "clock": N_("automatic"),
    "desk": N_("automatic"),
    "reader": N_("reader"),
    "operator": N_("command line"),
}


_GONE: Final = N_("former user")


def happening(language: str, entry: Happening) -> str | None:
    """What an audit entry says, or None if it is not for this page."""
    text: str | None = _HAPPENINGS.get(entry.action)
    if entry.action is Action.SHARE_CHANGED:
        text = _CHANGES.get(str(entry.detail.get("what")), N_("Access changed"))
    if text is None:
        return None
    translated: str = translations(language).gettext(text)
    return translated % _Known(entry.detail) if "%(" in translated else translated


def who(language: str, actor: str, names: dict[str, str]) -> str:
    """A member's name, or what stands for a process or somebody who is gone."""
    if actor in names:
        return names[actor]
    return translations(language).gettext(_PROCESSES.get(actor, _GONE))


class _Known(dict[str, Any]):
    """Old entries may lack a value."""

    def __missing__(self, key: str) -> str:
        return "?"
