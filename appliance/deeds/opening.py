"""Opening: a reader shows code and password; for each request after that, whether they may still read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..domain.audit import Action
from ..domain.codes import read_code, read_password
from ..domain.share import Grant, Proof, Refused, ShareRecord, ShareState, open_share
from ..keyholder.client import Busy, Keyholder, Opened, Wait
from ..registry import Registry

_NO_CODE = "0" * 18
"""Stands for whatever cannot be a code: it passes the check digit and is never given out, so it costs the same work."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A proven reader: what a session keeps, in memory only. `device` goes into the browser's cookie."""

    proof: Proof
    study_keys: dict[str, bytes]
    device: str

    def __repr__(self) -> str:
        return "Visit(…)"


@dataclass(frozen=True, slots=True)
class Wrong:
    """Unknown code, wrong password, locked or gone: nobody is told which."""


@dataclass(frozen=True, slots=True)
class Later:
    """Too many tries: come back in so many seconds. `busy`: too many readers at once, not this one's fault."""

    seconds: int
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """The password was right, but the share is not open: the reader may know why, and from or until when."""

    state: ShareState
    record: ShareRecord


class Opening:
    """The portal's only way to a study. It reads the registry and never writes it."""

    def __init__(self, registry: Registry, keyholder: Keyholder, now: Callable[[], int]) -> None:
        self._registry = registry
        self._keyholder = keyholder
        self._now = now

    def open(self, code: str, password: str, *, prefix: str, device: str | None) -> Visit | Wrong | Later | Closed:
        """Try code and password as typed. `prefix` names the reader's network, `device` is what its browser kept from before."""
        answer = self._keyholder.open_share(read_code(code) or _NO_CODE, read_password(password), prefix, device)
        match answer:
            case Opened():
                proof = Proof(answer.share_id, answer.record_digest)
                match self.grant(proof):
                    case Grant():
                        return Visit(proof, answer.study_keys, answer.device)
                    case Refused(reason):
                        row = self._registry.share(answer.share_id)
                        if row is None or reason is ShareState.GONE:
                            return Wrong()
                        return Closed(reason, row.share.record)
            case Wait():
                return Later(answer.seconds)
            case Busy():
                return Later(5, busy=True)
            case _:
                return Wrong()

    def grant(self, proof: Proof) -> Grant | Refused:
        """Whether a proven reader may read now. Asked for every request."""
        row = self._registry.share(proof.share_id)
        return Refused(ShareState.GONE) if row is None else open_share(row.share, proof, self._now())

    def note(self, action: Action, visit: Visit, *, object_id: str | None = None, **detail: Any) -> None:
        """Tell the audit log what a reader did. It travels by the keyholder, because the portal cannot write the registry."""
        self._keyholder.note(action, visit.proof.share_id, object_id, detail)
