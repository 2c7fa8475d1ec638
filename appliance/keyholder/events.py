"""Access events: what readers did, kept until the clock has collected it into the audit log. The portal itself can write nowhere."""

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlite_utils import Database

from ..domain.audit import Action
from ..domain.errors import Code, Problem
from .ring import Ring, row, rows

READERS: Final = frozenset({Action.SHARE_LEFT, Action.REPORT_READ, Action.DOWNLOAD_STARTED, Action.DOWNLOAD_ENDED})
"""What the portal may note. That a share was opened, refused or locked, the keyholder sees for itself."""

OWN: Final = frozenset({"self", "at", "actor", "action", "study_id", "share_id", "object_id"})
"""What an audit event has of its own: no detail may pass itself off as that, nor stop the clock from collecting."""

MOST: Final = 200_000  # events waiting; more means that nobody collects them, or that the portal is not itself
DETAIL: Final = 2000  # characters of JSON


class Events:
    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def note(self, action: str, share_id: str, object_id: str | None, detail: Mapping[str, Any]) -> None:
        """`detail`: counts and reasons.

        Errors: Problem FORBIDDEN for other actions than a reader's, INVALID and TOO_LARGE for the detail, UNAVAILABLE when full.
        """
        if action not in READERS:
            raise Problem(Code.FORBIDDEN, "This is not for the portal to note.")
        if detail.keys() & OWN:
            raise Problem(Code.INVALID, "A detail of an event cannot be called like one of its own fields.")
        with self._ring.write() as db:
            if row(db, "SELECT 1 FROM events LIMIT 1 OFFSET ?", [MOST]):
                raise Problem(Code.UNAVAILABLE, "Too much waits to be written down. Please try again later.")
            record(db, self._ring.now(), Action(action), share_id, object_id, detail)

    def events(self, after: int, limit: int) -> list[dict[str, Any]]:
        """At most `limit` events behind the one numbered `after`, oldest first."""
        found = rows(self._ring.here(), "SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", [after, min(limit, 1000)])
        return [event | {"detail": json.loads(event["detail"])} for event in found]

    def events_done(self, upto: int) -> None:
        """Forget events up to this number: they are in the audit log."""
        with self._ring.write() as db:
            db.execute("DELETE FROM events WHERE seq <= ?", [upto])


def record(
    db: Database, at: int, action: Action, share_id: str, object_id: str | None = None, detail: Mapping[str, Any] | None = None
) -> None:
    """Write an event down inside the caller's transaction."""
    text = json.dumps(detail or {}, separators=(",", ":"), sort_keys=True)
    if len(text) > DETAIL:
        raise Problem(Code.TOO_LARGE, "This is too long to be written down.")
    db.execute(
        "INSERT INTO events (at, action, share_id, object_id, detail) VALUES (?, ?, ?, ?, ?)", [at, action, share_id, object_id, text]
    )
