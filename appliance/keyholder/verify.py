"""Verifying a backup of the ring: with the master key at hand every key in it is opened, and nothing is changed."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlite_utils import Database

from ..disk.sqlite import connect
from ..domain.errors import Code, Problem
from ..vault.keys import Context, WrongWrap, unwrap
from .intake import intake_context
from .master import MasterKey
from .ring import row, rows
from .schema import newer
from .shares import access_code_context, parse_record, share_key_context, share_study_context
from .studies import epoch_context, study_context

COPIED_AT: Final = "copied_at"
"""The fact that makes a ring a backup: when it was copied, in UTC seconds."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a backup holds. `copied_at`: UTC seconds."""

    copied_at: int
    studies: int
    epochs: int
    shares: int
    intake_keys: int
    tombstones: int


def verify(path: Path, master: MasterKey) -> Content:
    """Open every key in a backup, read-only.

    Errors: Problem NOT_FOUND, UNAVAILABLE if it cannot be read, INVALID for a file that is no backup, CONFLICT for one of another master
    key or of a newer version, DAMAGED for one in which anything does not open.
    """
    try:
        path.open("rb").close()
    except FileNotFoundError as error:
        raise Problem(Code.NOT_FOUND, "There is no file %(name)s.", name=path.name) from error
    except OSError as error:
        raise Problem(Code.UNAVAILABLE, "The file %(name)s cannot be read by the keyholder's user.", name=path.name) from error
    db = connect(path, read_only=True)
    try:
        copied_at = _judge(db, path.name)
        sound = [found[0] for found in db.execute("PRAGMA integrity_check").fetchall()] == ["ok"]
        if not sound or db.execute("PRAGMA foreign_key_check").fetchall():
            raise _damaged(path.name)
        _open_secrets(db, master, path.name)
        return Content(copied_at=copied_at, **_open_keys(db, master, path.name))
    except sqlite3.DatabaseError as error:
        raise _damaged(path.name) from error
    finally:
        db.close()


def _judge(db: Database, name: str) -> int:
    """When a backup was made. Errors: Problem INVALID for what is none, CONFLICT for one of a newer version, DAMAGED."""
    try:
        if newer(db):
            raise Problem(Code.CONFLICT, "The backup %(name)s was made by a newer version. Update first, then try again.", name=name)
        copied_at = row(db, "SELECT value FROM facts WHERE name = ?", [COPIED_AT])
    except sqlite3.OperationalError as error:
        raise _no_backup(name) from error
    if copied_at is None:
        raise _no_backup(name)
    return int(copied_at["value"])


def _open_secrets(db: Database, master: MasterKey, name: str) -> None:
    try:
        for found in rows(db, "SELECT name, wrapped FROM secrets"):
            master.unwrap(found["wrapped"], Context("bildbrief/v1/secret", found["name"].encode()))
    except WrongWrap as error:
        raise Problem(Code.CONFLICT, "The backup %(name)s belongs to another master key than the one here.", name=name) from error


def _open_keys(db: Database, master: MasterKey, name: str) -> dict[str, int]:
    """Unwrap everything; how much there is of each. Errors: Problem DAMAGED."""
    try:
        epochs = {
            found["epoch"]: master.unwrap(found["wrapped"], epoch_context(found["epoch"]))
            for found in rows(db, "SELECT epoch, wrapped FROM epochs")
        }
        for found in rows(db, "SELECT study_id, epoch, wrapped FROM studies"):
            unwrap(epochs[found["epoch"]], found["wrapped"], study_context(found["epoch"], found["study_id"]))
        for share in rows(db, "SELECT share_id, record, code, share_key FROM shares WHERE share_key IS NOT NULL"):
            record = parse_record(share["record"])
            share_key = master.unwrap(share["share_key"], share_key_context(record.share_id))
            unwrap(share_key, share["code"], access_code_context(record.share_id))
            for found in rows(db, "SELECT study_id, wrapped FROM share_studies WHERE share_id = ?", [share["share_id"]]):
                unwrap(share_key, found["wrapped"], share_study_context(record, found["study_id"]))
        for found in rows(db, "SELECT key_id, private FROM intake_keys"):
            master.unwrap(found["private"], intake_context(found["key_id"]))
    except Problem as problem:
        if problem.code in (Code.DAMAGED, Code.INVALID):
            raise _damaged(name) from problem
        raise
    counts = {table: f"SELECT count(*) FROM {table}" for table in ("studies", "epochs", "intake_keys", "tombstones")}  # noqa: S608
    counts["shares"] = "SELECT count(*) FROM shares WHERE record != ''"
    return {name: db.execute(sql).fetchone()[0] for name, sql in counts.items()}


def _no_backup(name: str) -> Problem:
    return Problem(Code.INVALID, "The file %(name)s is not a backup made by: bildbrief keys backup", name=name)


def _damaged(name: str) -> Problem:
    return Problem(Code.DAMAGED, "The backup %(name)s is damaged. Use another one, and find out what damaged it.", name=name)
