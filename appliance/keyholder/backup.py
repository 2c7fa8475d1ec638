"""Backups of the ring: copied while the keyholder runs, verified, put back. A backup never holds the master key.

A backup is the ring itself, written anew by SQLite without its free pages, so nothing of a deleted key comes along. Restoring
merges before it replaces: what the present ring has buried is deleted from the copy first, and the copy answers nobody until it
has learnt from the registry what was forgotten since it was made (`reburial`).
"""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database

from ..disk.files import fsync_dir
from ..disk.sqlite import connect, write
from ..domain.audit import Action
from ..domain.errors import Code, Problem
from ..domain.share import DAY
from .events import Events, record
from .master import MasterKey
from .reburial import UNSETTLED, Reburial, count_from
from .ring import RING, Ring, locked, remember, row
from .shares import Shares
from .studies import Studies
from .verify import COPIED_AT, Content, verify

MODE: Final = 0o400

_TIMES: Final = ("last_backup_at", "restored_at", "recovery_shares_at", "master_made_at")


def remembered(facts: Mapping[str, str], now: int) -> dict[str, Any]:
    """What a ring's facts say of its backups: times in UTC seconds, None for what never happened."""
    made, copied = (int(facts.get(name, 0)) for name in ("made", "made_before_backup"))
    times = {name: int(facts[name]) if name in facts else None for name in _TIMES}
    return times | {
        "last_backup_file": facts.get("last_backup_file"),
        "changes_since_backup": made - copied,
        "backup_due": _is_due(times["last_backup_at"], times["master_made_at"], made - copied, now),
        "settled": UNSETTLED not in facts,
    }


def _is_due(last: int | None, master_made: int | None, changes: int, now: int) -> bool:
    """Whether somebody should be told. A practice makes letters all day: what a daily backup takes along tonight is in time."""
    if last is None:
        return True
    return changes > 0 and (now - last > DAY or (master_made or 0) > last)


def file_name(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("bildbrief-ring-%Y-%m-%d-%H%M%S.sqlite3")


def copy(ring: Path, target: Path, now: int, *, deliver: Callable[[Path], None] = lambda _: None) -> None:
    """Write a backup of the ring to the new file `target`, durable and of mode 0400; the ring may be in use.

    `deliver` takes the file on to where it is to be, before the ring remembers that it was backed up.

    Errors: Problem NOT_FOUND without a ring, CONFLICT for a file that exists, NO_SPACE, UNAVAILABLE if it cannot be written there.
    """
    if not ring.exists():
        raise Problem(Code.NOT_FOUND, "There are no keys here yet. Start the appliance once, or run: bildbrief keys init")
    if target.exists():
        raise Problem(Code.CONFLICT, "The file %(name)s exists already and is not overwritten. Choose another name.", name=target.name)
    temporary = target.with_name(f".{target.name}.part")
    db = connect(ring)
    try:
        with told(target):
            temporary.unlink(missing_ok=True)
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            try:
                db.execute("VACUUM INTO ?", [str(temporary)])
                made = _mark(temporary, now)
                _sync(temporary)
                temporary.chmod(MODE)
                temporary.rename(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            fsync_dir(target.parent)
            deliver(target)
        with write(db):
            _backed_up(db, now, target.name, made)
            record(db, now, Action.KEYS_COPIED, actor="operator")
    finally:
        db.close()


def note(ring: Path, fact: str, now: int) -> None:
    """Remember in the ring when something was done."""
    db = connect(ring)
    try:
        with write(db):
            remember(db, fact, str(now))
    finally:
        db.close()


def restore(key_dir: Path, master: MasterKey, backup: Path, now: Callable[[], int]) -> Content:
    """Put a backup in the ring's place. A kill at any point leaves the old ring or the new one, whole.

    What the present ring has buried or revoked, if it can be read at all, is so in the new one. Errors: as `verify`; Problem CONFLICT
    while a keyholder runs.
    """
    with locked(key_dir):
        staging, present = key_dir / f".{RING}.part", key_dir / RING
        _remove(staging)
        try:
            content = verify(backup, master)
            with told(staging):
                shutil.copyfile(backup, staging)
                staging.chmod(0o600)
            ring = Ring(staging, master, now)
            try:
                _settle_with(ring, present, content, backup.name)
            finally:
                ring.close()
            _sync(staging)
            _remove(present, but_itself=True)  # a journal left by a kill belongs to the old ring and would be played into the new one
            staging.rename(present)
        finally:
            _remove(staging)
        fsync_dir(key_dir)
    return content


def _settle_with(ring: Ring, present: Path, content: Content, name: str) -> None:
    """Take over from the present ring what must not come back, and note that there may be more."""
    buried, revoked, waiting = _of_present(present)
    studies = Studies(ring)
    # No password is looked at here, so what trying one costs does not matter.
    reburial = Reburial(ring, studies, Shares(ring, studies, memory_kib=64), Events(ring))
    reburial.rebury(studies=buried, closed=buried, revoked=revoked, replaced=[])
    now = ring.now()
    with ring.write() as db:
        # The audit log has collected events up to a number that only it knows: go on with one that was never reached.
        count_from(db, now * 1000)
        for event in waiting:
            db.execute("INSERT INTO events (at, actor, action, study_id, share_id, object_id, detail) VALUES (?, ?, ?, ?, ?, ?, ?)", event)
        record(db, now, Action.KEYS_RESTORED, actor="operator", detail={"copied_at": content.copied_at})
        made = row(db, "SELECT value FROM facts WHERE name = 'made'")
        _backed_up(db, content.copied_at, name, "0" if made is None else made["value"])
        remember(db, "restored_at", str(now))
        # A backup of a ring that was itself restored and not told yet lacks what happened since that one's backup.
        remember(db, UNSETTLED, str(min(content.copied_at, int(ring.fact(UNSETTLED) or content.copied_at))))
        db.execute("DELETE FROM facts WHERE name = ?", [COPIED_AT])


def _of_present(path: Path) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
    """Ids that the present ring has buried, shares it has revoked, events that nobody has collected; nothing of a ring that is lost."""
    if not path.exists():
        return [], [], []
    try:
        db = connect(path)
    except Problem:
        return [], [], []
    try:
        buried = [found[0] for found in db.execute("SELECT id FROM tombstones").fetchall()]
        revoked = [found[0] for found in db.execute("SELECT share_id FROM shares WHERE revoked_at IS NOT NULL").fetchall()]
        waiting = db.execute("SELECT at, actor, action, study_id, share_id, object_id, detail FROM events ORDER BY seq").fetchall()
    except sqlite3.DatabaseError:
        return [], [], []
    else:
        return buried, revoked, waiting
    finally:
        db.close()


def _backed_up(db: Database, at: int, name: str, made: str) -> None:
    for fact, value in (("last_backup_at", str(at)), ("last_backup_file", name), ("made_before_backup", made)):
        remember(db, fact, value)


def _mark(path: Path, now: int) -> str:
    """Make a copied ring a backup. Returns how many changes it had seen.

    Not by `disk.sqlite`: a backup has no write-ahead log, so that it opens from a medium that cannot be written.
    """
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", [COPIED_AT, str(now)])
        made = db.execute("SELECT value FROM facts WHERE name = 'made'").fetchone()
    return str(made[0]) if made else "0"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path, *, but_itself: bool = False) -> None:
    """A database with its journals, or those alone."""
    for suffix in ("-journal", "-wal", "-shm", *([] if but_itself else [""])):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def told(target: Path) -> Iterator[None]:
    """What can go wrong with a medium, in words."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise Problem(Code.NO_SPACE, "There is not enough space for %(name)s. Make room, then try again.", name=target.name) from error
        raise Problem(
            Code.UNAVAILABLE,
            "The file %(name)s cannot be written. Check that its directory exists and belongs to the keyholder's user.",
            name=target.name,
        ) from error
