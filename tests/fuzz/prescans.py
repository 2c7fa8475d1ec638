"""Files for the pre-scan: of every kind that comes in, varied by element."""

import re
import zlib
from itertools import chain

from corpus import element, identifiers, image, part10, pieces, read, written
from fuzzer import MOST

from appliance.dicom import frames, scan, walk
from appliance.dicom.walk import HEADER_LIMIT

# Whole where they are small, else their beginning.
NAMES = (
    *("CT_small.dcm", "MR_small_implicit.dcm", "color3d_jpeg_baseline.dcm", "eCT_Supplemental.dcm", "JPEG2000.dcm", "MR_small_RLE.dcm"),
    *("MR_small_jpeg_ls_lossless.dcm", "SC_rgb_rle_2frame.dcm", "test-SR.dcm", "priv_SQ.dcm", "nested_priv_SQ.dcm", "chrX1.dcm"),
)
PDF = element(0x00420010, "ST", b"Letter") + element(0x00420011, "OB", b"%PDF-1.4") + element(0x00420012, "LO", b"application/pdf ")
CHARSET = element(0x00080005, "CS", b"ISO 2022 IR 6\\ISO 2022 IR 87")
SIZE = element(0x00280008, "IS", b"2 ") + element(0x00280010, "US", b"\x0a\0") + element(0x00280011, "US", b"\x0a\0")
# Two frames, the first of two fragments, and the offset table that tells (PS3.5 table A.4-2).
FRAMES = (
    b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"
    + b"".join(b"\xfe\xff\0\xe0" + len(part).to_bytes(4, "little") + part for part in (b"\0\0\0\0\x14\0\0\0", b"ab", b"cd", b"ef"))
    + b"\xfe\xff\xdd\xe0\0\0\0\0"
)
BORDER = re.compile(rb"(?=[\x02\x08\x10\x18\x20\x28\x40]\0..[A-Z][A-Z])|(?=\xfe\xff[\x00\x0d\xdd]\xe0)|(?=\xe0\x7f\x10\0)", re.DOTALL)


class Prescans:
    """Stateless: one file after the other."""

    modules = (scan, walk, frames)

    def seeds(self) -> list[bytes]:
        made = (
            part10(identifiers() + PDF),
            part10(CHARSET + identifiers()),
            part10(identifiers() + SIZE + FRAMES, "1.2.840.10008.1.2.4.50"),
            written(image(NumberOfFrames=3, PixelData=bytes(300))),
            written(image(Rows=3, Columns=11, NumberOfFrames=2, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=bytes(10))),
        )
        return [*(read(name)[:MOST] for name in NAMES), *made]

    def split(self, data: bytes) -> list[bytes]:
        """Elements and items, where they look like such."""
        return [piece for piece in BORDER.split(data) if piece]

    def fit(self, piece: bytes) -> bytes:
        """An item, or an element of a short form (PS3.5 7.1.2), whose length is right."""
        if piece[:4] == b"\xfe\xff\0\xe0":
            return piece[:4] + max(0, len(piece) - 8).to_bytes(4, "little") + piece[8:]
        if len(piece) >= 8 and piece[4:6].isalpha():
            return piece[:6] + (len(piece) - 8 & 0xFFFF).to_bytes(2, "little") + piece[8:]
        return piece

    def run(self, data: bytes) -> None:
        found = scan.scan([data])
        assert scan.scan(pieces(data, 1 + len(data) // 7)) == found, "it matters how the pieces are cut"
        assert (found.reason is None) == (found.verdict is scan.Verdict.OK)
        assert found.size == len(data)
        assert found.crc32 == zlib.crc32(bytes(min(128, len(data))) + data[128:])
        assert len(found.header) <= min(HEADER_LIMIT, len(data))
        for start, stop in chain.from_iterable(map(found.frame, (None, 0, 1, -1))):
            assert 0 < start <= stop <= found.size

    def check(self) -> None:
        """Nothing is left of one file when the next comes."""
