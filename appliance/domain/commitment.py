"""Storage commitment (PS3.4 Annex J): what a modality asks, and what it can be told of each instance."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
PUSH_MODEL_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""The one instance of the class, well known (PS3.4 J.3.5)."""


class Failure(IntEnum):
    """Failure Reason (0008,1197) (PS3.3 C.14.1.1)."""

    PROCESSING = 0x0110  # here, but not as it was received
    NO_SUCH_INSTANCE = 0x0112
    CLASS_CONFLICT = 0x0119  # here, but of another SOP class
    RESOURCES = 0x0213  # here, but not yet where it would survive the loss of this machine


class Reference(NamedTuple):
    """An instance whose keeping is asked for."""

    sop_class: str
    sop_instance: str


@dataclass(frozen=True, slots=True)
class Request:
    """What a modality asks: its AE title, its Transaction UID, and the instances."""

    calling: str
    transaction: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What it is told: of each instance None, or why not."""

    request: Request
    failures: tuple[Failure | None, ...]

    @property
    def kept(self) -> list[Reference]:
        return [reference for reference, failure in zip(self.request.references, self.failures, strict=True) if failure is None]

    @property
    def failed(self) -> list[tuple[Reference, Failure]]:
        return [(reference, failure) for reference, failure in zip(self.request.references, self.failures, strict=True) if failure]
