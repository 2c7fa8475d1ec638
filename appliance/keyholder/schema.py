"""The tables of the ring. Without the master key no row of it opens anything; no row names a person.

Rows that hold keys live in tables WITHOUT ROWID: there SQLite's `secure_delete` was found to leave no copy of a deleted row behind,
while tables with rowids now and then keep one in a page that was rebalanced.
"""

import sqlite3
from contextlib import closing

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations = Migrations("ring")

_TABLES = (
    # The ring's own secrets, under the master key.
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, wrapped BLOB NOT NULL) STRICT, WITHOUT ROWID",
    # One key for each calendar month (UTC, "2026-11"), under the master key; study keys under that of their month.
    "CREATE TABLE epochs (epoch TEXT PRIMARY KEY, wrapped BLOB NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE studies (study_id TEXT PRIMARY KEY, epoch TEXT NOT NULL REFERENCES epochs, wrapped BLOB NOT NULL,
        generation INTEGER NOT NULL DEFAULT 0, anchor BLOB) STRICT, WITHOUT ROWID""",
    "CREATE INDEX studies_epoch ON studies (epoch)",
    # `share_key` under the master key, `code` under the share key, `slot_key` (the share key again) under code and password; none
    # once revoked.
    """CREATE TABLE shares (share_id TEXT PRIMARY KEY, record TEXT NOT NULL, code_tag BLOB NOT NULL UNIQUE, code BLOB, share_key BLOB,
        salt BLOB NOT NULL, memory_kib INTEGER NOT NULL, passes INTEGER NOT NULL, lanes INTEGER NOT NULL, verifier BLOB NOT NULL,
        slot_key BLOB, failures INTEGER NOT NULL DEFAULT 0, locked_at INTEGER, revoked_at INTEGER) STRICT, WITHOUT ROWID""",
    # Study keys under the share key, for a record with this digest and no other.
    """CREATE TABLE share_studies (share_id TEXT NOT NULL REFERENCES shares ON DELETE CASCADE, study_id TEXT NOT NULL,
        wrapped BLOB NOT NULL, PRIMARY KEY (share_id, study_id)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX share_studies_study ON share_studies (study_id)",
    # Private halves under the master key.
    """CREATE TABLE intake_keys (key_id TEXT PRIMARY KEY, made_at INTEGER NOT NULL, public BLOB NOT NULL, private BLOB NOT NULL)
        STRICT, WITHOUT ROWID""",
    # Ids of studies and shares that are never to come back.
    "CREATE TABLE tombstones (id TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, action TEXT NOT NULL, share_id TEXT,
        object_id TEXT, detail TEXT NOT NULL) STRICT""",
    # Attempts that have not opened anything (yet); who tried is a keyed hash.
    """CREATE TABLE attempts (seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, code_tag BLOB, prefix BLOB, device BLOB)
        STRICT""",
    "CREATE INDEX attempts_at ON attempts (at)",
    "CREATE INDEX attempts_prefix ON attempts (prefix, at)",
    "CREATE INDEX attempts_code ON attempts (code_tag, prefix, at)",
    "CREATE INDEX attempts_device ON attempts (device, at)",
)


@migrations()
def tables(db: Database) -> None:
    for statement in _TABLES:
        db.execute(statement)


@migrations()
def facts(db: Database) -> None:
    """What is to be remembered of the ring as a whole: which master key it is under, when it was backed up, …"""
    db.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID")


@migrations()
def witnessed(db: Database) -> None:
    """Events are no longer only what readers did: who asked, and for which study."""
    db.execute("ALTER TABLE events ADD COLUMN actor TEXT NOT NULL DEFAULT 'reader'")
    db.execute("ALTER TABLE events ADD COLUMN study_id TEXT")


@migrations()
def clients(db: Database) -> None:
    """The certificates with which appliances on other machines may ask (SHA-256, hex). What is not here is not accepted."""
    db.execute("CREATE TABLE clients (fingerprint TEXT PRIMARY KEY, host TEXT NOT NULL, not_after INTEGER NOT NULL) STRICT, WITHOUT ROWID")


def newer(db: Database) -> bool:
    """Whether a ring has tables that this version does not know."""
    with closing(sqlite3.connect(":memory:")) as nothing:
        known = {migration.name for migration in migrations.pending(Database(nothing, execute_plugins=False))}
    return not {migration.name for migration in migrations.applied(db)} <= known
