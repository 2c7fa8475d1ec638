"""Retention: when the last share closes, the study is gone. The key goes first; each step can be repeated.

Forgetting a study: its key in the ring → the row says forgotten → sealed objects here → what the mirror is to delete → rows.
After the first step nothing opens any more, whatever copies of the ciphertext exist.
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
        self, registry: Registry, objects: Blobs, quarantine: Blobs, keyholder: Keyholder, now: Callable[[], int], terms: Terms
    ) -> None:
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
        for study in self._registry.studies(StudyState.COMPLETE):
            shares = [row.share for row in self._registry.shares_of(study.study_id)]
            if study_is_due(study.state, study.last_received_at, shares, now, self._terms):
                self._forget(study)
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

    def _forget(self, study: StudyRow) -> None:
        """Key first. Should a share have been made in this very moment, the transaction leaves the study to be seen as keyless."""
        self._keyholder.forget_study(study.study_id)
        with self._registry.change(self._now(), ACTOR) as change:
            # The tag is freed: the same study sent again is a new one, with a new key.
            change.update(StudyRow, study.study_id, state=StudyState.FORGOTTEN, tag=token_bytes(16), about=b"")
            change.note(Action.STUDY_FORGOTTEN, study_id=study.study_id)
        log.info("study forgotten", study_id=study.study_id)

    def _remove(self, study: StudyRow) -> None:
        study_id = study.study_id
        objects = self._registry.objects(study_id)
        for row in objects:
            self._objects.delete(row.object_id)
        if study.manifest_id is not None:
            self._objects.delete(study.manifest_id)
        with self._registry.change(self._now(), ACTOR) as change:
            waiting = change.rows(OutboxRow, "study_id = ? AND verb = 'put'", [study_id])
            # An upload that was tried may have arrived although nobody heard of it.
            never_sent = {row.name for row in waiting if row.attempts == 0}
            names = {row.object_id for row in objects} | {mirror_name(study_id)}
            names -= {name for name in never_sent if name != mirror_name(study_id)}
            change.delete(OutboxRow, "entry", [row.entry for row in waiting])
            if len(names) > 1 or mirror_name(study_id) not in never_sent or study.generation > 1:
                change.insert(*(OutboxRow(0, "delete", name, study_id, change.now) for name in sorted(names)))
            change.delete(ReportPageRow, "report_id", [row.report_id for row in self._registry.reports(study_id)])
            for table in (ReportRow, InstanceRow, SeriesRow, ObjectRow, ShareStudyRow, StudyRow):
                change.delete(table, "study_id", [study_id])
            change.note(Action.STUDY_REMOVED, study_id=study_id, objects=len(objects))

    def _drop(self, item: QuarantineRow) -> None:
        self._keyholder.forget_study(item.study_id)
        self._quarantine.delete(item.object_id)
        with self._registry.change(self._now(), ACTOR) as change:
            change.delete(QuarantineRow, "object_id", [item.object_id])
            change.note(Action.QUARANTINE_DISMISSED, object_id=item.object_id)
