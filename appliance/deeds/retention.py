"""Retention: when the last share closes, the study is gone. The key goes first; each step can be repeated.

Forgetting a study: the row says so, which ends sharing → its key in the ring → sealed objects here → what the mirror is to
delete, and the rows. Once the key is gone nothing opens any more, whatever copies of the ciphertext exist.
"""

from collections.abc import Callable
from secrets import token_bytes

from ..domain.audit import Action
from ..domain.retention import Terms, share_is_due, study_is_due
from ..domain.share import ShareState
from ..domain.study import StudyState
from ..keyholder.client import Keyholder
from ..log import log
from ..registry import (
    InstanceRow,
    ObjectRow,
    OutboxRow,
    QuarantineRow,
    Registry,
    ReportPageRow,
    ReportRow,
    SeriesRow,
    ShareRow,
    ShareStudyRow,
    StudyRow,
)
from ..vault.blobs import Blobs
from .manifest import mirror_name

ACTOR = "clock"


class Retention:
    """Runs in the clock. What is due is decided by `domain.retention`."""

    def __init__(
        self,
        registry: Registry,
        objects: Blobs,
        quarantine: Blobs,
        keyholder: Keyholder,
        now: Callable[[], int],
        terms: Terms,
        *,
        mirrored: bool,
    ) -> None:
        """`mirrored`: whether there is a mirror that has to delete, too."""
        self._mirrored = mirrored
        self._registry = registry
        self._objects = objects
        self._quarantine = quarantine
        self._keyholder = keyholder
        self._now = now
        self._terms = terms

    def run_once(self) -> None:
        now = self._now()
        for row in self._registry.shares_not_closed():
            if share_is_due(row.share, now, self._terms):
                self._close(row)
            elif row.share.state(now) is ShareState.REVOKED:
                self._keyholder.share_revoke(row.share_id)  # again, should the desk have been cut off before it got so far
        for study in self._registry.studies_unneeded_since(now - self._terms.unshared):
            if self._is_due(study, self._registry.shares_of(study.study_id)):
                self._give_up(study)
        for study in self._registry.studies(StudyState.FORGOTTEN):
            self._remove(study)
        for item in self._registry.quarantine():
            if now >= item.received_at + self._terms.unshared:
                self._drop(item)

    def _close(self, row: ShareRow) -> None:
        self._keyholder.share_close(row.share_id)
        with self._registry.change(self._now(), ACTOR) as change:
            change.update(ShareRow, row.share_id, closed_at=change.now, about=b"")
            change.note(Action.SHARE_CLOSED, share_id=row.share_id)
        log.info("share closed", share_id=row.share_id)

    def _is_due(self, study: StudyRow, shares: list[ShareRow]) -> bool:
        return study_is_due(study.state, study.last_received_at, [row.share for row in shares], self._now(), self._terms)

    def _give_up(self, study: StudyRow) -> None:
        """From here on there is no way back. Looked at once more inside the transaction: a share may have been made meanwhile."""
        with self._registry.change(self._now(), ACTOR) as change:
            now = change.rows(StudyRow, "study_id = ?", [study.study_id])
            shares = change.rows(ShareRow, "share_id IN (SELECT share_id FROM share_studies WHERE study_id = ?)", [study.study_id])
            if not now or not self._is_due(now[0], shares):
                change.note(Action.STUDY_KEPT, study_id=study.study_id)
                return
            # The tag is freed: the same study sent again is a new one, with a new key.
            change.update(StudyRow, study.study_id, state=StudyState.FORGOTTEN, tag=token_bytes(16), about=b"")
            change.note(Action.STUDY_FORGOTTEN, study_id=study.study_id)

    def _remove(self, study: StudyRow) -> None:
        study_id = study.study_id
        self._keyholder.forget_study(study_id)
        objects = self._registry.objects(study_id)
        for row in objects:
            self._objects.delete(row.object_id)
        if study.manifest_id is not None:
            self._objects.delete(study.manifest_id)
        with self._registry.change(self._now(), ACTOR) as change:
            change.delete(OutboxRow, "entry", [row.entry for row in change.rows(OutboxRow, "study_id = ? AND verb = 'put'", [study_id])])
            # With a mirror, everything is deleted there: an upload may have arrived although nobody heard of it.
            sent = [row.object_id for row in objects if self._mirrored or row.mirrored_at]
            if sent:
                sent.append(mirror_name(study_id))
            change.insert(*(OutboxRow(0, "delete", name, study_id, change.now) for name in sent))
            change.delete(ReportPageRow, "report_id", [row.report_id for row in self._registry.reports(study_id)])
            for table in (ReportRow, InstanceRow, SeriesRow, ObjectRow, ShareStudyRow, StudyRow):
                change.delete(table, "study_id", [study_id])
            change.note(Action.STUDY_REMOVED, study_id=study_id, objects=len(objects))
        log.info("study forgotten", study_id=study_id, objects=len(objects))

    def _drop(self, item: QuarantineRow) -> None:
        self._keyholder.forget_study(item.study_id)
        self._quarantine.delete(item.object_id)
        with self._registry.change(self._now(), ACTOR) as change:
            change.delete(QuarantineRow, "object_id", [item.object_id])
            change.note(Action.QUARANTINE_DISMISSED, object_id=item.object_id)
