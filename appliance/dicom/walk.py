"""The walk through a Part 10 file (PS3.10 7.1): one loop over an explicit stack, suspended wherever the bytes at hand end."""

import struct
from collections.abc import Generator
from typing import Final

from pydicom._dicom_dict import DicomDictionary

from .frames import Pixels
from .reasons import Reason

DEPTH_LIMIT: Final = 64
"""Sequences within sequences."""
ELEMENT_LIMIT: Final = 1 << 20
"""Elements, items and fragments together."""
HEADER_LIMIT: Final = 4 << 20
"""Bytes kept of what stands before the pixel data."""
VALUE_LIMIT: Final = 256 << 10
"""Bytes of one value kept in the header. Larger ones (documents, waveforms, overlays) are left out of it with their element."""

PREAMBLE: Final = 128
IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
DEFLATED: Final = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
NATIVE: Final = frozenset({IMPLICIT, EXPLICIT})
_ENCAPSULATED: Final = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5")

SOP_CLASS, SOP_INSTANCE, STUDY, SERIES, STORED_INSTANCE = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00020003
_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _BITS = 0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100
_WANTED: Final = frozenset({SOP_CLASS, SOP_INSTANCE, STUDY, SERIES, _SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _BITS})
_WANTED_LIMIT: Final = 256
_TABLE_LIMIT: Final = 1 << 20  # of a Basic Offset Table: 262,144 frames

_UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXELS: Final = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_SHORT: Final = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())  # PS3.5 7.1.2
_LONG: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_BULK: Final = _LONG - {b"SQ"} | {b""}
_SEQUENCES: Final = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")

_SEQUENCE, _ITEMS, _FRAGMENTS = range(3)
_NEVER: Final = 1 << 62

_tag_and_length = struct.Struct("<HHI").unpack_from
_long = struct.Struct("<I").unpack_from
_short = struct.Struct("<H").unpack_from


class Stop(Exception):  # noqa: N818  (it ends the walk, it is not a fault of ours)
    """The file is not as it must be; `tag` is the element where that showed, 0 if it was none."""

    def __init__(self, reason: Reason, tag: int = 0) -> None:
        self.reason = reason
        self.tag = tag


class Walk:
    """Feed it the file; it fills `dataset` (offset, 0 until known), `transfer_syntax`, `values`, `pixels`, `head`; it may raise `Stop`."""

    def __init__(self) -> None:
        self.dataset = 0
        self.transfer_syntax = ""
        self.values: dict[int, bytes] = {}
        self.pixels: Pixels | None = None
        self.head = bytearray()  # whole top-level elements before the pixel data, so that it is a dataset of its own
        self._mark = 0  # length of the head before the top-level element being walked
        self._keeping = True
        self._window = b""  # the bytes being walked: what was left of the last piece, and this piece
        self._base = 0  # offset of the window in the file
        self._at = 0  # how far the walk is in the window
        self._kept = 0  # from here on the window is not yet in the head
        self._skip = 0  # bytes to pass over that have not arrived yet
        self._between = False  # between two top-level elements
        self._walk = self._file()
        next(self._walk)

    def feed(self, start: int, piece: bytes) -> None:
        """Walk on through the bytes that stand at `start` in the file."""
        used = min(self._skip, len(piece))
        self._skip -= used
        if used and self._keeping:
            self._keep(piece[:used])
        if self._skip:
            return
        rest = self._window[self._at :]
        self._window = rest + piece if rest else piece
        self._base = start - len(rest)
        self._at = self._kept = used
        try:
            next(self._walk)
        finally:
            self._flush()

    @property
    def position(self) -> int:
        return self._base + self._at

    @property
    def complete(self) -> bool:
        """The file may end here."""
        return self._between and not self._skip and self._at == len(self._window)

    @property
    def claims_pixels(self) -> bool:
        """Rows and columns are given, so pixels should be."""
        return bool(_number(self.values.get(_ROWS)) and _number(self.values.get(_COLUMNS)))

    def since(self, offset: int) -> memoryview:
        """The bytes at hand from an offset of the file on."""
        return memoryview(self._window)[offset - self._base :]

    def _keep(self, data: bytes) -> None:
        self.head += data
        if len(self.head) > HEADER_LIMIT:
            del self.head[self._mark :]
            self._keeping = False

    def _flush(self) -> None:
        if self._keeping:
            self._keep(self._window[self._kept : self._at])
        self._kept = self._at

    # `yield` means: no more to be seen without the next piece.

    def _need(self, count: int) -> Generator[None]:
        while len(self._window) - self._at < count:
            yield

    def _pass(self, count: int) -> Generator[None]:
        there = min(count, len(self._window) - self._at)
        self._at += there
        self._skip = count - there
        if self._skip:
            yield

    def _file(self) -> Generator[None]:
        yield from self._need(PREAMBLE + 4)
        if self._window[PREAMBLE : PREAMBLE + 4] != b"DICM":
            raise Stop(Reason.NOT_DICOM)
        self._at = PREAMBLE + 4
        meta = yield from self._file_meta()
        self.dataset = self._base + self._at
        self.transfer_syntax = syntax = uid(meta.get(0x00020010, b""))
        if syntax in DEFLATED:
            raise Stop(Reason.DEFLATED, 0x00020010)
        if syntax == BIG_ENDIAN:
            raise Stop(Reason.BIG_ENDIAN, 0x00020010)
        if syntax not in NATIVE and not syntax.startswith(_ENCAPSULATED):
            raise Stop(Reason.TRANSFER_SYNTAX, 0x00020010)
        self.values[STORED_INSTANCE] = meta.get(0x00020003, b"")
        yield from self._elements(explicit=syntax != IMPLICIT)

    def _file_meta(self) -> Generator[None, None, dict[int, bytes]]:
        """Group 0002, always Explicit VR Little Endian (PS3.10 7.1). Ends where another group begins, whatever its length says."""
        values: dict[int, bytes] = {}
        while True:
            yield from self._need(8)
            group, element = struct.unpack_from("<HH", self._window, self._at)
            if group != 2:
                return values
            tag, vr = group << 16 | element, self._window[self._at + 4 : self._at + 6]
            if len(values) > 64 or tag in values or (vr not in _SHORT and vr not in _LONG):
                raise Stop(Reason.FILE_META, tag)
            size = 12 if vr in _LONG else 8
            yield from self._need(size)
            length: int = _long(self._window, self._at + 8)[0] if size == 12 else _short(self._window, self._at + 6)[0]
            if length > VALUE_LIMIT:
                raise Stop(Reason.FILE_META, tag)
            yield from self._need(size + length)
            values[tag] = self._window[self._at + size : self._at + size + length]
            self._at += size + length

    def _elements(self, *, explicit: bool) -> Generator[None]:
        container, end, bound = _ITEMS, -1, _NEVER  # the dataset is a container that only the file ends
        stack = [(container, end, bound, explicit)]  # what it is, its end (-1: a delimiter), the bound of its content, explicit VR
        count = last = 0
        while True:
            position = self._base + self._at
            while position == end:
                stack.pop()
                container, end, bound, explicit = stack[-1]
            if top := len(stack) == 1:
                self._flush()
                self._mark, self._keeping, self._between = len(self.head), self.pixels is None, True
            if len(self._window) - self._at < 8:
                yield from self._need(8)
            self._between = False
            group, element, length = _tag_and_length(self._window, self._at)
            tag: int = group << 16 | element
            count += 1
            if count > ELEMENT_LIMIT:
                raise Stop(Reason.TOO_MANY, tag)
            if position + 8 > bound:
                raise Stop(Reason.LENGTHS, tag)

            if group == 0xFFFE or container != _ITEMS:
                self._at += 8
                if tag == _ITEM and container == _SEQUENCE:
                    end = -1 if length == _UNDEFINED else position + 8 + length
                    if end > bound:
                        raise Stop(Reason.LENGTHS, tag)
                    container, bound = _ITEMS, bound if end < 0 else end
                    stack.append((container, end, bound, explicit))
                elif tag == _ITEM and container == _FRAGMENTS and length != _UNDEFINED:
                    if position + 8 + length > bound:
                        raise Stop(Reason.LENGTHS, tag)
                    yield from self._fragment(length, of_pixels=len(stack) == 2)
                elif end < 0 and not top and length == 0 and tag == (_ITEM_END if container == _ITEMS else _SEQUENCE_END):
                    stack.pop()
                    container, end, bound, explicit = stack[-1]
                    if len(stack) == 1 and self.pixels and not self.pixels.length:
                        self.pixels.length = position + 8 - self.pixels.offset
                else:
                    raise Stop(Reason.STRUCTURE, tag)
                continue

            size, vr = 8, b""
            if not explicit:
                vr = b"SQ" if tag in _SEQUENCES else b""
            elif (vr := self._window[self._at + 4 : self._at + 6]) in _SHORT:
                length >>= 16
            elif vr in _LONG:
                size = 12
                if len(self._window) - self._at < 12:
                    yield from self._need(12)
                length = _long(self._window, self._at + 8)[0]
            else:
                raise Stop(Reason.REPRESENTATION, tag)
            value = position + size
            if length != _UNDEFINED and value + length > bound:
                raise Stop(Reason.LENGTHS, tag)
            if top:
                if tag <= last or group == 2:
                    raise Stop(Reason.ORDER, tag)
                last = tag
                if tag in _PIXELS:
                    self._begin_pixels(tag, value, length)
                if tag in _PIXELS or (vr in _BULK and length > VALUE_LIMIT):
                    self._keeping = False

            if length == _UNDEFINED or vr == b"SQ":
                if len(stack) > 2 * DEPTH_LIMIT:
                    raise Stop(Reason.TOO_DEEP, tag)
                self._at += size
                if vr in (b"OB", b"OW"):  # encapsulated pixel data (PS3.5 A.4)
                    container = _FRAGMENTS
                elif vr in (b"SQ", b"UN", b"") and tag not in _PIXELS:
                    container, explicit = _SEQUENCE, explicit and vr == b"SQ"  # UN of undefined length is implicit inside (PS3.5 6.2.2)
                else:
                    raise Stop(Reason.REPRESENTATION, tag)
                end = -1 if length == _UNDEFINED else value + length
                bound = bound if end < 0 else end
                stack.append((container, end, bound, explicit))
            elif top and tag in _WANTED and length <= _WANTED_LIMIT:
                yield from self._need(size + length)
                self.values[tag] = self._window[self._at + size : self._at + size + length]
                self._at += size + length
            else:
                yield from self._pass(size + length)

    def _begin_pixels(self, tag: int, offset: int, length: int) -> None:
        encapsulated = length == _UNDEFINED
        if self.pixels or encapsulated == (self.transfer_syntax in NATIVE):
            raise Stop(Reason.STRUCTURE, tag)
        values = self.values
        if (rows := _number(values.get(_ROWS))) is None or (columns := _number(values.get(_COLUMNS))) is None or not rows * columns:
            raise Stop(Reason.NO_SIZE, tag)
        frames = values.get(_FRAMES, b"").split(b"\\")[0].strip(b" \0") or b"1"
        self.pixels = Pixels(
            keyword=_PIXELS[tag],
            transfer_syntax=self.transfer_syntax,
            offset=offset,
            length=0 if encapsulated else length,
            encapsulated=encapsulated,
            rows=rows,
            columns=columns,
            samples=_number(values.get(_SAMPLES)) or 1,
            bits=_number(values.get(_BITS)) or (64 if tag == 0x7FE00009 else 32 if tag == 0x7FE00008 else 16),
            frames=int(frames) if frames.isdigit() and len(frames) < 10 else -1,
            subsampled=values.get(_PHOTOMETRIC, b"").strip(b" \0") == b"YBR_FULL_422",
        )

    def _fragment(self, length: int, *, of_pixels: bool) -> Generator[None]:
        """One item of encapsulated pixel data, its first the Basic Offset Table (PS3.5 A.4)."""
        pixels = self.pixels if of_pixels and self.pixels and not self.pixels.length else None
        if pixels and pixels.table is None:
            if length > _TABLE_LIMIT:
                pixels.table = b""
            else:
                yield from self._need(length)
                pixels.table = self._window[self._at : self._at + length]
        elif pixels:
            pixels.fragments.append((self._base + self._at, length))
        yield from self._pass(length)


def uid(value: bytes) -> str:
    """A UID's text (PS3.5 9.1); nothing if it is not one. Leading zeros of a component are let pass: scanners write them."""
    text = value.rstrip(b"\0 ")
    return text.decode() if len(text) <= 64 and text and not text.strip(b"0123456789.") else ""


def _number(value: bytes | None) -> int | None:
    return int.from_bytes(value, "little") if value is not None and len(value) == 2 else None
