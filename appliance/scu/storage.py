"""Sending instances to another node (PS3.4 Annex B, SCU), as they are: never recoded, never as a whole in memory."""

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final

from ..domain import commandset
from ..domain.errors import Problem
from ..domain.node import Node
from .association import Association, Patience
from .negotiation import CONTEXTS, Offer
from .reasons import Lost, Reason

C_STORE: Final = 0x0001
_MEDIUM: Final = 0  # priority (PS3.7 9.1.1.1.5)
_WARNINGS: Final = (0x0001, 0x0107, 0x0116)  # and B000H to BFFFH (PS3.7 Annex C, PS3.4 B.2.3)


class Result(StrEnum):
    """What became of an instance. After LOST nobody knows whether it was stored; sending it again does no harm."""

    SENT = "sent"
    WARNING = "warning"  # stored, but not quite as it was sent
    REFUSED = "refused"
    NOT_ACCEPTED = "not-accepted"  # its SOP class or transfer syntax; it was not offered in another one
    LOST = "lost"  # no association, or none any more
    UNREADABLE = "unreadable"  # here


@dataclass(frozen=True, slots=True)
class Instance:
    """What is sent. `dataset` opens the bytes behind the file meta information, in pieces; when its turn has come, once."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    dataset: Callable[[], AbstractContextManager[Iterator[bytes]]]

    @property
    def offer(self) -> Offer:
        return Offer(self.sop_class, self.transfer_syntax)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` is the peer's, if it answered. `comment` is its own words and may quote what it was sent: to be shown, never logged."""

    result: Result
    reason: Reason | None = None
    status: int | None = None
    comment: str = ""

    @property
    def arrived(self) -> bool:
        return self.result in (Result.SENT, Result.WARNING)


def send(
    node: Node, calling: str, instances: Sequence[Instance], *, tls: ssl.SSLContext | None = None, patience: Patience | None = None
) -> Iterator[Outcome]:
    """Send instances one after the other; what became of each, in their order. Nothing is tried twice.

    A new association begins where one has no context left for what is next, or had to end because a file of ours cannot be read. If
    the peer ends one, the rest counts as lost.
    """
    done = 0
    while done < len(instances):
        offers = _offers(instances[done:])
        try:
            with Association(node, calling, offers, tls=tls, patience=patience) as association:
                while done < len(instances) and instances[done].offer in offers:
                    yield _sent(association, instances[done])
                    done += 1
        except (Problem, OSError):
            yield Outcome(Result.UNREADABLE, Reason.UNREADABLE)
            done += 1
        except Lost as lost:
            yield from [Outcome(Result.LOST, lost.reason)] * (len(instances) - done)
            return


def _offers(instances: Sequence[Instance]) -> list[Offer]:
    """One context for each SOP class in each transfer syntax, for as many of the next instances as an association holds."""
    return list(islice(dict.fromkeys(instance.offer for instance in instances), CONTEXTS))


def _sent(association: Association, instance: Instance) -> Outcome:
    if refused := association.refused.get(instance.offer):
        return Outcome(Result.NOT_ACCEPTED, refused)
    command: dict[int, int | str] = {
        commandset.AFFECTED_SOP_CLASS: instance.sop_class,
        commandset.FIELD: C_STORE,
        commandset.PRIORITY: _MEDIUM,
        commandset.AFFECTED_SOP_INSTANCE: instance.sop_instance,
    }
    with instance.dataset() as pieces:
        response = association.request(instance.offer, command, pieces)
    return judge(response.status, response.comment)


def judge(status: int, comment: str) -> Outcome:
    """What a status of C-STORE means (PS3.4 B.2.3)."""
    if status == 0:
        return Outcome(Result.SENT, None, status, comment)
    if status in _WARNINGS or status >> 12 == 0xB:
        return Outcome(Result.WARNING, None, status, comment)
    return Outcome(Result.REFUSED, Reason.STATUS, status, comment)
