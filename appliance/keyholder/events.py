"""Events: what readers did, and what the keyholder did for whom, kept until the clock has collected it into the audit log.

The portal itself can write nowhere; and what is changed here is witnessed here, in the same transaction, whatever the caller writes
down. Calls that hand out keys many times a minute are only counted: one event an hour for each call and role.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from sqlite_utils import Database

from ..domain.audit import Action
from ..domain.errors import Code, Problem
from .ring import Ring, row, rows

caller: ContextVar[str] = ContextVar("caller", default="keyholder")
"""The role whose call is being answered."""

READERS: Final = frozenset({Action.SHARE_LEFT, Action.REPORT_READ, Action.DOWNLOAD_STARTED, Action.DOWNLOAD_ENDED})
"""What the portal may note. That a share was opened, refused or locked, the keyholder sees for itself."""

OWN: Final = frozenset({"self", "at", "actor", "action", "study_id", "share_id", "object_id"})
"""What an audit event has of its own: no detail may pass itself off as that, nor stop the clock from collecting."""

MOST: Final = 200_000  # events waiting; more means that nobody collects them, or that the portal is not itself
DETAIL: Final = 2000  # characters of JSON
HOUR: Final = 3600

MAKERS: Final = frozenset(
    {"create_study_key", "share_create", "share_change", "share_password", "intake_public", "rotate_intake", "rotate_master", "enrol"}
)
"""Calls whose result is lost when the ring is lost before its next backup."""


class Events:
    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._used: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()
        self._counted_at = 0

    def counted(self, call: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        """The handler, with the keys that it hands out counted for the role that asks."""

        def counting(**values: Any) -> Any:
            answer = handler(**values)
            with self._counting:
                self._used[caller.get(), call] += len(values.get("study_ids", " "))
            return answer

        return counting

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
            record(db, self._ring.now(), Action(action), share_id, object_id=object_id, detail=detail)

    def events(self, after: int, limit: int) -> list[dict[str, Any]]:
        """At most `limit` events behind the one numbered `after`, oldest first."""
        self._write_counts()
        found = rows(self._ring.here(), "SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", [after, min(limit, 1000)])
        return [event | {"detail": json.loads(event["detail"])} for event in found]

    def events_done(self, upto: int) -> None:
        """Forget events up to this number: they are in the audit log."""
        with self._ring.write() as db:
            db.execute("DELETE FROM events WHERE seq <= ?", [upto])

    def _write_counts(self) -> None:
        now = self._ring.now()
        if now < self._counted_at + HOUR:
            return
        with self._counting:
            used, self._used = self._used, Counter()
        if used:
            self._counted_at = now
            with self._ring.write() as db:
                for (role, call), count in sorted(used.items()):
                    record(db, now, Action.KEYS_USED, actor=role, detail={"call": call, "count": count})


def record(
    db: Database,
    at: int,
    action: Action,
    share_id: str | None = None,
    *,
    study_id: str | None = None,
    object_id: str | None = None,
    actor: str = "reader",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write an event down inside the caller's transaction."""
    text = json.dumps(detail or {}, separators=(",", ":"), sort_keys=True)
    if len(text) > DETAIL:
        raise Problem(Code.TOO_LARGE, "This is too long to be written down.")
    db.execute(
        "INSERT INTO events (at, actor, action, study_id, share_id, object_id, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [at, actor, action, study_id, share_id, object_id, text],
    )


def witness(db: Database, at: int, call: str, *, study_id: str | None = None, share_id: str | None = None, **detail: Any) -> None:
    """Write down, in the transaction that changes the ring, which call changed it for whom."""
    record(db, at, Action.KEYS_CHANGED, share_id, study_id=study_id, actor=caller.get(), detail={"call": call, **detail})
    if call in MAKERS:
        db.execute("INSERT INTO facts VALUES ('made', '1') ON CONFLICT DO UPDATE SET value = CAST(value AS INTEGER) + 1")
