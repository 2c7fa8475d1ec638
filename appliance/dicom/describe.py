"""Reads the facts out of a DICOM header. Runs in the cage.

Values are taken as stored bytes and read tolerantly: a date that is none, a number that is a word, a character set that lies cost
that value at most, never the file.
"""

import io
import math
import re
import unicodedata
import warnings
from collections.abc import Iterator
from typing import Final, cast

from pydicom import dcmread
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.config import strict_reading
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from ..domain.study import Described, InstanceFacts, SeriesFacts, StudyFacts
from .classes import RECORD_KEYS, kind_of, record_of
from .scan import scan

TEXT_LIMIT: Final = 256
"""Characters kept of one text."""
REFERENCE_LIMIT: Final = 512
"""Referenced instances kept of a presentation state."""

_DEFAULT_SETS: Final = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6", "ISO_IR 100", "ISO 2022 IR 100"})
_DELIMITERS: Final = {ord(c) for c in "\r\n\t\f^="}  # where a code extension ends (PS3.5 6.1.2.5.3)
_DATE: Final = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")  # with the dots of ACR-NEMA (PS3.5 6.2, note 6 to DA)
_TIME: Final = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(\.\d{1,6})?)?)?")


def describe(header: bytes) -> Described:
    """The facts of a file whose beginning, up to the pixel data, is `header`. Raises what pydicom raises on what it cannot read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dcmread(io.BytesIO(header), stop_before_pixels=True)
        return _described(ds, _Values(ds), scan((header,)).dataset_offset)


def _described(ds: Dataset, values: "_Values", dataset_offset: int) -> Described:
    meta = _Values(ds.file_meta)
    study = StudyFacts(
        study_uid=values.uid("StudyInstanceUID"),
        patient_id=values.text("PatientID"),
        patient_name=values.name("PatientName"),
        patient_birth_date=values.date("PatientBirthDate"),
        patient_sex=values.text("PatientSex", 16),
        study_id=values.text("StudyID"),
        study_date=values.date("StudyDate"),
        study_time=values.time("StudyTime"),
        description=values.text("StudyDescription"),
        accession_number=values.text("AccessionNumber"),
        referring_physician=values.name("ReferringPhysicianName"),
        institution=values.text("InstitutionName"),
    )
    series = SeriesFacts(
        series_uid=values.uid("SeriesInstanceUID"),
        modality=values.text("Modality", 16),
        number=values.number("SeriesNumber"),
        description=values.text("SeriesDescription"),
        body_part=values.text("BodyPartExamined"),
        laterality=values.text("Laterality", 16) or values.text("ImageLaterality", 16),
        series_date=values.date("SeriesDate"),
        series_time=values.time("SeriesTime"),
    )
    sop_class = values.uid("SOPClassUID")
    rows, columns = values.number("Rows") or 0, values.number("Columns") or 0
    instance = InstanceFacts(
        sop_class=sop_class,
        sop_instance=values.uid("SOPInstanceUID"),
        transfer_syntax=meta.uid("TransferSyntaxUID"),
        kind=kind_of(sop_class, pixels=bool(rows and columns)),
        number=values.number("InstanceNumber"),
        rows=rows,
        columns=columns,
        frames=max(1, values.number("NumberOfFrames") or 1),
        image_type=values.texts("ImageType", 8),
        position=values.floats("ImagePositionPatient", 3),
        orientation=values.floats("ImageOrientationPatient", 6),
        content_date=values.date("ContentDate"),
        content_time=values.time("ContentTime"),
        title=values.text("DocumentTitle"),
        completion=values.text("CompletionFlag", 16),
        verification=values.text("VerificationFlag", 16),
        concept=values.concept("ConceptNameCodeSequence"),
        mime_type=values.text("MIMETypeOfEncapsulatedDocument", 64),
        dataset_offset=dataset_offset,
        charset=values.texts("SpecificCharacterSet", 16),
        source_ae=meta.text("SourceApplicationEntityTitle", 16),
        directory=tuple(values.directory(record_of(sop_class))),
        references=tuple(values.references()) if record_of(sop_class) == "PRESENTATION" else (),
    )
    return Described(study, series, instance)


class _Values:
    """The values of a dataset, by keyword, each in a form that is safe to show and to compare."""

    def __init__(self, ds: Dataset, sets: list[str] | None = None) -> None:
        self._ds = ds
        own = [name.strip() for name in self._raw("SpecificCharacterSet").decode("ascii", "replace").split("\\")]
        self._sets = own if any(own) else sets or [""]

    def text(self, keyword: str, limit: int = TEXT_LIMIT) -> str:
        return _clean(self._decoded(keyword))[:limit]

    def texts(self, keyword: str, limit: int) -> tuple[str, ...]:
        """The first `limit` values of several."""
        values = tuple(_clean(value)[:TEXT_LIMIT] for value in self._decoded(keyword).split("\\")[:limit])
        return values if any(values) else ()

    def name(self, keyword: str) -> str:
        """A person name's first component group that is not empty (PS3.5 6.2.1): alphabetic, ideographic, phonetic."""
        groups = (_clean(group).rstrip("^ ") for group in self._decoded(keyword).split("\\")[0].split("="))
        return next((group for group in groups if group), "")[:TEXT_LIMIT]

    def uid(self, keyword: str) -> str:
        text = self._raw(keyword).rstrip(b"\0 ").decode("ascii", "replace")
        return text if re.fullmatch(r"[0-9.]{1,64}", text) else ""

    def date(self, keyword: str) -> str:
        found = _DATE.fullmatch(self.text(keyword))
        return "".join(found.groups()) if found else ""

    def time(self, keyword: str) -> str:
        found = _TIME.fullmatch(self.text(keyword))
        return "".join(part or "" for part in found.groups()) if found else ""

    def number(self, keyword: str) -> int | None:
        if dictionary_VR(keyword) in ("US", "UL"):
            return int.from_bytes(self._raw(keyword)[:4], "little") if self._raw(keyword) else None
        value = next(iter(self._floats(keyword)), None)
        return int(value) if value is not None and abs(value) < 1 << 31 else None

    def floats(self, keyword: str, count: int) -> tuple[float, ...]:
        """Exactly so many numbers, or none."""
        values = tuple(self._floats(keyword))
        return values if len(values) == count else ()

    def concept(self, keyword: str) -> tuple[str, str, str] | None:
        """Code value, coding scheme, meaning (PS3.3 8.8)."""
        for item in self._items(keyword):
            code = item.text("CodeValue", 64) or item.text("LongCodeValue", 64) or item.text("URNCodeValue", 64)
            return code, item.text("CodingSchemeDesignator", 64), item.text("CodeMeaning", 64)
        return None

    def directory(self, record: str) -> Iterator[tuple[str, str]]:
        """The keys of this instance's DICOMDIR record that it has."""
        for key in RECORD_KEYS[record]:
            keyword = key.rstrip("!")
            match dictionary_VR(keyword):
                case "DA":
                    value = self.date(keyword)
                case "TM":
                    value = self.time(keyword)
                case "PN":
                    value = self.name(keyword)
                case "IS" | "US" | "UL":
                    value = str(number) if (number := self.number(keyword)) is not None else ""
                case _:
                    value = self.text(keyword)
            if value:
                yield keyword, value
        if record == "SR DOCUMENT":  # the latest verification (PS3.3 F.5.25)
            moments = sorted(item.text("VerificationDateTime", 26) for item in self._items("VerifyingObserverSequence"))
            if moments and moments[-1]:
                yield "VerificationDateTime", moments[-1]

    def references(self) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
        """The series and instances that a presentation state applies to (PS3.3 C.11.11)."""
        left = REFERENCE_LIMIT
        for series in self._items("ReferencedSeriesSequence"):
            images = [(i.uid("ReferencedSOPClassUID"), i.uid("ReferencedSOPInstanceUID")) for i in series._items("ReferencedImageSequence")]
            images = [image for image in images if all(image)][:left]
            left -= len(images)
            if images and (uid := series.uid("SeriesInstanceUID")):
                yield uid, tuple(images)

    def _items(self, keyword: str) -> list["_Values"]:
        if keyword not in self._ds:
            return []
        try:
            return [_Values(item, self._sets) for item in self._ds[keyword].value or ()]
        except Exception:  # noqa: BLE001  (whatever pydicom trips over in there, the rest is worth having)
            return []

    def _raw(self, keyword: str) -> bytes:
        element = self._ds.get_item(cast(int, tag_for_keyword(keyword)))
        value = b"" if element is None or element.value is None else element.value
        if isinstance(value, bytes):
            return value
        return "\\".join(map(str, value)).encode() if isinstance(value, MultiValue) else str(value).encode()

    def _decoded(self, keyword: str) -> str:
        return decode(self._raw(keyword), self._sets)

    def _floats(self, keyword: str) -> Iterator[float]:
        for part in self._decoded(keyword).split("\\"):
            try:
                value = float(part.strip("\0 "))
            except ValueError:
                return
            if not math.isfinite(value):
                return
            yield value


def decode(value: bytes, sets: list[str]) -> str:
    """A text as the Specific Character Set (PS3.3 C.12.1.1.2) says; if that lies, as UTF-8, else as Windows-1252.

    Texts that claim to be ASCII or Latin-1 but are valid UTF-8 beyond ASCII are UTF-8: nobody is called "MÃ¼ller".
    """
    value = value.rstrip(b"\0 ")
    if value.isascii() and b"\x1b" not in value:
        return value.decode()
    if sets[0] in _DEFAULT_SETS and b"\x1b" not in value:
        return _guess(value)
    try:
        with strict_reading():
            return decode_bytes(value, convert_encodings(list(sets)), _DELIMITERS)
    except (UnicodeError, LookupError, ValueError):
        return _guess(value)


def _guess(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("cp1252", "replace")


def _clean(text: str) -> str:
    """Without what cannot be seen: controls, and what turns the direction of writing. Line ends become blanks."""
    text = "".join(" " if c in "\r\n\t\f" else c for c in text if c in "\r\n\t\f" or unicodedata.category(c)[0] != "C")
    return " ".join(text.split())
