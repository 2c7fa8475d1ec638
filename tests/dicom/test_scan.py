"""The pre-scan: right about every real file, and never more than a verdict about anything else."""

import hashlib
import io
import itertools
import struct
import time
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from corpus import element, identifiers, image, part10, paths, pieces, read, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import generate_frames

from appliance.dicom.reasons import Reason
from appliance.dicom.scan import Scan, Scanner, Verdict, scan
from appliance.dicom.walk import DEPTH_LIMIT, ELEMENT_LIMIT, HEADER_LIMIT, VALUE_LIMIT

IMPLICIT = "1.2.840.10008.1.2"
UNDEFINED = b"\xff\xff\xff\xff"
ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"

# All bundled files are in order but these.
REFUSED = {
    Reason.NOT_DICOM: {"OT-PAL-8-face.dcm", "ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "README", "no_meta.dcm", "rtstruct.dcm"},
    Reason.DEFLATED: {"image_dfl.dcm"},
    Reason.TRANSFER_SYNTAX: {"meta_missing_tsyntax.dcm"},
    Reason.TRUNCATED: {"MR_truncated.dcm", "rtplan_truncated.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm"},
    Reason.LENGTHS: {"DICOMDIR-nooffset"},
    Reason.REPRESENTATION: {"SC_rgb_jpeg.dcm"},  # says explicit VR, is implicit
    Reason.ORDER: {"winter.dcm"},
    Reason.MORE_PIXELS: {"MR_small_padded.dcm"},
    Reason.FEWER_PIXELS: {"chrKoreanMulti.dcm"},  # its pixels were taken out
    Reason.NO_SIZE: {"nested_priv_SQ.dcm"},
    Reason.TWO_IDENTITIES: {
        *("chrJapMulti.dcm", "chrJapMultiExplicitIR6.dcm", "badVR.dcm"),
        *("rtdose.dcm", "rtdose_1frame.dcm", "rtplan.dcm"),
    },
    Reason.NO_IDENTIFIER: {
        *("bad_sequence.dcm", "chrSQEncoding.dcm", "chrSQEncoding1.dcm", "UN_sequence.dcm", "empty_charset_LEI.dcm"),
        *("fall.dcm", "hotiron.dcm", "hotmetalblue.dcm", "pet.dcm", "pet20step.dcm", "spring.dcm", "summer.dcm"),
        *("JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm", "SC_rgb_jls_lossy_line.dcm", "SC_rgb_jls_lossy_sample.dcm"),
        *("DICOMDIR", "DICOMDIR-empty.dcm", "DICOMDIR-implicit", "DICOMDIR-nopatient", "DICOMDIR-reordered"),
        *("no_meta_group_length.dcm", "priv_SQ.dcm"),
    },
    Reason.BIG_ENDIAN: {
        *("OBXXXX1A_expb.dcm", "OBXXXX1A_expb_2frame.dcm", "SC_rgb_expb.dcm", "SC_rgb_expb_16bit.dcm", "SC_rgb_expb_16bit_2frame.dcm"),
        *("SC_rgb_expb_2frame.dcm", "SC_rgb_expb_32bit.dcm", "SC_rgb_expb_32bit_2frame.dcm", "emri_small_big_endian.dcm"),
        *("gdcm-US-ALOKA-16_big.dcm", "liver_expb.dcm", "ExplVR_BigEnd.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm"),
        *("SC_rgb_small_odd_big_endian.dcm", "DICOMDIR-bigEnd", "liver_expb_1frame.dcm", "rtdose_expb.dcm", "rtdose_expb_1frame.dcm"),
    },
}
EXPECTED = {name: reason for reason, names in REFUSED.items() for name in names}

FEW = ("CT_small.dcm", "MR_small_implicit.dcm", "MR_small_RLE.dcm", "test-SR.dcm", "explicit_VR-UN.dcm", "reportsi.dcm", "priv_SQ.dcm")


@pytest.mark.parametrize("name", paths())
def test_real_files(name: str) -> None:
    data = paths()[name].read_bytes()
    found = scan(pieces(data, 65_536))
    assert found.reason == EXPECTED.get(paths()[name].name), found.where
    assert found.verdict is (Verdict.NON_CONFORMANT if found.reason else Verdict.OK)
    assert found.size == len(data)
    assert found.crc32 == zlib.crc32(bytes(min(128, len(data))) + data[128:])
    if found.reason:
        return
    assert found.sha256 == hashlib.sha256(data[found.dataset_offset :]).hexdigest()
    ds = dcmread(io.BytesIO(data))
    assert found.transfer_syntax == ds.file_meta.TransferSyntaxUID
    if found.pixels:
        end = found.pixel_offset + found.pixel_length
        value = ds[found.pixels.keyword].value
        # pydicom's value ends before the sequence delimiter of encapsulated pixel data
        assert data[found.pixel_offset : end] == value + (SEQUENCE_END if found.pixels.encapsulated else b"")


@pytest.mark.parametrize("name", FEW)
def test_the_header_is_the_file_without_what_is_large(name: str) -> None:
    data = read(name)
    header, whole = dcmread(io.BytesIO(scan([data]).header)), dcmread(io.BytesIO(data))
    assert header == whole[:0x7FE00000]
    assert header.file_meta == whole.file_meta


@given(st.sampled_from(FEW), st.lists(st.integers(0, 40_000), max_size=30))
@settings(max_examples=60, deadline=None)
def test_it_does_not_matter_how_the_pieces_are_cut(name: str, cuts: list[int]) -> None:
    data = read(name)
    ends = [0, *sorted(cuts), len(data)]
    assert scan(data[a:b] for a, b in itertools.pairwise(ends)) == scan([data])


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm", "test-SR.dcm"])
def test_single_bytes(name: str) -> None:
    data = read(name)
    assert scan(pieces(data, 1)) == scan([data])


# Frames


@pytest.mark.parametrize("name", ["color3d_jpeg_baseline.dcm", "emri_small_RLE.dcm", "JPEG-LL.dcm", "SC_rgb_rle_2frame.dcm"])
def test_encapsulated_frames(name: str) -> None:
    data = read(name)
    found, ds = scan([data]), dcmread(io.BytesIO(data))
    frames = list(generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames", 1))))
    assert [b"".join(data[a:b] for a, b in found.frame(i)) for i in range(len(frames))] == frames
    assert found.frame() == found.frame(len(frames) // 2)
    assert found.frame(len(frames)) == found.frame(-1) == ()


def test_frames_of_several_fragments_by_the_offset_table() -> None:
    """PS3.5 table A.4-2: two frames, the first of two fragments."""
    frames = [b"ab" * 4, b"cd" * 2, b"ef" * 3]
    body = b"".join(ITEM + struct.pack("<I", len(frame)) + frame for frame in frames)
    table = ITEM + struct.pack("<3I", 8, 0, 16 + 12)
    ds = image(NumberOfFrames=2)
    del ds.PixelData
    pixels = b"\xe0\x7f\x10\x00OB\0\0" + UNDEFINED + table + body + SEQUENCE_END
    data = written(ds, "1.2.840.10008.1.2.4.50") + pixels
    found = scan([data])
    assert found.verdict is Verdict.OK
    assert [b"".join(data[a:b] for a, b in found.frame(i)) for i in (0, 1)] == [frames[0] + frames[1], frames[2]]


def test_native_frames() -> None:
    data = read("emri_small.dcm")
    found, ds = scan([data]), dcmread(io.BytesIO(data))
    size = ds.Rows * ds.Columns * 2
    for i in range(ds.NumberOfFrames):
        ((start, stop),) = found.frame(i)
        assert data[start:stop] == ds.PixelData[i * size : (i + 1) * size]


def test_frames_of_single_bits_begin_at_a_byte() -> None:
    ds = image(bytes(range(46)), Rows=3, Columns=11, NumberOfFrames=11, BitsAllocated=1, BitsStored=1, HighBit=0)
    found = scan([data := written(ds)])
    ((start, stop),) = found.frame(10)
    assert data[start:stop] == bytes(range(33, 38))  # frame 8 begins at bit 8 × 33, which is byte 33


# What is refused


def nested(depth: int, *, defined: bool, explicit: bool) -> bytes:
    """A file with sequences in sequences (PS3.5 7.5)."""
    inner = b""
    for _ in range(depth):
        size = struct.pack("<I", len(inner)) if defined else UNDEFINED
        content = ITEM + size + inner + (b"" if defined else ITEM_END)
        size = struct.pack("<I", len(content)) if defined else UNDEFINED
        inner = b"\x08\x00\x40\x11" + (b"SQ\0\0" if explicit else b"") + size + content + (b"" if defined else SEQUENCE_END)
    return part10(inner, "1.2.840.10008.1.2.1" if explicit else IMPLICIT)


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("explicit", [True, False])
def test_nesting(defined: bool, explicit: bool) -> None:
    assert scan([nested(DEPTH_LIMIT, defined=defined, explicit=explicit)]).reason is Reason.NO_IDENTIFIER  # all else is in order
    found = scan([nested(DEPTH_LIMIT + 1, defined=defined, explicit=explicit)])
    assert (found.verdict, found.reason) == (Verdict.HOSTILE, Reason.TOO_DEEP)


def test_nesting_without_end() -> None:
    level = b"\x08\x00\x40\x11SQ\0\0" + UNDEFINED + ITEM + UNDEFINED
    assert scan([part10(level * 1_000_000)]).reason is Reason.TOO_DEEP


def test_too_many_elements() -> None:
    one = element(0x00080000, "LO", b"")[4:]
    body = b"".join(struct.pack("<HH", 9 + 2 * (i >> 16), i & 0xFFFF) + one for i in range(1, ELEMENT_LIMIT + 2))
    found = scan([part10(body)])
    assert (found.verdict, found.reason) == (Verdict.HOSTILE, Reason.TOO_MANY)


SEQUENCE = b"\x08\x00\x40\x11SQ\0\0"
NAME = element(0x00100010, "PN", b"Alice ")

BROKEN = {
    "empty": (b"", Reason.NOT_DICOM),
    "only a preamble": (bytes(132), Reason.NOT_DICOM),
    "a picture": (b"\x89PNG\r\n" + bytes(1000), Reason.NOT_DICOM),
    "nothing after the prefix": (bytes(128) + b"DICM", Reason.NOT_DICOM),
    "file meta twice": (part10(element(0x00020010, "UI", b"1.2")), Reason.FILE_META),
    "file meta of a strange type": (bytes(128) + b"DICM\2\0\1\0??\0\0", Reason.FILE_META),
    "big endian": (part10(NAME, "1.2.840.10008.1.2.2"), Reason.BIG_ENDIAN),
    "deflated": (part10(NAME, "1.2.840.10008.1.2.1.99"), Reason.DEFLATED),
    "private syntax": (part10(NAME, "1.2.840.113619.5.2"), Reason.TRANSFER_SYNTAX),
    "cut in an element's head": (part10(NAME + b"\x10\x00\x20"), Reason.TRUNCATED),
    "cut in a value": (part10(NAME[:-2]), Reason.TRUNCATED),
    "length far beyond the end": (part10(element(0x00100010, "UN", b"")[:-4] + b"\xfe\xff\xff\xff"), Reason.TRUNCATED),
    "sequence without end": (part10(SEQUENCE + UNDEFINED + ITEM + UNDEFINED + NAME), Reason.TRUNCATED),
    "item longer than its sequence": (part10(SEQUENCE + b"\x10\0\0\0" + ITEM + b"\x20\0\0\0" + bytes(32)), Reason.LENGTHS),
    "element longer than its item": (part10(SEQUENCE + b"\x10\0\0\0" + ITEM + b"\x08\0\0\0" + NAME), Reason.LENGTHS),
    "element across its sequence": (part10(SEQUENCE + b"\x0c\0\0\0" + ITEM + UNDEFINED + NAME), Reason.LENGTHS),
    "item outside a sequence": (part10(ITEM + b"\0\0\0\0"), Reason.STRUCTURE),
    "delimiter outside a sequence": (part10(SEQUENCE_END), Reason.STRUCTURE),
    "delimiter with content": (part10(SEQUENCE + UNDEFINED + SEQUENCE_END[:4] + b"\2\0\0\0ab"), Reason.STRUCTURE),
    "element between items": (part10(SEQUENCE + UNDEFINED + NAME + SEQUENCE_END), Reason.STRUCTURE),
    "unknown type": (part10(b"\x10\x00\x10\x00ZZ\2\0ab"), Reason.REPRESENTATION),
    "text of undefined length": (part10(b"\x10\x00\x10\x00UT\0\0" + UNDEFINED), Reason.REPRESENTATION),
    "twice the same element": (part10(NAME + NAME), Reason.ORDER),
    "descending": (part10(NAME + element(0x00080050, "SH", b"")), Reason.ORDER),
    "file meta in the dataset": (part10(element(0x00010000, "UN", b"") + element(0x00020010, "UI", b"1.2")), Reason.ORDER),
    "no study": (part10(NAME), Reason.NO_IDENTIFIER),
    "a path as identifier": (part10(identifiers().replace(b"1.2.10", b"../../")), Reason.NO_IDENTIFIER),
    "pixels without size": (part10(identifiers() + element(0x7FE00010, "OB", bytes(100))), Reason.NO_SIZE),
    "encapsulated as native": (part10(identifiers() + b"\xe0\x7f\x10\x00OB\0\0" + UNDEFINED + SEQUENCE_END), Reason.STRUCTURE),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(case: str) -> None:
    data, reason = BROKEN[case]
    for size in (1, 1 << 20):
        found = scan(pieces(data, size))
        assert found.reason is reason, found.where
        assert found.verdict is Verdict.NON_CONFORMANT
        assert found.size == len(data)
        assert found.crc32 == zlib.crc32(bytes(min(128, len(data))) + data[128:])


PIXELS = {
    "as it should be": ({}, None),
    "an even length of an odd picture": ({"Rows": 3, "Columns": 3, "PixelData": bytes(10)}, None),
    "one row short": ({"PixelData": bytes(90)}, Reason.FEWER_PIXELS),
    "one row more": ({"PixelData": bytes(110)}, Reason.MORE_PIXELS),
    "frames missing": ({"NumberOfFrames": 2}, Reason.FEWER_PIXELS),
    "no rows": ({"Rows": 0}, Reason.NO_SIZE),
    "no frames": ({"NumberOfFrames": 0}, Reason.ABSURD_SIZE),
    "absurd": ({"Rows": 65535, "Columns": 65535}, Reason.ABSURD_SIZE),
    "absurd frames": ({"NumberOfFrames": 2_000_000_000}, Reason.ABSURD_SIZE),
    "many frames": ({"NumberOfFrames": 200_000_000}, Reason.FEWER_PIXELS),
    "colour": ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "PixelData": bytes(300)}, None),
    "subsampled": (
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", "PlanarConfiguration": 0, "PixelData": bytes(200)},
        None,
    ),
}


@pytest.mark.parametrize("case", PIXELS)
def test_the_amount_of_pixels(case: str) -> None:
    changes, reason = PIXELS[case]
    found = scan([written(image(**changes))])
    assert found.reason is reason
    assert found.verdict is (Verdict.HOSTILE if reason is Reason.ABSURD_SIZE else Verdict.NON_CONFORMANT if reason else Verdict.OK)


def test_fewer_fragments_than_frames() -> None:
    data = read("emri_small_RLE.dcm").replace(b"\x28\x00\x08\x00IS\x02\x0010", b"\x28\x00\x08\x00IS\x02\x0099")
    assert scan([data]).reason is Reason.FEWER_PIXELS


def test_two_identities() -> None:
    data = written(image()).replace(b"1.2.30", b"1.2.31", 1)
    assert scan([data]).reason is Reason.TWO_IDENTITIES


# What is kept


def test_large_values_are_left_out_of_the_header() -> None:
    """A document stands before its MIME type, and the type is wanted."""
    body = (
        identifiers()
        + element(0x00420010, "ST", b"Report")
        + element(0x00420011, "OB", bytes(VALUE_LIMIT + 2))
        + element(0x00420012, "LO", b"application/pdf ")
    )
    for size in (1000, 1 << 22):
        found = scan(pieces(part10(body), size))
        assert found.verdict is Verdict.OK
        header = dcmread(io.BytesIO(found.header))
        assert header.DocumentTitle == "Report"
        assert header.MIMETypeOfEncapsulatedDocument == "application/pdf"
        assert "EncapsulatedDocument" not in header


def test_a_large_sequence_is_left_out_whole() -> None:
    items = (ITEM + struct.pack("<I", len(NAME)) + NAME) * (HEADER_LIMIT // len(NAME))
    after = element(0x00401001, "SH", b"after ")
    for size in (UNDEFINED, struct.pack("<I", len(items))):
        sequence = b"\x40\x00\x75\x02SQ\0\0" + size + items + (SEQUENCE_END if size == UNDEFINED else b"")
        found = scan(pieces(part10(identifiers() + sequence + after), 10_000))
        assert found.verdict is Verdict.OK
        assert len(found.header) < HEADER_LIMIT
        header = dcmread(io.BytesIO(found.header))
        assert "RequestAttributesSequence" not in header
        assert header.RequestedProcedureID == "after"


def test_memory_stays_flat_over_pixel_data() -> None:
    head = written(image(Rows=20_000, Columns=20_000, PixelData=b"\0\0"))
    at = head.rindex(b"\xe0\x7f\x10\x00")
    head = head[:at] + b"\xe0\x7f\x10\x00OB\0\0" + struct.pack("<I", 400_000_000)

    def stream() -> Iterator[bytes]:
        yield head
        piece = bytes(1_000_000)
        for _ in range(400):
            yield piece

    tracemalloc.start()
    found = scan(stream())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.verdict is Verdict.OK
    assert found.pixel_length == 400_000_000
    assert peak < 4_000_000


def test_a_preamble_counts_as_zeros() -> None:
    program, plain = part10(identifiers(), preamble=b"MZ" + b"\x90" * 126), part10(identifiers())
    assert scan([program]).crc32 == zlib.crc32(plain)
    assert scan([program]).sha256 == scan([plain]).sha256


# Anything


def survives(data: bytes, size: int = 4096) -> Scan:
    begin = time.perf_counter()
    found = scan(pieces(data, size))
    assert time.perf_counter() - begin < 5
    assert isinstance(found.verdict, Verdict)
    assert (found.reason is None) == (found.verdict is Verdict.OK)
    assert found.size == len(data)
    assert len(found.header) <= HEADER_LIMIT
    if found.verdict is Verdict.OK and found.pixels:
        for start, stop in found.frame():
            assert 0 < start <= stop <= found.size
    return found


@given(
    st.sampled_from(FEW),
    st.lists(st.tuples(st.floats(0, 0.999), st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from([UNDEFINED, ITEM])))),
    st.floats(0, 1),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_files(name: str, changes: list[tuple[float, bytes]], keep: float) -> None:
    original = read(name)
    data = bytearray(original[:20_000])  # where the elements are
    for place, new in changes:
        at = int(place * len(data))
        data[at : at + len(new)] = new
    survives(bytes(data[: int(keep * len(data))]) + original[20_000:])


@given(st.binary(max_size=400), st.sampled_from(["1.2.840.10008.1.2.1", IMPLICIT, "1.2.840.10008.1.2.4.50"]), st.integers(1, 100))
@settings(max_examples=400, deadline=None)
def test_any_bytes(body: bytes, syntax: str, size: int) -> None:
    survives(part10(body, syntax), size)
    survives(body, size)


PARTS = st.sampled_from([ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, SEQUENCE, NAME, b"\xe0\x7f\x10\x00OB\0\0", b"\0\0\0\0", b"\x10\0\0\0"])


@given(st.lists(PARTS, max_size=60), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_structure(parts: list[bytes], encapsulated: bool) -> None:
    survives(part10(b"".join(parts), "1.2.840.10008.1.2.4.50" if encapsulated else "1.2.840.10008.1.2.1"))


def test_cut_anywhere() -> None:
    """Only a file cut between two elements before its size is given passes: it looks like one that has no pixels."""
    data = read("MR_small_RLE.dcm")
    whole = scan([data])
    cuts = range(whole.pixel_offset + whole.pixel_length)
    passed = [end for end in cuts if survives(data[:end]).verdict is Verdict.OK]
    assert len(passed) < 50
    assert max(passed) <= data.rindex(b"\x28\x00\x11\x00US")


def test_the_scanner_is_done_with_a_bad_file_but_counts_on() -> None:
    scanner = Scanner()
    bad = part10(b"\xff" * 100)
    scanner.feed(bad)
    scanner.feed(b"more")
    found = scanner.finish()
    assert found.size == len(bad) + 4
    assert found.crc32 == zlib.crc32(bad + b"more")
    assert found.sha256 == hashlib.sha256(b"\xff" * 100 + b"more").hexdigest()
