"""Reburial: a ring that was put back from a backup holds again what was forgotten since. It answers nobody until it has been told.

The registry's audit log knows what was forgotten, ended and replaced, and outlives the ring; the clock tells all of it
(`deeds.reburying`). Until then a restored ring opens no share and hands out no key.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlite_utils import Database

from ..domain.errors import Code, Problem
from ..log import log
from .events import Events
from .ring import Ring, remember, row
from .shares import Shares
from .studies import Studies

UNSETTLED: Final = "unsettled"
"""The fact that a ring was restored and not told yet; its value is when the backup was made, in UTC seconds."""


class Reburial:
    def __init__(self, ring: Ring, studies: Studies, shares: Shares, events: Events) -> None:
        self._ring = ring
        self._studies = studies
        self._shares = shares
        self._events = events
        self._since = ring.fact(UNSETTLED)

    def guarded(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """The handler, which refuses while there is something to be told. Problem UNAVAILABLE."""

        def guarding(**values: Any) -> Any:
            if self._since is not None:
                raise Problem(
                    Code.UNAVAILABLE,
                    "The keys were restored from a backup and first learn what was deleted since. Please try again in a minute.",
                )
            return handler(**values)

        return guarding

    def events(self, after: int, limit: int) -> list[dict[str, Any]]:
        """`Events.events`. A ring that never counted as far as `after`, which was collected, was put back by other means than ours."""
        last = row(self._ring.here(), "SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        if after > (0 if last is None else last["seq"]):
            self._notice_rollback(after)
        return self._events.events(after, limit)

    def _notice_rollback(self, collected: int) -> None:
        with self._ring.write() as db:
            count_from(db, collected)
            # A new intake key each day: the ring is at least as young as its newest.
            youngest = row(db, "SELECT coalesce(max(made_at), 0) AS at FROM intake_keys")
            self._since = str(youngest["at"] if youngest else 0)
            remember(db, UNSETTLED, self._since)
        log.error("the ring is older than the audit log: it was put back by other means than keys restore")

    def restored(self) -> int | None:
        """When the backup was made that the ring was restored from and has not been told all about; None when there is nothing to tell."""
        return None if self._since is None else int(self._since)

    def rebury(self, studies: Sequence[str], closed: Sequence[str], revoked: Sequence[str], replaced: Sequence[str]) -> None:
        """Forget studies and shares, revoke shares, void passwords, all in one transaction. Repeatable; unknown ids are buried too.

        `replaced`: shares whose password was replaced after the backup. The one in the ring is the old one, and the new one is lost.
        """
        with self._ring.write() as db:
            for study_id in studies:
                self._studies.forget(db, study_id)
            for share_id in closed:
                self._shares.close(db, share_id)
            for share_id in revoked:
                self._shares.revoke(db, share_id)
            for share_id in replaced:
                self._shares.void_password(db, share_id)

    def rebury_done(self) -> None:
        """Everything was told: answer everybody again. Repeatable."""
        with self._ring.write() as db:
            db.execute("DELETE FROM facts WHERE name = ?", [UNSETTLED])
        self._since = None


def count_from(db: Database, number: int) -> None:
    """Let the next event have a higher number than this, inside the caller's transaction: lower ones count as collected."""
    db.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
    db.execute("INSERT INTO sqlite_sequence SELECT 'events', max(?, coalesce(max(seq), 0)) FROM events", [number])
