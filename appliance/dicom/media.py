"""The download as an IHE PDI file-set (IHE RAD TF-2 4.47; PS3.10 8): what is in it and under which name.

DICOMDIR   README.TXT   INDEX.HTM
DICOM/PT000000/ST000000/SE000000/IM000000 …     the files as they came, with their preamble zeroed
IHE_PDI/REPORTS/REP00001.PDF …                  the reports, once more than as documents in the file-set
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Final

from ..domain.study import InstanceFacts, Kind, ReportFacts, SeriesFacts, StudyFacts
from . import covers, dicomdir
from .classes import record_of
from .covers import Content, Practice, Words
from .encode import UTF_8, dataset, part10
from .walk import EXPLICIT, PREAMBLE
from .zip import Entry, entry_of

__all__ = ["File", "Item", "Practice", "Report", "Words", "encapsulated_pdf", "tree"]

ENCAPSULATED_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"
_SERIES_NUMBER: Final = 9000  # of our reports, behind those of any scanner

Read = Callable[[int, int], Iterable[bytes]]
"""The bytes of a file from start to stop, in pieces of any size."""


@dataclass(frozen=True, slots=True)
class File:
    """A file's size in bytes, CRC-32 and content."""

    size: int
    crc32: int
    read: Read


@dataclass(frozen=True, slots=True)
class Item:
    """A DICOM file and what is known of it. `crc32` is that of the file with its preamble zeroed (`Scan.crc32`)."""

    study: StudyFacts
    series: SeriesFacts
    instance: InstanceFacts
    size: int
    crc32: int
    read: Read


@dataclass(frozen=True, slots=True)
class Report:
    """A report on a study: its PDF, and the same as the instance that `encapsulated_pdf` made under the same `report_id`."""

    study: StudyFacts
    facts: ReportFacts
    report_id: str
    pdf: File
    instance: File


def tree(items: Iterable[Item], reports: Sequence[Report], practice: Practice, words: Words, *, created_at: int) -> list[Entry]:
    """All files of the download. `created_at` (UTC seconds) is their time. The same in gives the same out, byte for byte.

    Of several items that are the same instance, the last counts: a file-set cannot hold two.
    """
    items = [*items, *map(_report_item, reports)]
    unique = list({item.instance.sop_instance: item for item in items}.values())
    patients, files = _directory(unique)
    pdfs = [(f"IHE_PDI/REPORTS/REP{place:05}.PDF", report) for place, report in enumerate(reports, start=1)]
    content = Content(
        [(item.study, item.series, item.instance) for item in unique],
        [(name, report.study, report.facts) for name, report in pdfs],
    )
    uid = _uid("file-set", str(created_at), *(item.instance.sop_instance for item in unique))
    covering = {
        "DICOMDIR": dicomdir.dicomdir(patients, uid),
        "README.TXT": covers.readme(content, practice, words),
        "INDEX.HTM": covers.index(content, practice, words),
    }
    return [
        *(entry_of(name, data, created_at) for name, data in covering.items()),
        *(Entry(name, report.pdf.size, report.pdf.crc32, report.pdf.read, created_at) for name, report in pdfs),
        *(Entry(name, item.size, item.crc32, _without_preamble(item.read), created_at) for name, item in files),
    ]


def _directory(items: Iterable[Item]) -> tuple[list[dicomdir.Record], list[tuple[str, Item]]]:
    """The directory's records, and each file with its name."""
    patients: list[dicomdir.Record] = []
    files: list[tuple[str, Item]] = []
    studies = count(1)
    for of_patient in _groups(sorted(items, key=_order), lambda item: item.study.patient_id or item.study.patient_name):
        patient = dicomdir.patient(of_patient[0].study, len(patients) + 1)
        for of_study in _groups(of_patient, lambda item: item.study.study_uid):
            about = of_study[0].study
            dates = sorted(filter(None, (date for item in of_study for date in (item.series.series_date, item.instance.content_date))))
            study = dicomdir.study(about, next(studies), dates[0] if dates else "")
            for of_series in _groups(of_study, lambda item: item.series.series_uid):
                series = dicomdir.series(of_series[0].series, len(study.below) + 1)
                folder = f"DICOM/PT{len(patients):06}/ST{len(patient.below):06}/SE{len(study.below):06}"
                for place, item in enumerate(of_series):
                    name = f"{folder}/IM{place:06}"
                    record = record_of(item.instance.sop_class)
                    series.below.append(dicomdir.instance(record, item.instance, place + 1, name, about))
                    files.append((name, item))
                study.below.append(series)
            patient.below.append(study)
        patients.append(patient)
    return patients, files


def _order(item: Item) -> tuple[str, str, bool, int, str, bool, int, str]:
    study, series, instance = item.study, item.series, item.instance
    return (
        *(study.study_date, study.study_time),
        *(series.number is None, series.number or 0, series.series_uid),
        *(instance.number is None, instance.number or 0, instance.sop_instance),
    )


def _groups(items: Iterable[Item], key: Callable[[Item], str]) -> list[list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return list(found.values())


def _without_preamble(read: Read) -> Read:
    """The 128 bytes before a file's prefix mean nothing to DICOM (PS3.10 7.1) but may make it a program to others."""

    def zeroed(start: int, stop: int) -> Iterator[bytes]:
        if start < PREAMBLE:
            yield bytes(min(stop, PREAMBLE) - start)
            start = PREAMBLE
        if start < stop:
            yield from read(start, stop)

    return zeroed


# Reports


def encapsulated_pdf(study: StudyFacts, report: ReportFacts, report_id: str, pdf: bytes, created_at: int) -> bytes:
    """A PDF as a DICOM file in a series of its own (Encapsulated PDF IOD, PS3.3 A.45.1), for readers that know only DICOM.

    `created_at`: UTC seconds. The UIDs follow from `report_id`.
    """
    about, instance = _report_series(report_id), _report_instance(report, report_id, EXPLICIT)
    moment = datetime.fromtimestamp(created_at, UTC)
    body = dataset(
        {
            "SpecificCharacterSet": UTF_8,
            "InstanceCreationDate": f"{moment:%Y%m%d}",
            "InstanceCreationTime": f"{moment:%H%M%S}",
            "SOPClassUID": instance.sop_class,
            "SOPInstanceUID": instance.sop_instance,
            "StudyDate": study.study_date,
            "ContentDate": "",  # when it was written is not known
            "AcquisitionDateTime": "",
            "StudyTime": study.study_time,
            "ContentTime": "",
            "AccessionNumber": study.accession_number,
            "Modality": about.modality,
            "ConversionType": "WSD",
            "Manufacturer": "Bildbrief",
            "InstitutionName": study.institution,
            "ReferringPhysicianName": study.referring_physician,
            "TimezoneOffsetFromUTC": "+0000",
            "StudyDescription": study.description,
            "SeriesDescription": report.title,
            "PatientName": study.patient_name,
            "PatientID": study.patient_id,
            "PatientBirthDate": study.patient_birth_date,
            "PatientSex": study.patient_sex,
            "StudyInstanceUID": study.study_uid,
            "SeriesInstanceUID": about.series_uid,
            "StudyID": study.study_id,
            "SeriesNumber": _SERIES_NUMBER,
            "InstanceNumber": 1,
            "BurnedInAnnotation": "YES",
            "ConceptNameCodeSequence": [],
            "DocumentTitle": report.title,
            "EncapsulatedDocument": pdf,
            "MIMETypeOfEncapsulatedDocument": instance.mime_type,
            "EncapsulatedDocumentLength": len(pdf),
        }
    )
    return part10(instance.sop_class, instance.sop_instance, body)


def _report_item(report: Report) -> Item:
    series = replace(_report_series(report.report_id), description=report.facts.title)
    instance = _report_instance(report.facts, report.report_id, EXPLICIT)
    return Item(report.study, series, instance, report.instance.size, report.instance.crc32, report.instance.read)


def _report_series(report_id: str) -> SeriesFacts:
    return SeriesFacts(series_uid=_uid("series", report_id), modality="DOC", number=_SERIES_NUMBER)


def _report_instance(report: ReportFacts, report_id: str, transfer_syntax: str) -> InstanceFacts:
    mime_type = "application/pdf"
    return InstanceFacts(
        sop_class=ENCAPSULATED_PDF,
        sop_instance=_uid("instance", report_id),
        transfer_syntax=transfer_syntax,
        kind=Kind.DOCUMENT,
        number=1,
        title=report.title,
        mime_type=mime_type,
        directory=(("InstanceNumber", "1"), ("DocumentTitle", report.title), ("MIMETypeOfEncapsulatedDocument", mime_type)),
    )


def _uid(purpose: str, *parts: str) -> str:
    """A UID derived from a UUID (PS3.5 B.2) that follows from its parts (RFC 9562, version 8)."""
    digest = bytearray(hashlib.sha256("\0".join(("bildbrief", purpose, *parts)).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return f"2.25.{int.from_bytes(digest)}"
