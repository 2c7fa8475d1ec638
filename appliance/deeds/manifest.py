"""Manifests: everything the registry knows of a study, sealed beside its objects, so that a bucket and a ring can rebuild it."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO
from typing import Any

from ..domain.audit import Action
from ..keyholder.client import Keyholder
from ..registry import OutboxRow, Registry, StudyRow
from ..vault.blobs import Blobs
from ..vault.keys import manifest_key, new_id
from ..vault.sealed import Kind, Reader, Writer

VERSION = 1


def mirror_name(study_id: str) -> str:
    """The manifest's name in the mirror: one a study, replaced by each later generation."""
    return f"manifests/{study_id}"


def verify(study: StudyRow, study_key: bytes, objects: Blobs, keyholder: Keyholder) -> None:
    """Open a study's manifest and ask the keyholder whether it is the newest; one that it has not heard of yet it remembers.

    Errors: Problem NOT_FOUND without one, DAMAGED for what does not open, CONFLICT for one that is older than the newest.
    """
    object_id = study.manifest_id or ""
    with objects.open(object_id) as source:
        sealed = source.read_at(0, source.size)
        key = manifest_key(study_key, study.study_id, object_id)
        reader = Reader(source, object_id=bytes.fromhex(object_id), key=key, kind=Kind.MANIFEST)
        generation = json.loads(b"".join(reader.read()))["generation"]
    keyholder.anchor(study.study_id, generation, hashlib.sha256(sealed).digest())


class Manifests:
    """Written after each change of a complete study: by the ingester when it completes, by the desk when a report comes."""

    def __init__(self, registry: Registry, objects: Blobs, keyholder: Keyholder, now: Callable[[], int]) -> None:
        self._registry = registry
        self._objects = objects
        self._keyholder = keyholder
        self._now = now

    def write(self, study_id: str, study_key: bytes, actor: str) -> None:
        """Bytes, then the row that points at them, then the keyholder's anchor. An older manifest is removed last."""
        study = self._registry.study(study_id)
        if study is None:
            return
        generation = study.generation + 1
        object_id = new_id()
        sink = BytesIO()
        key = manifest_key(study_key, study_id, object_id)
        writer = Writer(sink, object_id=bytes.fromhex(object_id), key=key, kind=Kind.MANIFEST)
        writer.write(json.dumps(self._content(study, generation), separators=(",", ":")).encode())
        writer.finish()
        sealed = sink.getvalue()
        self._objects.put(object_id, [sealed])
        with self._registry.change(self._now(), actor) as change:
            change.update(StudyRow, study_id, generation=generation, manifest_id=object_id)
            change.insert(OutboxRow(0, "put", mirror_name(study_id), study_id, change.now))
            change.note(Action.MANIFEST_WRITTEN, study_id=study_id, generation=generation)
        self._keyholder.anchor(study_id, generation, hashlib.sha256(sealed).digest())
        if study.manifest_id is not None:
            self._objects.delete(study.manifest_id)

    def _content(self, study: StudyRow, generation: int) -> dict[str, Any]:
        study_id = study.study_id
        reports = self._registry.reports(study_id)
        return {
            "version": VERSION,
            "generation": generation,
            "study": _plain(study),
            "series": [_plain(row) for row in self._registry.series(study_id)],
            "objects": [_plain(row) for row in self._registry.objects(study_id)],
            "instances": [_plain(row) for row in self._registry.all_instances(study_id)],
            "reports": [_plain(row) for row in reports],
            "report_pages": [_plain(page) for row in reports for page in self._registry.report_pages(row.report_id)],
        }


def _plain(row: Any) -> dict[str, Any]:
    return {name: b64encode(value).decode() if isinstance(value, bytes) else value for name, value in asdict(row).items()}
