"""The registry's tables, as migrations: once released, a step is never edited, only followed by another."""

from typing import Final

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations: Final = Migrations("registry")


@migrations(name="0001_first_tables")
def first_tables(database: Database) -> None:
    for statement in _FIRST.split(";"):
        if statement.strip():
            database.execute(statement)


@migrations(name="0002_commitments")
def commitments(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE commitments (
            request_id TEXT PRIMARY KEY,
            tag BLOB NOT NULL UNIQUE,
            asked_at INTEGER NOT NULL,
            due_at INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
            judged_at INTEGER,
            about BLOB NOT NULL
        ) STRICT"""
    )


_FIRST = """
CREATE TABLE studies (
    study_id TEXT PRIMARY KEY,
    tag BLOB NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('receiving', 'complete', 'forgotten')),
    first_received_at INTEGER NOT NULL,
    last_received_at INTEGER NOT NULL,
    about BLOB NOT NULL,
    completed_at INTEGER,
    generation INTEGER NOT NULL,
    manifest_id TEXT
) STRICT;
CREATE INDEX studies_by_state ON studies (state, last_received_at);
CREATE INDEX studies_by_manifest ON studies (manifest_id);

CREATE TABLE objects (
    object_id TEXT PRIMARY KEY,
    study_id TEXT NOT NULL REFERENCES studies,
    kind INTEGER NOT NULL,
    size INTEGER NOT NULL,
    wrapped_key BLOB NOT NULL,
    stored_at INTEGER NOT NULL,
    mirrored_at INTEGER
) STRICT;
CREATE INDEX objects_by_study ON objects (study_id, size);

CREATE TABLE series (
    series_id TEXT PRIMARY KEY,
    study_id TEXT NOT NULL REFERENCES studies,
    tag BLOB NOT NULL,
    about BLOB NOT NULL,
    thumb_id TEXT REFERENCES objects,
    picture_id TEXT REFERENCES objects,
    picture_note TEXT,
    UNIQUE (study_id, tag)
) STRICT;
CREATE INDEX series_by_thumb ON series (thumb_id);
CREATE INDEX series_by_picture ON series (picture_id);

CREATE TABLE instances (
    object_id TEXT PRIMARY KEY REFERENCES objects,
    study_id TEXT NOT NULL REFERENCES studies,
    series_id TEXT NOT NULL REFERENCES series,
    tag BLOB NOT NULL,
    content_tag BLOB NOT NULL,
    revision INTEGER NOT NULL,
    crc32 INTEGER NOT NULL,
    about BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    UNIQUE (study_id, tag, revision)
) STRICT;
CREATE INDEX instances_by_series ON instances (series_id);

CREATE TABLE reports (
    report_id TEXT PRIMARY KEY,
    study_id TEXT NOT NULL REFERENCES studies,
    object_id TEXT NOT NULL REFERENCES objects,
    instance_id TEXT NOT NULL REFERENCES objects,
    crc32 INTEGER NOT NULL,
    instance_crc32 INTEGER NOT NULL,
    about BLOB NOT NULL,
    added_at INTEGER NOT NULL
) STRICT;
CREATE INDEX reports_by_study ON reports (study_id);
CREATE INDEX reports_by_object ON reports (object_id);
CREATE INDEX reports_by_instance ON reports (instance_id);

CREATE TABLE report_pages (
    object_id TEXT PRIMARY KEY REFERENCES objects,
    report_id TEXT NOT NULL REFERENCES reports,
    number INTEGER NOT NULL,
    UNIQUE (report_id, number)
) STRICT;

CREATE TABLE quarantine (
    object_id TEXT PRIMARY KEY,
    study_id TEXT NOT NULL UNIQUE,
    reason TEXT NOT NULL,
    size INTEGER NOT NULL,
    wrapped_key BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    about BLOB NOT NULL
) STRICT;
CREATE INDEX quarantine_by_time ON quarantine (received_at);

CREATE TABLE shares (
    share_id TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    about BLOB NOT NULL,
    revoked_at INTEGER,
    closed_at INTEGER,
    locked_at INTEGER,
    opened_at INTEGER,
    last_opened_at INTEGER
) STRICT;
CREATE INDEX shares_not_closed ON shares (share_id) WHERE closed_at IS NULL;

CREATE TABLE share_studies (
    share_id TEXT NOT NULL REFERENCES shares,
    study_id TEXT NOT NULL,
    PRIMARY KEY (share_id, study_id)
) STRICT;
CREATE INDEX share_studies_by_study ON share_studies (study_id);

CREATE TABLE outbox (
    entry INTEGER PRIMARY KEY AUTOINCREMENT,
    verb TEXT NOT NULL CHECK (verb IN ('put', 'delete')),
    name TEXT NOT NULL,
    study_id TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    problem TEXT
) STRICT;
CREATE INDEX outbox_by_study ON outbox (study_id);

CREATE TABLE users (
    user_id TEXT PRIMARY KEY,
    login_tag BLOB NOT NULL UNIQUE,
    about BLOB NOT NULL,
    password TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE setup (
    token_hash BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE marks (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    study_id TEXT,
    share_id TEXT,
    object_id TEXT,
    detail TEXT,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_study ON audit (study_id);
CREATE INDEX audit_by_share ON audit (share_id)
"""
