"""ZIP archives (PKWARE APPNOTE 6.3) of which every byte is known before the first is sent.

Entries are stored, not compressed, and sizes and CRC-32 are known beforehand; so the length is exact, any range can be produced
without touching the entries before it, and the same entries always give the same bytes. No temporary file, no memory beyond a piece.
"""

import hashlib
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Final

from ..domain.errors import Code, Problem

Source = Callable[[int, int], Iterable[bytes]]
"""The bytes of an entry from start to stop, in pieces of any size."""

_FULL_32: Final = 0xFFFFFFFF
_FULL_16: Final = 0xFFFF
_LOCAL, _CENTRAL = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I")
_END_64, _LOCATOR, _END = struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI"), struct.Struct("<4s4H2IH")
_UNIX_FILE: Final = 0o100644 << 16  # external attributes of an ordinary file that anybody may read
_MADE_BY: Final = 3 << 8 | 45  # on Unix, by version 4.5


@dataclass(frozen=True, slots=True)
class Entry:
    """A file to be stored. `name`: ASCII, parts joined by slashes; `modified`: UTC seconds."""

    name: str
    size: int
    crc32: int
    source: Source
    modified: int = 0


class Plan:
    """The whole archive, laid out. ValueError for a name that is not ASCII, leads outside, or comes twice."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        names = {entry.name for entry in entries}
        if len(names) < len(entries) or not all(map(_proper, names)):
            raise ValueError("names must be different, plain ASCII, and lead nowhere else")
        # Where each local header, then each central header begins, with the end of the last.
        self._locals = list(accumulate((30 + len(e.name) + len(_local_extra(e)) + e.size for e in entries), initial=0))
        self._centrals = list(
            accumulate(
                (46 + len(e.name) + len(_central_extra(e, at)) for e, at in zip(entries, self._locals, strict=False)),
                initial=self._locals[-1],
            )
        )
        self._end = self._end_records()

    @property
    def length(self) -> int:
        """Of the archive, in bytes."""
        return self._centrals[-1] + len(self._end)

    @property
    def etag(self) -> str:
        """A strong validator (RFC 9110, 8.8.1), without quotes: names, times, sizes and CRC-32 of all entries, in order."""
        digest = hashlib.sha256()
        for entry in self._entries:
            digest.update(f"{entry.name}\n{entry.size} {entry.crc32} {entry.modified}\n".encode())
        return digest.hexdigest()[:32]

    def stream(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The archive's bytes from `start` to `stop`. Problem(DAMAGED) if a source gives more or fewer bytes than it should."""
        stop = self.length if stop is None else min(stop, self.length)
        start = max(0, start)
        if start >= stop:
            return
        if start < self._locals[-1]:
            first = bisect_right(self._locals, start) - 1
            for place in range(first, len(self._entries)):
                if self._locals[place] >= stop:
                    return
                yield from self._local(place, start - self._locals[place], stop - self._locals[place])
        if start < self._centrals[-1] and stop > self._centrals[0]:
            first = max(0, bisect_right(self._centrals, start) - 1)
            for place in range(first, len(self._entries)):
                if self._centrals[place] >= stop:
                    return
                yield from _cut(self._central(place), start - self._centrals[place], stop - self._centrals[place])
        yield from _cut(self._end, start - self._centrals[-1], stop - self._centrals[-1])

    def _local(self, place: int, start: int, stop: int) -> Iterator[bytes]:
        """A local header and its file; start and stop count from the header's first byte (4.3.7)."""
        entry = self._entries[place]
        extra, name = _local_extra(entry), entry.name.encode()
        sizes = (_FULL_32, _FULL_32) if extra else (entry.size, entry.size)
        version = 45 if extra else 20
        head = _LOCAL.pack(b"PK\3\4", version, 0, 0, *_dos_time(entry.modified), entry.crc32, *sizes, len(name), len(extra)) + name + extra
        yield from _cut(head, start, stop)
        begin, end = max(0, start - len(head)), min(entry.size, stop - len(head))
        if begin < end:
            yield from _exactly(entry, begin, end)

    def _central(self, place: int) -> bytes:
        """4.3.12."""
        entry, at = self._entries[place], self._locals[place]
        extra, name = _central_extra(entry, at), entry.name.encode()
        sizes = (_FULL_32, _FULL_32) if entry.size >= _FULL_32 else (entry.size, entry.size)
        fixed = _CENTRAL.pack(
            *(b"PK\1\2", _MADE_BY, 45 if extra else 20, 0, 0, *_dos_time(entry.modified), entry.crc32, *sizes),
            *(len(name), len(extra), 0, 0, 0, _UNIX_FILE, min(at, _FULL_32)),
        )
        return fixed + name + extra

    def _end_records(self) -> bytes:
        """4.3.14 to 4.3.16."""
        count, offset = len(self._entries), self._locals[-1]
        size = self._centrals[-1] - offset
        end = _END.pack(b"PK\5\6", 0, 0, *[min(count, _FULL_16)] * 2, min(size, _FULL_32), min(offset, _FULL_32), 0)
        if count < _FULL_16 and size < _FULL_32 and offset < _FULL_32:
            return end
        end_64 = _END_64.pack(b"PK\6\6", _END_64.size - 12, _MADE_BY, 45, 0, 0, count, count, size, offset)
        return end_64 + _LOCATOR.pack(b"PK\6\7", 0, offset + size, 1) + end


def _local_extra(entry: Entry) -> bytes:
    """4.5.3: the sizes, when they need 64 bits."""
    return struct.pack("<2H2Q", 1, 16, entry.size, entry.size) if entry.size >= _FULL_32 else b""


def _central_extra(entry: Entry, at: int) -> bytes:
    """4.5.3: of sizes and offset those that need 64 bits."""
    wide = ([entry.size, entry.size] if entry.size >= _FULL_32 else []) + ([at] if at >= _FULL_32 else [])
    return struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""


def _cut(data: bytes, start: int, stop: int) -> Iterator[bytes]:
    if stop > 0 and (piece := data[max(0, start) : stop]):
        yield piece


def _exactly(entry: Entry, start: int, stop: int) -> Iterator[bytes]:
    left = stop - start
    for piece in entry.source(start, stop):
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left:
        raise Problem(Code.DAMAGED, "A file in the download is not as long as it was when it arrived. The download was stopped.")


def _proper(name: str) -> bool:
    return name.isascii() and name.isprintable() and "\\" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def _dos_time(seconds: int) -> tuple[int, int]:
    """4.4.6, in UTC so that it is the same everywhere; years 1980 to 2107, even seconds."""
    moment = datetime.fromtimestamp(max(315_532_800, min(seconds, 4_354_819_198)), UTC)
    time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    return time, (moment.year - 1980) << 9 | moment.month << 5 | moment.day


def entry_of(name: str, data: bytes, modified: int = 0) -> Entry:
    """An entry of bytes at hand."""
    return Entry(name, len(data), zlib.crc32(data), lambda start, stop: (data[start:stop],), modified)
