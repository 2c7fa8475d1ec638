"""The directory of a file-set (PS3.3 F, PS3.10 8): one DICOMDIR, written in one pass.

Keys that a record must have and its file lacks get generated values here, and only here; the files stay as they are.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..domain.study import InstanceFacts, SeriesFacts, StudyFacts
from .classes import RECORD_KEYS
from .encode import UTF_8, Value, dataset, item, part10

MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"

# What a required key gets when neither its file nor what is around it gives a value.
_GENERATED: Final[Mapping[str, str]] = {
    "CompletionFlag": "PARTIAL",
    "Columns": "1",
    "ContentLabel": "UNNAMED",
    "DataPointColumns": "1",
    "DataPointRows": "1",
    "DoseSummationType": "PLAN",
    "ImageType": r"DERIVED\SECONDARY",
    "MIMETypeOfEncapsulatedDocument": "application/octet-stream",
    "Modality": "OT",
    "NumberOfFrames": "1",
    "Rows": "1",
    "RTPlanLabel": "UNNAMED",
    "StructureSetLabel": "UNNAMED",
    "VerificationFlag": "UNVERIFIED",
}
_DATE, _TIME = "19000101", "000000"
_CONCEPTS: Final = {
    "SR DOCUMENT": ("121144", "DCM", "Document Title"),
    "KEY OBJECT DOC": ("113000", "DCM", "Of Interest"),
}


@dataclass(slots=True)
class Record:
    """A directory record: its type, its keys, and the records below it."""

    type: str
    keys: dict[str, Value]
    below: list["Record"] = field(default_factory=list)


def patient(facts: StudyFacts, place: int) -> Record:
    """The PATIENT record; `place` counts from 1 within the file-set."""
    keys = {
        "PatientName": facts.patient_name,
        "PatientID": facts.patient_id or f"PATIENT{place:05}",
        "PatientBirthDate": facts.patient_birth_date,
        "PatientSex": facts.patient_sex,
    }
    return _record("PATIENT", keys, {})


def study(facts: StudyFacts, place: int, date: str) -> Record:
    """The STUDY record; `date`: what some part of the study says, if the study itself says none."""
    keys = {
        "StudyDate": facts.study_date or date or _DATE,
        "StudyTime": facts.study_time or _TIME,
        "AccessionNumber": facts.accession_number,
        "StudyDescription": facts.description,
        "StudyInstanceUID": facts.study_uid,
        "StudyID": facts.study_id or f"STUDY{place:05}",
    }
    return _record("STUDY", keys, {})


def series(facts: SeriesFacts, place: int) -> Record:
    """The SERIES record."""
    number = str(place if facts.number is None else facts.number)
    keys = {
        "Modality": facts.modality,
        "SeriesInstanceUID": facts.series_uid,
        "SeriesNumber": number,
        "SeriesDescription": facts.description,
    }
    return _record("SERIES", keys, {})


def instance(record: str, facts: InstanceFacts, place: int, path: str, about: StudyFacts) -> Record:
    """The record of one file at `path`, its parts joined by slashes."""
    date, time = facts.content_date or about.study_date or _DATE, facts.content_time or about.study_time or _TIME
    around = {
        "InstanceNumber": str(place),
        "ContentDate": date,
        "ContentTime": time,
        "PresentationCreationDate": date,
        "PresentationCreationTime": time,
        "InstanceCreationDate": date,
    }
    made = _record(record, dict(facts.directory), around)
    made.keys |= {
        "ReferencedFileID": path.replace("/", "\\"),
        "ReferencedSOPClassUIDInFile": facts.sop_class,
        "ReferencedSOPInstanceUIDInFile": facts.sop_instance,
        "ReferencedTransferSyntaxUIDInFile": facts.transfer_syntax,
    }
    if record in _CONCEPTS or record == "ENCAP DOC":
        concept = facts.concept or _CONCEPTS.get(record)
        made.keys["ConceptNameCodeSequence"] = [_code(concept)] if concept and all(concept) else []
    if record == "SR DOCUMENT" and made.keys["VerificationFlag"] == "VERIFIED":
        made.keys["VerificationDateTime"] = dict(facts.directory).get("VerificationDateTime") or date + time
    if facts.references:
        made.keys["ReferencedSeriesSequence"] = [
            {
                "SeriesInstanceUID": uid,
                "ReferencedImageSequence": [
                    {"ReferencedSOPClassUID": sop_class, "ReferencedSOPInstanceUID": sop_instance} for sop_class, sop_instance in images
                ],
            }
            for uid, images in facts.references
        ]
    return made


def _record(record: str, has: Mapping[str, str], around: Mapping[str, str]) -> Record:
    """With the keys of its type: the required ones from the file, from around it, or generated; the others as the file has them."""
    keys: dict[str, Value] = {}
    for key in RECORD_KEYS[record]:
        keyword = key.rstrip("!")
        value = has.get(keyword, "")
        keys[keyword] = value or (around.get(keyword) or _GENERATED.get(keyword, "") if key.endswith("!") else "")
    return Record(record, keys)


def _code(concept: tuple[str, str, str]) -> Mapping[str, Value]:
    value, scheme, meaning = concept
    return {"CodeValue" if len(value) <= 16 else "LongCodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}


# Writing

_NEXT_AT, _LOWER_AT = 16, 38  # of the two offsets within an encoded item: they are its first and third element


def dicomdir(patients: Iterable[Record], file_set_uid: str) -> bytes:
    """The whole file. Records follow each other depth first; each knows the offset of its next sibling and of its first child."""
    flat: list[tuple[Record, int]] = list(_flat(patients, 0))
    encoded = [bytearray(item(dataset(_with_offsets(record)))) for record, _ in flat]
    offsets, at = [], len(_file(file_set_uid, 0, 0, b""))
    for data in encoded:
        offsets.append(at)
        at += len(data)
    last: dict[int, int] = {}  # by depth, the record that waits for its next sibling
    for place, (_, depth) in enumerate(flat):
        if depth in last:
            struct.pack_into("<I", encoded[last[depth]], _NEXT_AT, offsets[place])
        elif depth:
            struct.pack_into("<I", encoded[place - 1], _LOWER_AT, offsets[place])
        last = {known: where for known, where in last.items() if known < depth} | {depth: place}
    roots = [offset for offset, (_, depth) in zip(offsets, flat, strict=True) if depth == 0]
    return _file(file_set_uid, roots[0] if roots else 0, roots[-1] if roots else 0, b"".join(encoded))


def _flat(records: Iterable[Record], depth: int) -> Iterator[tuple[Record, int]]:
    for record in records:
        yield record, depth
        yield from _flat(record.below, depth + 1)


def _with_offsets(record: Record) -> Mapping[str, Value]:
    return {
        "OffsetOfTheNextDirectoryRecord": 0,
        "RecordInUseFlag": 0xFFFF,
        "OffsetOfReferencedLowerLevelDirectoryEntity": 0,
        "DirectoryRecordType": record.type,
        "SpecificCharacterSet": UTF_8,
        **record.keys,
    }


def _file(uid: str, first: int, last: int, records: bytes) -> bytes:
    body = dataset(
        {
            "FileSetID": "BILDBRIEF",
            "OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity": first,
            "OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity": last,
            "FileSetConsistencyFlag": 0,
            "DirectoryRecordSequence": records,
        }
    )
    return part10(MEDIA_STORAGE_DIRECTORY, uid, body)
