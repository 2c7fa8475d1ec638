"""Completing: when a study has been quiet for a while, its series get their pictures and the study its manifest."""

from collections.abc import Callable

from ..dicom.cage import Cage, Failed
from ..dicom.reasons import Reason
from ..dicom.scan import scan
from ..domain.audit import Action
from ..domain.study import InstanceFacts, Kind, StudyState
from ..keyholder.client import Keyholder
from ..log import log
from ..registry import InstanceRow, ObjectRow, OutboxRow, Registry, SeriesRow, StudyRow
from ..vault.blobs import Blobs
from . import facts, sealing
from .manifest import Manifests

ACTOR = "ingester"


class Completing:
    """Runs in the ingester, after `ingest`."""

    def __init__(
        self,
        registry: Registry,
        objects: Blobs,
        keyholder: Keyholder,
        cage: Cage,
        manifests: Manifests,
        now: Callable[[], int],
        quiet: int,
    ) -> None:
        self._registry = registry
        self._objects = objects
        self._keyholder = keyholder
        self._cage = cage
        self._manifests = manifests
        self._now = now
        self._quiet = quiet

    def run_once(self, waits_since: int | None = None) -> int:
        """Complete every study that has been quiet long enough. Returns how many.

        `waits_since`: when the oldest file arrived that is not taken in yet. Of what came after it, more may be about to show.
        """
        until = self._now() if waits_since is None else min(self._now(), waits_since)
        return sum(self._complete(study) for study in self._registry.studies_quiet_since(until - self._quiet))

    def _complete(self, study: StudyRow) -> bool:
        key = self._keyholder.study_keys([study.study_id])[study.study_id]
        if key is None:
            return self._complete_without_key(study)
        instances = self._registry.instances(study.study_id)
        drawn: list[tuple[SeriesRow, list[ObjectRow], str | None]] = []
        for series in self._registry.series(study.study_id):
            if series.thumb_id is None:
                members = [row for row in instances if row.series_id == series.series_id]
                drawn.append((series, *self._draw(members, key)))
        if drawn:
            self._keep(study.study_id, drawn)
        # The manifest comes before the state: after a crash in between, the study is simply completed again.
        self._manifests.write(study.study_id, key, ACTOR)
        with self._registry.change(self._now(), ACTOR) as change:
            unchanged = change.rows(StudyRow, "study_id = ? AND last_received_at = ?", [study.study_id, study.last_received_at])
            if unchanged:  # else more came in meanwhile, and it is completed when that has been quiet
                change.update(StudyRow, study.study_id, state=StudyState.COMPLETE, completed_at=change.now)
            change.note(Action.STUDY_COMPLETED, study_id=study.study_id, instances=len(instances))
        log.info("study complete", study_id=study.study_id, instances=len(instances), pictures=len(drawn))
        return bool(unchanged)

    def _complete_without_key(self, study: StudyRow) -> bool:
        """Its key was lost with a ring: nothing of it opens, so nothing is drawn. Retention takes it away when its time has come."""
        with self._registry.change(self._now(), ACTOR) as change:
            change.update(StudyRow, study.study_id, state=StudyState.COMPLETE, completed_at=change.now)
            change.note(Action.STUDY_COMPLETED, study_id=study.study_id, instances=0)
        log.error("study without key", study_id=study.study_id)
        return True

    def _keep(self, study_id: str, drawn: list[tuple[SeriesRow, list[ObjectRow], str | None]]) -> None:
        with self._registry.change(self._now(), ACTOR) as change:
            for series, pictures, note in drawn:
                change.insert(*pictures, *(OutboxRow(0, "put", row.object_id, study_id, change.now) for row in pictures))
                thumb_id, picture_id = (row.object_id for row in pictures) if pictures else (None, None)
                change.update(SeriesRow, series.series_id, thumb_id=thumb_id, picture_id=picture_id, picture_note=note)
            change.note(Action.PICTURES_DRAWN, study_id=study_id, count=sum(bool(pictures) for _, pictures, _ in drawn))

    def _draw(self, members: list[InstanceRow], key: bytes) -> tuple[list[ObjectRow], str | None]:
        """The thumbnail and the large picture of a series' middle image, sealed; or why there is none."""
        images = [(found, row) for row in members if _is_image(found := facts.instance(row, key))]
        if not images:
            return [], Reason.NO_PICTURE
        images.sort(key=lambda image: (image[0].number is None, image[0].number or 0, image[1].object_id))
        row = images[len(images) // 2][1]
        stored = self._registry.object(row.object_id)
        if stored is None:
            return [], Reason.UNREADABLE
        with sealing.opened(self._objects, stored, key) as reader:
            drawn = self._cage.picture(scan(reader.read()), reader.read)
        if isinstance(drawn, Failed):
            return [], drawn.reason
        pictures = [
            sealing.store(self._objects, row.study_id, key, sealing.PICTURE, picture, self._now()) for picture in (drawn.thumb, drawn.large)
        ]
        return pictures, None


def _is_image(found: InstanceFacts) -> bool:
    return found.kind is Kind.IMAGE and found.rows > 0 and found.columns > 0
