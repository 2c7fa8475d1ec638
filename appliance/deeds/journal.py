"""The journal: what readers did, and what the keyholder did for whom, kept by the keyholder until it is collected into the audit log."""

from collections.abc import Callable

from ..domain.audit import Action
from ..keyholder.client import Keyholder
from ..registry import Registry, ShareRow

MARK = "access-events"
BATCH = 500
READER = "reader"


class Journal:
    """Runs in the clock. An event is collected once: the mark moves in the same transaction as the entries."""

    def __init__(self, registry: Registry, keyholder: Keyholder, now: Callable[[], int]) -> None:
        self._registry = registry
        self._keyholder = keyholder
        self._now = now

    def run_once(self) -> int:
        """Collect everything that waits. Returns how many events there were."""
        total = 0
        while events := self._keyholder.events(self._registry.mark(MARK), BATCH):
            with self._registry.change(self._now(), "clock") as change:
                for event in events:
                    share = next(iter(change.rows(ShareRow, "share_id = ?", [event.share_id])), None) if event.share_id else None
                    if share and event.action == Action.SHARE_OPENED:
                        change.update(ShareRow, share.share_id, opened_at=share.opened_at or event.at, last_opened_at=event.at)
                    if share and event.action == Action.SHARE_LOCKED:
                        change.update(ShareRow, share.share_id, locked_at=event.at)
                    change.note(
                        Action(event.action),
                        study_id=event.study_id,
                        # A reader's try at an unknown code belongs to no share; the desk's share may not have its row yet.
                        share_id=None if event.actor == READER and not share else event.share_id,
                        object_id=event.object_id,
                        at=event.at,
                        actor=event.actor,
                        **event.detail,
                    )
                change.set_mark(MARK, events[-1].seq)
            self._keyholder.events_done(events[-1].seq)
            total += len(events)
        return total
