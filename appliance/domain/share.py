"""Shares: what one is, the states it goes through, and who may open it.

A share is a letter to one reader. Its record (which studies, how long, with what rights) is fixed text whose digest is bound
into the wraps of the study keys, so a record edited in the database opens nothing.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Final

DAY: Final = 86_400


class Audience(StrEnum):
    """Whom the letter is for."""

    PATIENT = "patient"
    REFERRER = "referrer"


class Release(StrEnum):
    """When the reader of a share may read its reports."""

    NOW = "now"
    LATER = "later"  # 24 hours after the share was made, so that the practice can call first
    BY_HAND = "by-hand"
    NEVER = "never"  # images only


class ShareState(StrEnum):
    """What a share is, at a moment. `docs/states.md` draws it."""

    NOT_YET = "not-yet"
    OPEN = "open"
    LOCKED = "locked"  # too many wrong passwords; the desk unlocks
    EXPIRED = "expired"  # may be reactivated within the grace time
    REVOKED = "revoked"
    GONE = "gone"  # its keys are forgotten


@dataclass(frozen=True, slots=True)
class ShareRecord:
    """What was agreed when the share was made or last changed. Times in UTC seconds.

    `reports_from`: reports may be read from then on; None: not until the desk releases them.
    `may_read_reports` False: images only, whatever `reports_from` says.
    """

    share_id: str
    audience: Audience
    language: str
    studies: tuple[str, ...]
    created_at: int
    not_before: int
    expires_at: int
    may_download: bool
    may_read_reports: bool
    reports_from: int | None

    def canonical(self) -> str:
        """The record as the one text that is stored and digested: JSON, sorted keys, no blanks."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    def digest(self) -> bytes:
        """SHA-512/256 of the canonical text; part of the context of every study key wrapped for this share."""
        return hashlib.new("sha512_256", self.canonical().encode()).digest()

    @classmethod
    def parse(cls, text: str) -> "ShareRecord":
        """The record of a canonical text. ValueError, KeyError or TypeError if it is not one."""
        fields = json.loads(text)
        fields["studies"] = tuple(fields["studies"])
        fields["audience"] = Audience(fields["audience"])
        return cls(**fields)

    def until(self, expires_at: int) -> "ShareRecord":
        return replace(self, expires_at=expires_at)


@dataclass(frozen=True, slots=True)
class Share:
    """A share as the registry knows it: the record and what happened to it since."""

    record: ShareRecord
    revoked_at: int | None = None
    closed_at: int | None = None  # its keys were forgotten then
    locked_at: int | None = None

    def state(self, now: int) -> ShareState:
        if self.closed_at is not None:
            return ShareState.GONE
        if self.revoked_at is not None:
            return ShareState.REVOKED
        if now >= self.record.expires_at:
            return ShareState.EXPIRED
        if self.locked_at is not None:
            return ShareState.LOCKED
        if now < self.record.not_before:
            return ShareState.NOT_YET
        return ShareState.OPEN


@dataclass(frozen=True, slots=True)
class Proof:
    """What the keyholder answers to a right code and password: for which share, under which record."""

    share_id: str
    record_digest: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """No, and why. Only a reader who proved the password is told which."""

    reason: ShareState


_MINT = object()


class Grant:
    """The right to read one share now. Only `open_share` makes one; it is made anew for every request, so revocation is immediate."""

    __slots__ = ("made_at", "record")

    def __init__(self, record: ShareRecord, made_at: int, mint: object) -> None:
        if mint is not _MINT:
            raise TypeError("only open_share makes a Grant")
        self.record = record
        self.made_at = made_at

    @property
    def reports_released(self) -> bool:
        record = self.record
        return record.may_read_reports and record.reports_from is not None and record.reports_from <= self.made_at


def open_share(share: Share, proof: Proof, now: int) -> Grant | Refused:
    """The one decision whether a proven reader may read a share at this moment.

    A record that is not the one the keyholder knows (somebody edited the row) counts as gone.
    """
    if share.record.share_id != proof.share_id or share.record.digest() != proof.record_digest:
        return Refused(ShareState.GONE)
    state = share.state(now)
    if state is not ShareState.OPEN:
        return Refused(state)
    return Grant(share.record, now, _MINT)
