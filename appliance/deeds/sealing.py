"""Sealing what the appliance makes itself, and opening what it keeps: objects and their keys, wrapped under the study key."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Final

from ..registry import ObjectRow
from ..vault.blobs import Blobs
from ..vault.keys import new_id, new_key, unwrap_object_key, wrap_object_key
from ..vault.sealed import Kind, Reader, Writer

DICOM: Final = Kind.DICOM
REPORT: Final = Kind.REPORT
PICTURE: Final = Kind.PICTURE


def store(objects: Blobs, study_id: str, study_key: bytes, kind: Kind, content: bytes, now: int) -> ObjectRow:
    """Seal bytes as a new object, durably, and give the row that is to point at it."""
    object_id, key = new_id(), new_key()
    objects.put(object_id, _sealed(content, object_id, key, kind))
    wrapped = wrap_object_key(study_key, key, study_id, object_id, kind)
    return ObjectRow(object_id, study_id, int(kind), len(content), wrapped, now)


def _sealed(content: bytes, object_id: str, key: bytes, kind: Kind) -> Iterable[bytes]:
    sink = BytesIO()
    writer = Writer(sink, object_id=bytes.fromhex(object_id), key=key, kind=kind)
    writer.write(content)
    writer.finish()
    return (sink.getvalue(),)


@contextmanager
def opened(objects: Blobs, row: ObjectRow, study_key: bytes) -> Iterator[Reader]:
    """A reader of a stored object. Problem DAMAGED when it is not what was written, NOT_FOUND when it is missing."""
    key = unwrap_object_key(study_key, row.wrapped_key, row.study_id, row.object_id, Kind(row.kind))
    with objects.open(row.object_id) as source:
        yield Reader(source, object_id=bytes.fromhex(row.object_id), key=key, kind=Kind(row.kind))
