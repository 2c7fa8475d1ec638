"""Studies as the practice speaks of them: what is known of a study, a series, an instance and a report.

These are the facts that the ingester's cage reads out of DICOM headers. All of them are sealed at rest.
Texts are decoded Unicode, dates are DICOM DA (YYYYMMDD) and times DICOM TM as written in the file, both possibly empty.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class StudyState(StrEnum):
    """`receiving` until the study has been quiet for a while; then `complete`; `forgotten` once its key is destroyed."""

    RECEIVING = "receiving"
    COMPLETE = "complete"
    FORGOTTEN = "forgotten"


class Kind(StrEnum):
    """What a stored instance is to its reader."""

    IMAGE = "image"
    DOCUMENT = "document"  # encapsulated PDF or CDA
    REPORT = "report"  # structured report
    TECHNICAL = "technical"  # dose reports, presentation states, key objects, raw data…: in the download, hidden from patients
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """Who and what a study is. `patient_name` is the PN component group as stored (FAMILY^GIVEN^…, first of `=` groups kept)."""

    study_uid: str = ""
    patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    study_id: str = ""
    study_date: str = ""
    study_time: str = ""
    description: str = ""
    accession_number: str = ""
    referring_physician: str = ""
    institution: str = ""


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What a series is. `number` is None where the file has none (PS3.3 C.7.3.1, type 2)."""

    series_uid: str = ""
    modality: str = ""
    number: int | None = None
    description: str = ""
    body_part: str = ""
    laterality: str = ""
    series_date: str = ""
    series_time: str = ""


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What one stored file is: identification, what sorts it, what a DICOMDIR and a viewer must know. Positions in mm, sizes in pixels."""

    sop_class: str = ""
    sop_instance: str = ""
    transfer_syntax: str = ""
    kind: Kind = Kind.OTHER
    number: int | None = None
    rows: int = 0
    columns: int = 0
    frames: int = 1
    image_type: tuple[str, ...] = ()
    position: tuple[float, ...] = ()  # Image Position (Patient), 3 values or none
    orientation: tuple[float, ...] = ()  # Image Orientation (Patient), 6 values or none
    content_date: str = ""
    content_time: str = ""
    title: str = ""  # of a document
    completion: str = ""  # SR Completion Flag
    verification: str = ""  # SR Verification Flag
    concept: tuple[str, str, str] | None = None  # SR Concept Name: code value, scheme, meaning
    mime_type: str = ""  # of an encapsulated document
    dataset_offset: int = 0  # bytes of preamble, prefix and file meta before the dataset
    charset: tuple[str, ...] = field(default=())  # Specific Character Set as stored
    source_ae: str = ""
    directory: tuple[tuple[str, str], ...] = ()  # further keys of its DICOMDIR record (PS3.3 F.5): keyword, text
    references: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()  # a presentation state's: series, its (SOP class, SOP instance)s


@dataclass(frozen=True, slots=True)
class Described:
    """All facts of one file, as the cage returns them."""

    study: StudyFacts
    series: SeriesFacts
    instance: InstanceFacts


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What a report is: the title shown to readers, and the number of pages."""

    title: str = ""
    pages: int = 0


_SEX = {"M": "M", "F": "F", "O": "O"}


def person_name(name: str) -> str:
    """A DICOM person name (PS3.5 6.2.1) as people write it: "Family, Prefix Given Middle Suffix" without empty parts."""
    alphabetic = name.split("=")[0]
    family, given, middle, prefix, suffix = (*(part.strip() for part in alphabetic.split("^")), "", "", "", "", "")[:5]
    rest = " ".join(part for part in (prefix, given, middle, suffix) if part)
    return f"{family}, {rest}" if family and rest else family or rest


def sex(code: str) -> str:
    """M, F, O or nothing."""
    return _SEX.get(code.strip().upper(), "")
