"""Budgets: how often codes and passwords may be tried, and by whom. One table of limits, one row for each attempt.

An attempt is charged before its password is looked at and given back when it was right, so attempts made side by side cannot
overdraw, and a kill in between costs one attempt at most. Unknown codes are charged exactly like wrong passwords: a limit that
treated them differently would tell which codes exist.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlite_utils import Database

from ..domain.share import DAY
from .ring import row

HOUR: Final = 3600


class Limit(NamedTuple):
    """At most so many attempts in so many seconds, at any time."""

    seconds: int
    most: int


NETWORK: Final = (Limit(60, 10), Limit(HOUR, 60))
"""What a network prefix may try without opening anything, whatever the codes."""

DEVICE: Final = Limit(DAY, 10)
"""What a browser that has opened this share before may try of its own, whatever its network or others have tried."""

FREE: Final = 5
FIRST_WAIT: Final = 30
LONGEST_WAIT: Final = HOUR
"""For one code from one network: so many attempts, then a wait that doubles with each further one."""

LIFETIME: Final = 50
"""Wrong passwords for one share, ever: then it is locked until the desk unlocks it."""

REMEMBERED: Final = DAY
"""Seconds an attempt is remembered: the longest of the above."""

ALARM: Final = Limit(HOUR, 1000)
"""Attempts from everywhere that are worth an alarm."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who tries what, as keyed hashes. `device` only if it is one that has opened this share before."""

    code_tag: bytes
    prefix: bytes
    device: bytes | None


def seconds_to_wait(db: Database, visitor: Visitor, now: int) -> int:
    """0 if the visitor may try now."""
    if _on_own_budget(db, visitor, now):
        return 0
    waits = [_until_free(db, limit, "prefix", visitor.prefix, now) for limit in NETWORK]
    tried = row(
        db,
        "SELECT count(*) AS times, max(at) AS last FROM attempts WHERE code_tag = ? AND prefix = ? AND at > ?",
        [visitor.code_tag, visitor.prefix, now - REMEMBERED],
    )
    if tried is not None and tried["times"] >= FREE:
        doublings = min(tried["times"] - FREE, 16)
        waits.append(tried["last"] + min(FIRST_WAIT << doublings, LONGEST_WAIT) - now)
    return max(0, *waits)


def charge(db: Database, visitor: Visitor, now: int) -> int:
    """Count an attempt; returns its number. Attempts that are too old to matter are dropped on the way."""
    db.execute("DELETE FROM attempts WHERE at <= ?", [now - REMEMBERED])
    own = _on_own_budget(db, visitor, now)
    who = [None, None, visitor.device] if own else [visitor.code_tag, visitor.prefix, None]
    return int(db.execute("INSERT INTO attempts (at, code_tag, prefix, device) VALUES (?, ?, ?, ?)", [now, *who]).lastrowid or 0)


def give_back(db: Database, visitor: Visitor, attempt: int) -> None:
    """The attempt was right: it does not count, nor do the visitor's earlier ones for this code."""
    db.execute(
        "DELETE FROM attempts WHERE seq = ? OR (code_tag = ? AND prefix = ?) OR device = ?",
        [attempt, visitor.code_tag, visitor.prefix, visitor.device],
    )


def clear(db: Database, code_tag: bytes) -> None:
    """The desk has spoken with the reader: nobody has to wait for this code any more."""
    db.execute("DELETE FROM attempts WHERE code_tag = ?", [code_tag])


def attempts_within(db: Database, seconds: int, now: int) -> int:
    found = row(db, "SELECT count(*) AS times FROM attempts WHERE at > ?", [now - seconds])
    return int(found["times"]) if found else 0


def _on_own_budget(db: Database, visitor: Visitor, now: int) -> bool:
    return visitor.device is not None and _until_free(db, DEVICE, "device", visitor.device, now) == 0


def _until_free(db: Database, limit: Limit, column: str, value: bytes, now: int) -> int:
    """Seconds until the oldest of the last `most` attempts is past the limit's time."""
    full = row(
        db,
        f"SELECT at FROM attempts WHERE {column} = ? AND at > ? ORDER BY at DESC LIMIT 1 OFFSET ?",  # noqa: S608
        [value, now - limit.seconds, limit.most - 1],
    )
    return 0 if full is None else int(full["at"]) + limit.seconds - now
