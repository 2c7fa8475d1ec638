"""Reburying: after the ring was restored from a backup, it is told what the audit log knows to be gone, ended or replaced.

Everything that was ever forgotten is told, not only what is newer than the backup: that is simple, repeatable, and right even where
clocks were wrong. Only passwords need the time: one replaced before the backup is in it.
"""

from typing import Final

from ..domain.audit import Action
from ..keyholder.client import Keyholder
from ..log import log
from ..registry import AuditRow, Registry

PORTION: Final = 1000

_LISTS: Final = {
    Action.STUDY_FORGOTTEN: "studies",
    Action.QUARANTINE_DISMISSED: "studies",
    Action.SHARE_CLOSED: "closed",
    Action.SHARE_REVOKED: "revoked",
    Action.PASSWORD_REPLACED: "replaced",
}
"""Which list of `keyholder.reburial` an audit entry belongs to."""


class Reburying:
    """Runs in the clock. Until it is through, a restored keyholder answers nobody else."""

    def __init__(self, registry: Registry, keyholder: Keyholder) -> None:
        self._registry = registry
        self._keyholder = keyholder

    def run_once(self) -> int:
        """Tell everything, if the ring was restored. Returns how many entries were told."""
        copied_at = self._keyholder.restored()
        if copied_at is None:
            return 0
        told, after = 0, 0
        while entries := self._registry.audit_of(_LISTS, after, PORTION):
            lists: dict[str, list[str]] = {name: [] for name in ("studies", "closed", "revoked", "replaced")}
            for entry in entries:
                if entry.action != Action.PASSWORD_REPLACED or entry.at >= copied_at:
                    lists[_LISTS[Action(entry.action)]].append(_subject(entry))
            self._keyholder.rebury(**lists)
            told, after = told + len(entries), entries[-1].seq
        self._keyholder.rebury_done()
        log.warning("restored ring told what is gone", entries=told)
        return told


def _subject(entry: AuditRow) -> str:
    """A quarantined file is a study of its own, under its object's id."""
    return entry.study_id or entry.share_id or entry.object_id or ""
