"""What one peer, and all together, may take."""

import os
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait, and bytes a second to expect.

    `first` for the whole first PDU, for a TLS handshake, and for a peer to close; `pdu` for the rest of a PDU and for the next one
    of an instance; `idle` between instances. An instance that comes slower than `rate` over any `pdu` seconds has stalled.
    """

    first: float = 5
    pdu: float = 30
    idle: float = 120
    rate: int = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes. `connections` are all at once; the last `reserved` of them are kept for known modalities."""

    instance: int = 4 << 30
    reserve: int = 1 << 30  # left free on the volume of the intake
    connections: int = 32
    reserved: int = 8
    per_peer: int = 4  # connections of one address, and as many again that wait for a place
    pdu: int = 256 << 10  # offered, and enforced
    first_pdu: int = 1 << 20  # 128 contexts with 38 transfer syntaxes each take a third of it
    patience: Patience = field(default_factory=Patience)


def workers() -> int:
    """Processes that serve associations: one a core, because sealing holds Python's lock; more than four gain nothing here."""
    return max(1, min(4, len(os.sched_getaffinity(0))))
