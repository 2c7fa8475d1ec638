"""Why something was not sent, in sentences for the people at the desk. The English sentence is the translation's key."""

from enum import StrEnum


def N_(text: str) -> str:  # noqa: N802  (gettext's own name for it)
    """Marks a text for the catalogues where it is written; doors translate it where they show it."""
    return text


class Reason(StrEnum):
    """What we say ourselves. What the other side says of a refusal is apart: it may quote what it was sent."""

    NO_CONNECTION = N_("Nobody answers at this address. Check host and port, and whether the other system is on.")
    NO_TLS = N_("No encrypted connection came about. Check the certificates on both sides.")
    CALLING_UNKNOWN = N_("The other system does not know our AE title. It must be entered there.")
    CALLED_UNKNOWN = N_("The other system has another AE title than the one given.")
    BUSY = N_("The other system has too much to do. Try again later.")
    REJECTED = N_("The other system does not let us in.")
    SILENT = N_("The other system did not answer in time.")
    CLOSED = N_("The other system closed the connection.")
    ABORTED = N_("The other system broke off.")
    NONSENSE = N_("The other system answered with what is not DICOM.")

    SOP_CLASS = N_("The other system does not take this kind of object.")
    TRANSFER_SYNTAX = N_("The other system does not take this form of compression.")
    CONTEXT = N_("The other system does not take this, and does not say why.")
    ROLE = N_("The other system takes no reports from us.")

    STATUS = N_("The other system refused it.")
    UNREADABLE = N_("The stored file cannot be read.")


class Lost(Exception):  # noqa: N818 (it happens)
    """There is no association, or none any more."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def of_context(result: int | None) -> Reason:
    """Why a presentation context was not accepted (PS3.8 9.3.3.2); None: the answer does not mention it."""
    return {3: Reason.SOP_CLASS, 4: Reason.TRANSFER_SYNTAX}.get(result or 0, Reason.CONTEXT)
