"""Checking: every row has its object, every object opens, nothing lies about for long that no row knows."""

from collections import Counter
from dataclasses import dataclass, field

from ..domain.errors import Problem
from ..keyholder.client import Keyholder
from ..registry import ObjectRow, Registry, StudyRow
from ..vault.blobs import Blobs, Local
from . import manifest, sealing
from .sweeping import AGE


@dataclass(slots=True)
class Findings:
    """What a check saw. `problems` names ids and what is wrong with them; empty: all is well."""

    objects: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


class Checking:
    """Reads everything and changes nothing, but that the keyholder hears of a newer manifest, if a crash kept it from that."""

    def __init__(self, registry: Registry, objects: Local, quarantine: Blobs, keyholder: Keyholder) -> None:
        self._registry = registry
        self._objects = objects
        self._quarantine = quarantine
        self._keyholder = keyholder

    def run(self) -> Findings:
        """Open every object to its last byte. Problem UNAVAILABLE without the keyholder."""
        found = Findings()
        rows = self._registry.all_objects()
        self._each(found, rows, self._objects)
        aside = self._registry.quarantine()
        quarantined = [
            ObjectRow(q.object_id, q.study_id, int(sealing.DICOM), q.size, q.wrapped_key, q.received_at) for q in aside if q.size
        ]
        self._each(found, quarantined, self._quarantine)
        studies = [study for study in self._registry.studies() if study.manifest_id]
        known = {row.object_id for row in rows} | {study.manifest_id for study in studies}
        # Bytes come before their row: what is young may be under way, and what a crash left is swept.
        unknown = [name for name in sorted(set(self._objects.names()) - known) if self._objects.untouched(name, 2 * AGE)]
        found.problems += [f"object {name} is stored, but no row knows it" for name in unknown]
        found.problems += self._shares()
        found.problems += self._manifests(studies)
        if not self._registry.is_whole():
            found.problems.append("the registry file is damaged")
        if not self._registry.audit_is_whole():
            found.problems.append("the audit log has been altered")
        return found

    def _shares(self) -> list[str]:
        """Shares that the registry takes for open and the keyholder does not know, or not as they are: it was restored from a backup."""
        rows = {row.share_id: row for row in self._registry.shares_not_closed() if row.revoked_at is None}
        digests = self._keyholder.share_digests([*rows])
        return [
            f"share {share_id} opens nothing: " + ("make a new letter" if digest is None else "extend it once, which writes it anew")
            for share_id, digest in digests.items()
            if digest != rows[share_id].share.record.digest()
        ]

    def _manifests(self, studies: list[StudyRow]) -> list[str]:
        """Manifests that are missing, damaged, or older than what the keyholder remembers: somebody has put an older state back."""
        keys = self._keyholder.study_keys([study.study_id for study in studies])
        found = []
        for study in studies:
            if (key := keys[study.study_id]) is None:
                continue
            try:
                manifest.verify(study, key, self._objects, self._keyholder)
            except Problem as problem:
                found.append(f"manifest {study.manifest_id} is not the newest of its study: {problem}")
        return found

    def _each(self, found: Findings, rows: list[ObjectRow], blobs: Blobs) -> None:
        by_study = Counter(row.study_id for row in rows)
        keys = {study_id: self._keyholder.study_keys([study_id])[study_id] for study_id in by_study}
        lost = [study_id for study_id, key in keys.items() if key is None]
        found.problems += [f"study {study_id} has no key, its {by_study[study_id]} objects never open: send it again" for study_id in lost]
        for row in rows:
            key = keys[row.study_id]
            if key is None:
                continue
            try:
                with sealing.opened(blobs, row, key) as reader:
                    size = sum(len(piece) for piece in reader.read())
            except Problem as problem:
                found.problems.append(f"object {row.object_id} does not open: {problem}")
                continue
            if size != row.size:
                found.problems.append(f"object {row.object_id} has {size} bytes instead of {row.size}")
            found.objects += 1
            found.bytes += size
