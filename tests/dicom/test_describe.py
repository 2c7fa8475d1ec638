"""What is read out of headers, whatever they claim about themselves."""

import json
from typing import Any

import pytest
from corpus import element, image, paths, read, written
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.dicom.classes import kind_of, record_of
from appliance.dicom.describe import decode, describe
from appliance.dicom.facts import from_json, to_json
from appliance.dicom.scan import Verdict, scan
from appliance.domain.study import Described, InstanceFacts, Kind, StudyFacts

NAMES = {
    "chrArab.dcm": "قباني^لنزار",
    "chrFren.dcm": "Buc^Jérôme",
    "chrFrenMulti.dcm": "Buc^Jérôme",
    "chrGerm.dcm": "Äneas^Rüdiger",
    "chrGreek.dcm": "Διονυσιος",
    "chrH31.dcm": "Yamada^Tarou",
    "chrH32.dcm": "ﾔﾏﾀﾞ^ﾀﾛｳ",
    "chrHbrw.dcm": "שרון^דבורה",
    "chrI2.dcm": "Hong^Gildong",
    "chrJapMulti.dcm": "やまだ^たろう",
    "chrKoreanMulti.dcm": "김희중",
    "chrRuss.dcm": "Люкceмбypг",
    "chrX1.dcm": "Wang^XiaoDong",
    "chrX2.dcm": "Wang^XiaoDong",
}


def of(data: bytes) -> Described:
    return describe(scan([data]).header)


def with_value(keyword_tag: int, vr: str, value: bytes, charset: bytes | None = None) -> bytes:
    """A file with an element written as it stands, and a Specific Character Set that need not be true."""
    data = written(image())
    offset = scan([data]).dataset_offset
    new = [(0x00080005, element(0x00080005, "CS", charset))] if charset is not None else []
    new.append((keyword_tag, element(keyword_tag, vr, value + b" " * (len(value) % 2))))
    body = data[offset:]
    for tag, encoded in new:
        at = 0
        while at < len(body) and int.from_bytes(body[at : at + 2], "little") << 16 | int.from_bytes(body[at + 2 : at + 4], "little") < tag:
            long = body[at + 4 : at + 6] in (b"OB", b"OW")
            at += 12 + int.from_bytes(body[at + 8 : at + 12], "little") if long else 8 + int.from_bytes(body[at + 6 : at + 8], "little")
        body = body[:at] + encoded + body[at:]
    return data[:offset] + body


@pytest.mark.parametrize("name", NAMES)
def test_character_sets(name: str) -> None:
    assert of(read(name)).study.patient_name == NAMES[name]


@pytest.mark.parametrize(
    ("value", "charset"),
    [
        ("Müller^Käthe".encode(), b"ISO_IR 192"),
        ("Müller^Käthe".encode("latin-1"), b"ISO_IR 100"),
        ("Müller^Käthe".encode(), b"ISO_IR 100"),  # lies
        ("Müller^Käthe".encode("latin-1"), b"ISO_IR 192"),  # lies
        ("Müller^Käthe".encode("latin-1"), b""),
        ("Müller^Käthe".encode("latin-1"), None),
        ("Müller^Käthe".encode(), None),
        ("Müller^Käthe".encode("latin-1"), b"NO SUCH SET"),
        ("Müller^Käthe=漢字^一=かな".encode(), b"ISO_IR 192"),
        ("=Müller^Käthe".encode(), b"ISO_IR 192"),
        ("Müller^Käthe^^^\0".encode(), b"ISO_IR 192"),
        ("Mül\x07ler\u202e^\nKäthe".encode(), b"ISO_IR 192"),
    ],
)
def test_names_come_out_right_even_if_the_character_set_lies(value: bytes, charset: bytes | None) -> None:
    if charset is not None and len(charset) % 2:
        charset += b" "
    data = with_value(0x00100010, "PN", value, charset)
    assert scan([data]).verdict is Verdict.OK
    assert of(data).study.patient_name.replace("^ ", "^") == "Müller^Käthe"


@given(st.binary(max_size=200), st.lists(st.sampled_from(["", "ISO_IR 100", "ISO_IR 192", "GB18030", "ISO 2022 IR 87", "?"]), min_size=1))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:::pydicom")
def test_any_bytes_are_decoded_somehow(value: bytes, sets: list[str]) -> None:
    assert isinstance(decode(value, sets), str)


@pytest.mark.parametrize("name", [name for name in paths() if name.endswith(".dcm")])
def test_real_files_come_through_unchanged_by_json(name: str) -> None:
    found = scan([paths()[name].read_bytes()])
    if found.verdict is Verdict.OK:
        described = describe(found.header)
        assert from_json(Described, to_json(described)) == described
        assert described.instance.dataset_offset == found.dataset_offset
        assert described.instance.transfer_syntax == found.transfer_syntax


def test_a_slice() -> None:
    found = of(read("CT_small.dcm"))
    assert found.study.patient_name == "CompressedSamples^CT1"
    assert (found.study.study_date, found.study.study_time) == ("20040119", "072730")
    assert (found.series.modality, found.series.number) == ("CT", 1)
    assert found.instance.kind is Kind.IMAGE
    assert (found.instance.rows, found.instance.columns, found.instance.frames, found.instance.number) == (128, 128, 1, 1)
    assert found.instance.position == pytest.approx((-158.135803, -179.035797, -75.699997))
    assert found.instance.orientation == (1, 0, 0, 0, 1, 0)
    assert found.instance.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert found.instance.source_ae == "CLUNIE1"


def test_a_structured_report() -> None:
    found = of(read("test-SR.dcm")).instance
    assert found.kind is Kind.REPORT
    assert found.concept == ("1111", "TEST", "Diagnosis")
    assert (found.completion, found.verification) == ("COMPLETE", "VERIFIED")
    assert dict(found.directory)["VerificationDateTime"] == "20010213184746"


def test_a_presentation_state_keeps_what_it_refers_to() -> None:
    from pydicom.dataset import Dataset

    referenced = Dataset()
    referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.99"
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = "1.2.98", [referenced]
    ds = image(SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1", ContentLabel="MARKED", ReferencedSeriesSequence=[series])
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(ds, keyword)
    found = of(written(ds)).instance
    assert found.kind is Kind.TECHNICAL
    assert found.references == (("1.2.98", (("1.2.840.10008.5.1.4.1.1.2", "1.2.99"),)),)
    assert dict(found.directory)["ContentLabel"] == "MARKED"


@pytest.mark.parametrize(
    ("tag", "vr", "value", "where", "expected"),
    [
        (0x00100030, "DA", b"19700229", "patient_birth_date", "19700229"),  # impossible, but of the right form
        (0x00100030, "DA", b"1970.02.28", "patient_birth_date", "19700228"),
        (0x00100030, "DA", b"yesterday", "patient_birth_date", ""),
        (0x00080030, "TM", b"10:11:12", "study_time", "101112"),
        (0x00080030, "TM", b"101112.5", "study_time", "101112.5"),
        (0x00080030, "TM", b"noon", "study_time", ""),
        (0x00081030, "LO", b"x" * 5000, "description", "x" * 256),
        (0x00081030, "UT", b"two\r\nlines", "description", "two lines"),
        (0x00081030, "OB", b"not even text", "description", "not even text"),
        (0x00081030, "LO", b"<script>alert(1)</script>", "description", "<script>alert(1)</script>"),
    ],
)
def test_strange_values(tag: int, vr: str, value: bytes, where: str, expected: str) -> None:
    assert getattr(of(with_value(tag, vr, value)).study, where) == expected


@pytest.mark.parametrize(("value", "expected"), [(b" 12 ", 12), (b"-3", -3), (b"7.0", 7), (b"seven", None), (b"", None), (b"9" * 40, None)])
def test_strange_numbers(value: bytes, expected: int | None) -> None:
    assert of(with_value(0x00200013, "IS", value)).instance.number == expected


@pytest.mark.parametrize("value", [b"1\\2", b"1\\2\\x", b"1\\2\\nan", b"1\\2\\3\\4", b""])
def test_strange_positions(value: bytes) -> None:
    assert of(with_value(0x00200032, "DS", value)).instance.position == ()


@pytest.mark.parametrize(
    ("sop_class", "kind", "record"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", Kind.IMAGE, "IMAGE"),
        ("1.2.840.10008.5.1.4.1.1.1.2.1", Kind.IMAGE, "IMAGE"),
        ("1.2.840.10008.5.1.4.1.1.88.33", Kind.REPORT, "SR DOCUMENT"),
        ("1.2.840.10008.5.1.4.1.1.88.67", Kind.TECHNICAL, "SR DOCUMENT"),
        ("1.2.840.10008.5.1.4.1.1.88.59", Kind.TECHNICAL, "KEY OBJECT DOC"),
        ("1.2.840.10008.5.1.4.1.1.104.1", Kind.DOCUMENT, "ENCAP DOC"),
        ("1.2.840.10008.5.1.4.1.1.9.1.1", Kind.OTHER, "WAVEFORM"),
        ("1.2.840.10008.5.1.4.1.1.481.3", Kind.TECHNICAL, "RT STRUCTURE SET"),
        ("1.2.840.10008.5.1.4.1.1.66.4", Kind.TECHNICAL, "IMAGE"),
        ("1.2.840.10008.5.1.4.1.1.66", Kind.TECHNICAL, "RAW DATA"),
        ("1.2.840.10008.5.1.4.1.1.4.2", Kind.TECHNICAL, "SPECTROSCOPY"),
        ("1.2.3.4", Kind.IMAGE, "IMAGE"),
    ],
)
def test_kinds(sop_class: str, kind: Kind, record: str) -> None:
    assert kind_of(sop_class, pixels=True) is kind
    assert record_of(sop_class) == record


def test_an_unknown_class_without_pixels_is_no_image() -> None:
    assert kind_of("1.2.3.4", pixels=False) is Kind.OTHER


# What the cage says is not believed.

HONEST = json.loads(to_json(Described(StudyFacts(), describe(scan([read("CT_small.dcm")]).header).series, InstanceFacts())))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("study"),
        lambda d: d.update(more=1),
        lambda d: d["study"].update(patient_name=5),
        lambda d: d["study"].update(patient_name="x" * 2000),
        lambda d: d["study"].update(patient_name="a\nb"),
        lambda d: d["study"].update(patient_name="a\u202eb"),
        lambda d: d["study"].update(patient_name="\ud800"),
        lambda d: d["instance"].update(kind="emperor"),
        lambda d: d["instance"].update(rows="1"),
        lambda d: d["instance"].update(rows=True),
        lambda d: d["instance"].update(rows=1 << 60),
        lambda d: d["instance"].update(position=[1.0, float("nan"), 2.0]),
        lambda d: d["instance"].update(concept=["a", "b"]),
        lambda d: d["instance"].update(charset=["a"] * 2000),
        lambda d: d["instance"].update(references=[["1.2", "1.2"]]),
        lambda d: d.update(study=[]),
    ],
)
def test_a_lying_cage(change: Any) -> None:
    facts = json.loads(json.dumps(HONEST))
    assert from_json(Described, json.dumps(facts).encode()).series.modality == "CT"
    change(facts)
    with pytest.raises(ValueError, match="not a"):
        from_json(Described, json.dumps(facts).encode())


@given(st.one_of(st.binary(max_size=50), st.just(b"[" * 100_000), st.just(b"null"), st.just(b"1" * 5000)))
def test_garbage_is_no_facts(data: bytes) -> None:
    with pytest.raises(ValueError):
        from_json(Described, data)
