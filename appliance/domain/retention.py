"""What is due: pure rules over shares and studies. The clock asks, the deed does."""

from dataclasses import dataclass

from .share import DAY, Share, ShareState
from .study import StudyState


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things are kept, in seconds."""

    grace: int = 14 * DAY  # an expired share can be reactivated so long
    unshared: int = 30 * DAY  # a study that nobody shared stays so long after its last image


def share_is_due(share: Share, now: int, terms: Terms) -> bool:
    """Whether the last of a share is to be forgotten: revoked or expired, and the grace time is over.

    (Revoking destroys the keys at once; only what recognises the password stays, so that its reader is told instead of puzzled.)
    """
    match share.state(now):
        case ShareState.REVOKED:
            return share.revoked_at is not None and now >= share.revoked_at + terms.grace
        case ShareState.EXPIRED:
            return now >= share.record.expires_at + terms.grace
        case _:
            return False


def study_is_due(state: StudyState, last_received_at: int, shares: list[Share], now: int, terms: Terms) -> bool:
    """Whether a study is to be forgotten: nobody may open it any more or ever again.

    A share that is gone or revoked leaves the study its own deadline: it stays as long as an unshared one would, counted from its
    last image, so that a revoked letter does not take a study of today with it.
    """
    if state is not StudyState.COMPLETE:
        return False
    if any(share.state(now) not in (ShareState.GONE, ShareState.REVOKED) for share in shares):
        return False
    return now >= last_received_at + terms.unshared
