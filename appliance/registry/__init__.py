"""The registry: which studies, series, instances, reports and shares there are, and everything that ever happened to them.

It holds no patient's name in the clear and no key. A row points only at durable bytes: bytes first, then the row.
Every change notes at least one audit event in the same transaction.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any, TypeVar

from ..disk.sqlite import Connections
from ..domain.audit import FIRST, Action, Event, link
from ..domain.errors import Code, Problem
from ..domain.study import StudyState
from .change import Change, select
from .rows import (
    AuditRow,
    CommitmentRow,
    Counts,
    InstanceRow,
    ObjectRow,
    OutboxRow,
    QuarantineRow,
    ReportPageRow,
    ReportRow,
    Row,
    SeriesRow,
    SetupRow,
    ShareRow,
    ShareStudyRow,
    StudyRow,
    UserRow,
)
from .schema import migrations

R = TypeVar("R", bound=Row)

_GIVEN = "(SELECT value FROM json_each(?))"
"""Any number of ids as one parameter: a JSON array."""


class Registry:
    """Reads, and `change()` for writes. Safe to use from several threads; each has a connection of its own."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._connections = Connections(path, read_only=read_only)
        if not read_only:
            migrations.apply(self._connections.here())

    def close(self) -> None:
        """Close all connections. No thread may be using one."""
        self._connections.close()

    @contextmanager
    def change(self, now: int, actor: str) -> Iterator["Change"]:
        """One transaction. It is taken back if the body raises, or if it noted no audit event."""
        with self._connections.write() as database:
            change = Change(database, now, actor)
            yield change
            if not change.noted:
                raise AssertionError("a change without an audit event")

    # -- reads -----------------------------------------------------------------------------------------------------

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        try:
            return list(self._connections.here().query(sql, list(values)))
        except OperationalError as error:
            raise _busy() from error

    def _rows(self, row: type[R], where: str = "1", values: Sequence[Any] = ()) -> list[R]:
        try:
            return select(self._connections.here(), row, where, values)
        except OperationalError as error:
            raise _busy() from error

    def _row(self, row: type[R], where: str, values: Sequence[Any]) -> R | None:
        return next(iter(self._rows(row, where, values)), None)

    def study(self, study_id: str) -> StudyRow | None:
        return self._row(StudyRow, "study_id = ?", [study_id])

    def study_by_tag(self, tag: bytes) -> StudyRow | None:
        return self._row(StudyRow, "tag = ?", [tag])

    def studies(self, state: StudyState | None = None) -> list[StudyRow]:
        """All studies that are not forgotten, or those of one state; latest received first."""
        if state is None:
            return self._rows(StudyRow, "state <> 'forgotten' ORDER BY last_received_at DESC, study_id")
        return self._rows(StudyRow, "state = ? ORDER BY last_received_at DESC, study_id", [state])

    def studies_quiet_since(self, moment: int) -> list[StudyRow]:
        """Studies still receiving whose last image came at or before `moment`."""
        return self._rows(StudyRow, "state = 'receiving' AND last_received_at <= ? ORDER BY last_received_at", [moment])

    def studies_unneeded_since(self, moment: int) -> list[StudyRow]:
        """What may be due: complete studies whose last image came at or before `moment`, and which no share keeps that is neither closed
        nor revoked."""
        return self._rows(
            StudyRow,
            "state = 'complete' AND last_received_at <= ? AND NOT EXISTS (SELECT 1 FROM share_studies JOIN shares USING (share_id)"
            " WHERE share_studies.study_id = studies.study_id AND closed_at IS NULL AND revoked_at IS NULL) ORDER BY last_received_at",
            [moment],
        )

    def studies_among(self, study_ids: Iterable[str]) -> list[StudyRow]:
        """Those of these studies that are not forgotten."""
        return self._rows(StudyRow, f"state <> 'forgotten' AND study_id IN {_GIVEN}", [json.dumps([*study_ids])])

    def series_among(self, study_ids: Iterable[str]) -> list[SeriesRow]:
        return self._rows(SeriesRow, f"study_id IN {_GIVEN} ORDER BY series_id", [json.dumps([*study_ids])])

    def shares_among(self, study_ids: Iterable[str]) -> list[ShareRow]:
        """The shares in which at least one of these studies is."""
        among = f"share_id IN (SELECT share_id FROM share_studies WHERE study_id IN {_GIVEN})"  # noqa: S608
        return self._rows(ShareRow, among, [json.dumps([*study_ids])])

    def counts(self, study_ids: Iterable[str]) -> dict[str, Counts]:
        """How much each of these studies holds, by study id."""
        found = self._query(
            f"""
            SELECT study_id,
                   (SELECT count(*) FROM series WHERE series.study_id = studies.study_id) AS series,
                   (SELECT count(DISTINCT tag) FROM instances WHERE instances.study_id = studies.study_id) AS instances,
                   (SELECT count(*) FROM reports WHERE reports.study_id = studies.study_id) AS reports,
                   (SELECT coalesce(sum(size), 0) FROM objects WHERE objects.study_id = studies.study_id) AS size
            FROM studies WHERE state <> 'forgotten' AND study_id IN {_GIVEN}""",  # noqa: S608
            [json.dumps([*study_ids])],
        )
        return {row["study_id"]: Counts(**row) for row in found}

    def series(self, study_id: str) -> list[SeriesRow]:
        return self._rows(SeriesRow, "study_id = ? ORDER BY series_id", [study_id])

    def series_by_tag(self, study_id: str, tag: bytes) -> SeriesRow | None:
        return self._row(SeriesRow, "study_id = ? AND tag = ?", [study_id, tag])

    def instances(self, study_id: str) -> list[InstanceRow]:
        """The latest revision of each instance of a study."""
        return self._rows(
            InstanceRow,
            "study_id = ?1 AND revision = (SELECT max(revision) FROM instances AS other"
            " WHERE other.study_id = ?1 AND other.tag = instances.tag) ORDER BY received_at, object_id",
            [study_id],
        )

    def all_instances(self, study_id: str) -> list[InstanceRow]:
        """All revisions of all instances of a study."""
        return self._rows(InstanceRow, "study_id = ? ORDER BY object_id", [study_id])

    def revisions(self, study_id: str, tag: bytes) -> list[InstanceRow]:
        return self._rows(InstanceRow, "study_id = ? AND tag = ? ORDER BY revision", [study_id, tag])

    def instance(self, object_id: str) -> InstanceRow | None:
        return self._row(InstanceRow, "object_id = ?", [object_id])

    def object(self, object_id: str) -> ObjectRow | None:
        return self._row(ObjectRow, "object_id = ?", [object_id])

    def objects(self, study_id: str) -> list[ObjectRow]:
        return self._rows(ObjectRow, "study_id = ? ORDER BY object_id", [study_id])

    def known_blobs(self, names: Iterable[str]) -> set[str]:
        """Those of these stored files at which a row points."""
        among = f"SELECT {{1}} AS name FROM {{0}} WHERE {{1}} IN {_GIVEN}"  # noqa: S608
        tables = (("objects", "object_id"), ("studies", "manifest_id"), ("quarantine", "object_id"))
        found = self._query(" UNION ALL ".join(among.format(*one) for one in tables), [json.dumps([*names])] * len(tables))
        return {row["name"] for row in found}

    def all_objects(self) -> list[ObjectRow]:
        return self._rows(ObjectRow, "1 ORDER BY object_id")

    def reports(self, study_id: str) -> list[ReportRow]:
        return self._rows(ReportRow, "study_id = ? ORDER BY added_at, report_id", [study_id])

    def report(self, report_id: str) -> ReportRow | None:
        return self._row(ReportRow, "report_id = ?", [report_id])

    def report_pages(self, report_id: str) -> list[ReportPageRow]:
        return self._rows(ReportPageRow, "report_id = ? ORDER BY number", [report_id])

    def quarantine(self) -> list[QuarantineRow]:
        return self._rows(QuarantineRow, "1 ORDER BY received_at DESC, object_id")

    def quarantined(self, object_id: str) -> QuarantineRow | None:
        return self._row(QuarantineRow, "object_id = ?", [object_id])

    def share(self, share_id: str) -> ShareRow | None:
        return self._row(ShareRow, "share_id = ?", [share_id])

    def shares(self) -> list[ShareRow]:
        return self._rows(ShareRow, "1 ORDER BY share_id")

    def shares_not_closed(self) -> list[ShareRow]:
        return self._rows(ShareRow, "closed_at IS NULL ORDER BY share_id")

    def shares_of(self, study_id: str) -> list[ShareRow]:
        return self._rows(ShareRow, "share_id IN (SELECT share_id FROM share_studies WHERE study_id = ?) ORDER BY share_id", [study_id])

    def outbox(self, now: int, limit: int = 100) -> list[OutboxRow]:
        """What is due for the mirror, oldest first."""
        return self._rows(OutboxRow, "due_at <= ? ORDER BY entry LIMIT ?", [now, limit])

    def outbox_of(self, study_id: str) -> list[OutboxRow]:
        return self._rows(OutboxRow, "study_id = ? ORDER BY entry", [study_id])

    def outbox_backlog(self) -> tuple[int, int]:
        """How many entries wait for the mirror, and how many of them have failed before."""
        (row,) = self._query("SELECT count(*) AS waiting, coalesce(sum(attempts > 0), 0) AS failed FROM outbox")
        return row["waiting"], row["failed"]

    def commitments_due(self, now: int) -> list[CommitmentRow]:
        """What modalities asked and is to be looked at, oldest first."""
        return self._rows(CommitmentRow, "due_at <= ? ORDER BY asked_at, request_id", [now])

    def users(self) -> list[UserRow]:
        return self._rows(UserRow, "1 ORDER BY created_at, user_id")

    def user_by_tag(self, login_tag: bytes) -> UserRow | None:
        return self._row(UserRow, "login_tag = ?", [login_tag])

    def user(self, user_id: str) -> UserRow | None:
        return self._row(UserRow, "user_id = ?", [user_id])

    def setup_links(self) -> list[SetupRow]:
        return self._rows(SetupRow)

    def mark(self, name: str) -> int:
        """A number that outlives restarts, 0 at first."""
        found = self._query("SELECT value FROM marks WHERE name = ?", [name])
        return found[0]["value"] if found else 0

    def last_change(self) -> int:
        """The number of the latest audit entry: unchanged means that nothing has changed."""
        (row,) = self._query("SELECT coalesce(max(seq), 0) AS seq FROM audit")
        return int(row["seq"])

    def changed_since(self, seq: int) -> set[str]:
        """The studies that audit entries after number `seq` are about, themselves or by a share."""
        found = self._query(
            """
            SELECT study_id FROM audit WHERE seq > ?1 AND study_id IS NOT NULL UNION
            SELECT study_id FROM share_studies WHERE share_id IN (SELECT share_id FROM audit WHERE seq > ?1)""",
            [seq],
        )
        return {row["study_id"] for row in found}

    def audit(self, *, study_id: str | None = None, share_id: str | None = None) -> list[AuditRow]:
        """The entries on a study or a share, oldest first; all entries when neither is named."""
        if study_id is None and share_id is None:
            return self._rows(AuditRow, "1 ORDER BY seq")
        return self._rows(AuditRow, "study_id = ? OR share_id = ? ORDER BY seq", [study_id, share_id])

    def audit_of(self, actions: Iterable[Action], after: int, limit: int) -> list[AuditRow]:
        """The first entries behind number `after` on these actions, oldest first."""
        return self._rows(AuditRow, f"action IN {_GIVEN} AND seq > ? ORDER BY seq LIMIT ?", [json.dumps([*actions]), after, limit])

    def audit_is_whole(self) -> bool:
        """Whether each entry is chained to the one before it."""
        previous = FIRST
        for row in self._rows(AuditRow, "1 ORDER BY seq"):
            detail = None if row.detail is None else json.loads(row.detail)
            event = Event(row.at, row.actor, Action(row.action), row.study_id, row.share_id, row.object_id, detail)
            previous = link(previous, event)
            if previous != row.hash:
                return False
        return True

    def is_whole(self) -> bool:
        """What SQLite's own check says of the file, and whether all references hold."""
        database = self._connections.here()
        sound = [row[0] for row in database.execute("PRAGMA integrity_check").fetchall()] == ["ok"]
        return sound and not database.execute("PRAGMA foreign_key_check").fetchall()


def _busy() -> Problem:
    return Problem(Code.UNAVAILABLE, "The registry is busy. Please try again in a moment.")


__all__ = [
    "AuditRow",
    "Change",
    "CommitmentRow",
    "Counts",
    "InstanceRow",
    "ObjectRow",
    "OutboxRow",
    "QuarantineRow",
    "Registry",
    "ReportPageRow",
    "ReportRow",
    "SeriesRow",
    "SetupRow",
    "ShareRow",
    "ShareStudyRow",
    "StudyRow",
    "UserRow",
]
