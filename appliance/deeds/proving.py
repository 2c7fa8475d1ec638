"""Proving that instances are kept: read again to the last byte, on the mirror, their study's key in a backup."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..dicom.scan import Scanner
from ..domain.commitment import Failure, Reference, Request
from ..domain.errors import Problem
from ..domain.share import DAY
from ..domain.study import StudyState
from ..keyholder.client import Keyholder
from ..registry import InstanceRow, Registry, StudyRow
from ..vault.blobs import Blobs
from ..vault.keys import tag
from . import facts, sealing

ARRIVAL: Final = 300
"""Seconds in which an instance that is not known may still be on its way from the intake."""
SAFETY: Final = DAY
"""Seconds in which one that is known must have come to the mirror, and its key into a backup."""
_STUDIES: Final = 100  # whose keys are asked for at once


@dataclass(frozen=True, slots=True)
class _Found:
    study: StudyRow
    row: InstanceRow
    key: bytes


class Proving:
    """Reads only. `mirrored`: whether there is a mirror."""

    def __init__(self, registry: Registry, objects: Blobs, keyholder: Keyholder, now: Callable[[], int], *, mirrored: bool) -> None:
        self._registry = registry
        self._objects = objects
        self._keyholder = keyholder
        self._now = now
        self._mirrored = mirrored

    def judge(self, request: Request, asked_at: int) -> list[Failure | None] | None:
        """Of each instance whether it is kept, None, or why not. None in place of all while something is under way.

        Nothing is read before nothing is under way: what is asked again and again is read once. Problem UNAVAILABLE without the keyholder.
        """
        found = self._find(request.references)
        waited = self._now() - asked_at
        safe = self._safe({place.study.study_id: place.study for place in found.values()})
        first: list[Failure | None] = []
        for reference in request.references:
            place = found.get(reference.sop_instance)
            if place is None:
                if waited < ARRIVAL:
                    return None
                first.append(Failure.NO_SUCH_INSTANCE)
            elif facts.instance(place.row, place.key).sop_class != reference.sop_class:
                first.append(Failure.CLASS_CONFLICT)
            elif place.study.study_id in safe:
                first.append(None)
            elif waited < SAFETY:
                return None
            else:
                first.append(Failure.RESOURCES)
        return [
            Failure.PROCESSING if failure is None and not self._is_whole(found[reference.sop_instance]) else failure
            for failure, reference in zip(first, request.references, strict=True)
        ]

    def _find(self, references: Sequence[Reference]) -> dict[str, _Found]:
        """The latest revision of each instance, by SOP Instance UID. Only its key tells what a study holds; the newest are tried first."""
        wanted = {reference.sop_instance for reference in references}
        found: dict[str, _Found] = {}
        for study, key in self._studies():
            tags = {tag(key, b"instance", uid.encode()): uid for uid in wanted}
            for row in self._registry.instances(study.study_id):
                if uid := tags.get(row.tag):
                    found[uid] = _Found(study, row, key)
                    wanted.discard(uid)
            if not wanted:
                break
        return found

    def _studies(self) -> Iterator[tuple[StudyRow, bytes]]:
        studies = self._registry.studies()
        for at in range(0, len(studies), _STUDIES):
            batch = studies[at : at + _STUDIES]
            keys = self._keyholder.study_keys([study.study_id for study in batch])
            yield from ((study, key) for study in batch if (key := keys[study.study_id]))

    def _safe(self, studies: dict[str, StudyRow]) -> set[str]:
        """The studies that would survive the loss of this machine: all of it mirrored, its key in a backup."""
        backup = self._keyholder.status()
        return {
            study_id
            for study_id, study in studies.items()
            if _is_backed_up(study, backup)
            and not (self._mirrored and (study.state is not StudyState.COMPLETE or self._registry.outbox_of(study_id)))
        }

    def _is_whole(self, place: _Found) -> bool:
        stored = self._registry.object(place.row.object_id)
        if stored is None:
            return False
        scanner = Scanner()
        try:
            with sealing.opened(self._objects, stored, place.key) as reader:
                for piece in reader.read():
                    scanner.feed(piece)
        except (Problem, OSError):
            return False
        return tag(place.key, b"content", bytes.fromhex(scanner.finish().sha256)) == place.row.content_tag


def _is_backed_up(study: StudyRow, status: dict[str, Any]) -> bool:
    """A study's key is older than its first row."""
    return status["changes_since_backup"] == 0 or (status["last_backup_at"] or 0) > study.first_received_at
