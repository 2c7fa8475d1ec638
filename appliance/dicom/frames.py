"""Where the frames of a file's pixel data lie, and whether there are as many pixels as the file says."""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

from .reasons import Reason

Spans = tuple[tuple[int, int], ...]
"""Parts of a file as (start, stop) in bytes; together, in order, they are what is meant."""

FRAME_LIMIT: Final = 1 << 30
"""Bytes of one frame, uncompressed."""

_VIDEO: Final = ("1.2.840.10008.1.2.4.10",)  # MPEG-2, H.264, HEVC: all frames in one stream (PS3.5 8.2.5 to 8.2.9)


@dataclass(slots=True)
class Pixels:
    """The pixel data of a file: what it claims (PS3.3 C.7.6.3) and where its bytes are. `frames` is -1 when the claim is no number."""

    keyword: str
    transfer_syntax: str
    offset: int
    length: int
    encapsulated: bool
    rows: int
    columns: int
    samples: int
    bits: int
    frames: int
    subsampled: bool
    table: bytes | None = None  # Basic Offset Table as stored
    fragments: list[tuple[int, int]] = field(default_factory=list)  # (offset, length) of each, without the table

    @property
    def frame_bits(self) -> int:
        """Bits of one uncompressed frame. Native YBR_FULL_422 holds two samples per pixel instead of three (PS3.3 C.7.6.3.1.2)."""
        return self.rows * self.columns * (2 if self.subsampled and self.samples == 3 else self.samples) * self.bits

    @property
    def video(self) -> bool:
        return self.transfer_syntax.startswith(_VIDEO)

    def judge(self) -> Reason | None:
        """What is wrong with the amount of pixels, if anything."""
        if self.frames < 1 or self.frame_bits > FRAME_LIMIT * 8:
            return Reason.ABSURD_SIZE
        if self.encapsulated:
            return Reason.FEWER_PIXELS if not self.fragments or (len(self.fragments) < self.frames and not self.video) else None
        expected = (self.frame_bits * self.frames + 7) // 8
        if self.length < expected:
            return Reason.FEWER_PIXELS
        return Reason.MORE_PIXELS if self.length > expected + expected % 2 else None

    def frame(self, index: int | None = None) -> Spans:
        """The bytes of a frame counted from 0; by default of the middle one. Empty if it cannot be told from the file's structure.

        Frames of single bits need not begin at a byte: then the nearest earlier one that does is given (every eighth does).
        """
        index = self.frames // 2 if index is None else index
        if not 0 <= index < self.frames or self.video:
            return ()
        if self.encapsulated:
            return tuple((offset, offset + length) for offset, length in self._fragments_of(index))
        if self.frame_bits % 8:
            index -= index % 8
        start = self.offset + index * self.frame_bits // 8
        return ((start, start + (self.frame_bits + 7) // 8),)

    def _fragments_of(self, index: int) -> list[tuple[int, int]]:
        """PS3.5 A.4: a frame is one or more fragments; with several frames and fragments only the offset table tells which."""
        if self.frames == 1:
            return self.fragments
        if len(self.fragments) == self.frames:
            return self.fragments[index : index + 1]
        table = self._offsets()
        if len(table) != self.frames:
            return []
        first = self.fragments[0][0] - 8
        starts = [offset - 8 - first for offset, _ in self.fragments]
        begin = bisect_left(starts, table[index])
        end = bisect_left(starts, table[index + 1]) if index + 1 < self.frames else len(starts)
        return self.fragments[begin:end]

    def _offsets(self) -> list[int]:
        table = self.table or b""
        return [int.from_bytes(table[at : at + 4], "little") for at in range(0, len(table) - len(table) % 4, 4)]
