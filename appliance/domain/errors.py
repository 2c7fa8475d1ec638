"""A refusal is a value with a reason: what went wrong, in the reader's words, and a code that each door translates once."""

from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """Kinds of refusal. Every door has one table from these to its own status (HTTP, DICOM, exit code)."""

    INVALID = "invalid"  # what was given makes no sense as it is
    UNAUTHENTICATED = "unauthenticated"  # nobody we know
    FORBIDDEN = "forbidden"  # known, but may not
    NOT_FOUND = "not-found"
    CONFLICT = "conflict"  # the state does not allow it
    TOO_LARGE = "too-large"
    WAIT = "wait"  # too many tries; `values["seconds"]` says how long
    UNAVAILABLE = "unavailable"  # something we need does not answer now
    DAMAGED = "damaged"  # bytes at rest are not what we wrote
    NO_SPACE = "no-space"


class Problem(Exception):  # noqa: N818  (it is a refusal for a person, more often than a fault)
    """A refusal with a sentence for the person who meets it.

    `message` is an English sentence and at the same time the key under which `appliance.language` finds its translation;
    `values` fill its %(name)s places. It never holds a patient's name, a code, a password or a token.
    """

    def __init__(self, code: Code, message: str, **values: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.values = values

    def __str__(self) -> str:
        return self.message % self.values if self.values else self.message
