"""The pre-scan: looks through a Part 10 file (PS3.10 7.1) as it streams by, before anything else does.

It never recurses and never holds pixel data. Whatever the bytes are, the answer is a verdict, never an exception.
Pixel data costs its CRC-32 and its SHA-256 only.
"""

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from .frames import Pixels, Spans
from .reasons import Reason
from .walk import PREAMBLE, SERIES, SOP_CLASS, SOP_INSTANCE, STORED_INSTANCE, STUDY, Stop, Walk, uid


class Verdict(StrEnum):
    """`non-conformant`: breaks the standard, as honest software sometimes does. `hostile`: no honest software makes this."""

    OK = "ok"
    NON_CONFORMANT = "non-conformant"
    HOSTILE = "hostile"


_SPECTROSCOPY: Final = "1.2.840.10008.5.1.4.1.1.4.2"  # rows and columns of spectra (PS3.3 C.8.14.1)
_ELSEWHERE: Final = frozenset({"1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.204"})  # JPIP: pixels are on a server (PS3.5 A.6, A.10)
_HOSTILE: Final = frozenset({Reason.TOO_DEEP, Reason.TOO_MANY, Reason.ABSURD_SIZE})


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found. Offsets and lengths in bytes from the beginning of the file.

    `size`, `crc32`, `sha256` hold whatever the verdict is; the rest is filled as far as the walk came.
    """

    verdict: Verdict
    reason: Reason | None
    where: str  # "(0008,1140) at byte 812": tag and place of what decided, for whoever looks closer
    size: int
    crc32: int  # of the file with its preamble zeroed, which is how files are handed out
    sha256: str  # of the dataset: all that follows the file meta information
    transfer_syntax: str
    dataset_offset: int
    header: bytes  # what stands before the pixel data: whole elements only, without what exceeds the limits of `walk`
    pixels: Pixels | None

    @property
    def pixel_offset(self) -> int:
        """Of the first byte of the pixel data's value; 0 without pixel data."""
        return self.pixels.offset if self.pixels else 0

    @property
    def pixel_length(self) -> int:
        """Of the pixel data's value; encapsulated, with all its items and the delimiter."""
        return self.pixels.length if self.pixels else 0

    def frame(self, index: int | None = None) -> Spans:
        """Where one frame's bytes lie; by default the middle frame's. Empty when there is none or it cannot be told."""
        return self.pixels.frame(index) if self.pixels and self.verdict is Verdict.OK else ()


class Scanner:
    """The pre-scan as a push parser: `feed` it the file piece by piece, then `finish`."""

    def __init__(self) -> None:
        self._size = 0
        self._crc = 0
        self._sha = hashlib.sha256()
        self._walk = Walk()
        self._stop: Stop | None = None

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the file."""
        start, self._size = self._size, self._size + len(piece)
        zeros = max(0, min(PREAMBLE - start, len(piece)))
        self._crc = zlib.crc32(piece[zeros:], zlib.crc32(bytes(zeros), self._crc)) if zeros else zlib.crc32(piece, self._crc)
        in_dataset = self._walk.dataset
        if self._stop is None:
            try:
                self._walk.feed(start, piece)
            except Stop as stop:
                self._stop = stop
        if in_dataset:
            self._sha.update(piece)
        elif self._walk.dataset:
            self._sha.update(self._walk.since(self._walk.dataset))

    def finish(self) -> Scan:
        """The verdict. Nothing may be fed afterwards."""
        walk, stop = self._walk, self._stop
        where = f"at byte {walk.position}"
        if stop is None and not walk.complete:
            stop, where = Stop(Reason.TRUNCATED if walk.dataset else Reason.NOT_DICOM), f"at byte {self._size}"
        stop = stop or _judge(walk)
        reason = stop.reason if stop else None
        return Scan(
            verdict=Verdict.OK if reason is None else Verdict.HOSTILE if reason in _HOSTILE else Verdict.NON_CONFORMANT,
            reason=reason,
            where="" if stop is None else f"({stop.tag >> 16:04X},{stop.tag & 0xFFFF:04X}) {where}" if stop.tag else where,
            size=self._size,
            crc32=self._crc,
            sha256=self._sha.hexdigest(),
            transfer_syntax=walk.transfer_syntax,
            dataset_offset=walk.dataset,
            header=bytes(walk.head),
            pixels=walk.pixels,
        )


def scan(pieces: Iterable[bytes]) -> Scan:
    """Scan a whole file given as consecutive pieces of any size."""
    scanner = Scanner()
    for piece in pieces:
        scanner.feed(piece)
    return scanner.finish()


def _judge(walk: Walk) -> Stop | None:
    """What only the whole file shows: that it says what it is, and that its pixels are as many as it says."""
    identifiers = [uid(walk.values.get(tag, b"")) for tag in (SOP_CLASS, SOP_INSTANCE, STUDY, SERIES)]
    if not all(identifiers):
        return Stop(Reason.NO_IDENTIFIER)
    if (stored := uid(walk.values[STORED_INSTANCE])) and stored != identifiers[1]:
        return Stop(Reason.TWO_IDENTITIES, STORED_INSTANCE)
    if walk.pixels is None:
        missing = walk.claims_pixels and identifiers[0] != _SPECTROSCOPY and walk.transfer_syntax not in _ELSEWHERE
        return Stop(Reason.FEWER_PIXELS) if missing else None
    reason = walk.pixels.judge()
    return Stop(reason, 0x7FE00010) if reason else None
