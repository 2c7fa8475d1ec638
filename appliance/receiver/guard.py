"""Who gets a place: decided from addresses and numbers alone, before a byte is read."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ..domain.modalities import Modality, address_of, senders
from ..log import log
from .limits import Limits

_SAY_AGAIN = 60  # seconds until the same refusal of the same peer is worth another line
_REMEMBERED = 1024  # peers and refusals


class Refusal(StrEnum):
    """Why a connection ended before there was an association."""

    STRANGER = "its address is not on the list of modalities"
    PEER_LIMIT = "too many connections from this address"
    EVICTED = "others came, and it had asked for nothing yet"
    SILENT = "it asked for nothing in time"
    LEFT = "it left without a request"
    NOT_DICOM = "what it sent first is no association request"
    NOT_TLS = "what it sent first is no TLS handshake"
    TOO_LONG = "its first PDU is longer than allowed"
    FULL = "all places were taken"


@dataclass(eq=False, slots=True)
class Visitor:
    """A connection that has no place yet. `until` is when its patience ends, on the monotonic clock."""

    number: int
    address: str
    known: bool
    tls: bool
    until: float


@dataclass(slots=True)
class Guard:
    """Counts who waits and who is served. Known modalities find places that nobody else gets."""

    limits: Limits
    modalities: Sequence[Modality]
    _waiting: dict[int, Visitor] = field(default_factory=dict)
    _served: dict[int, Visitor] = field(default_factory=dict)
    _number: int = 0

    def meet(self, host: str, *, tls: bool, now: float) -> Visitor | Refusal:
        """Somebody has connected."""
        address = address_of(host)
        entries = senders(self.modalities, address)
        if self.modalities and not entries:
            return Refusal.STRANGER
        if sum(visitor.address == str(address) for visitor in self._waiting.values()) >= self.limits.per_peer:
            return Refusal.PEER_LIMIT
        self._number += 1
        known = any(entry.known for entry in entries)
        visitor = Visitor(self._number, str(address), known, tls, now + self.limits.patience.first)
        self._waiting[visitor.number] = visitor
        return visitor

    def surplus(self) -> Visitor | None:
        """Who must leave because too many wait: the stranger who has waited longest, and the longest of all when there is none."""
        if len(self._waiting) <= 2 * self.limits.connections:
            return None
        strangers = (visitor for visitor in self._waiting.values() if not visitor.known)
        return next(strangers, next(iter(self._waiting.values())))

    def seat(self, visitor: Visitor) -> bool:
        """Give a place to who has asked, if there is one."""
        served = self._served.values()
        places = self.limits.connections
        if not visitor.known and any(entry.known for entry in self.modalities):
            places -= self.limits.reserved
        if len(served) >= places or sum(other.address == visitor.address for other in served) >= self.limits.per_peer:
            return False
        self._served[visitor.number] = self._waiting.pop(visitor.number)
        return True

    def leave(self, number: int) -> None:
        """Somebody is gone, from wherever."""
        self._waiting.pop(number, None)
        self._served.pop(number, None)

    def overdue(self, now: float) -> list[Visitor]:
        return [visitor for visitor in self._waiting.values() if visitor.until <= now]


class Refusals:
    """Counts refusals, and says each kind of each peer once a minute: a flood must not fill the log."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.total: Counter[Refusal] = Counter()
        self._unsaid: Counter[tuple[Refusal, str]] = Counter()
        self._said: dict[tuple[Refusal, str], float] = {}

    def note(self, refusal: Refusal, address: str) -> None:
        self.total[refusal] += 1
        key, now = (refusal, address), self._clock()
        self._unsaid[key] += 1
        if now - self._said.get(key, -_SAY_AGAIN) < _SAY_AGAIN:
            return
        if len(self._said) >= _REMEMBERED:
            self._said.clear()
            self._unsaid = Counter({key: self._unsaid[key]})
        self._said[key] = now
        log.warning("connection refused", peer=address, reason=str(refusal), times=self._unsaid.pop(key))
