"""A change of the registry: what one transaction may do, and the audit log that it must not leave out."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sqlite_utils import Database

from ..domain.audit import FIRST, Action, Event, link
from .rows import Row

R = TypeVar("R", bound=Row)


class Change:
    """What a transaction may do. Made by `Registry.change` only."""

    def __init__(self, database: Database, now: int, actor: str) -> None:
        self._database = database
        self.now = now
        self._actor = actor
        self.noted = 0

    def rows(self, row: type[R], where: str, values: Sequence[Any]) -> list[R]:
        """A read inside the transaction, for decisions that must not race."""
        return select(self._database, row, where, values)

    def insert(self, *rows: Row) -> None:
        for row in rows:
            # An outbox entry is numbered by its table.
            columns = [name for name in row.columns() if not (name == "entry" and row.entry == 0)]  # type: ignore[attr-defined]
            values = [getattr(row, name) for name in columns]
            places = ", ".join("?" * len(columns))
            self._database.execute(f"INSERT INTO {row.TABLE} ({', '.join(columns)}) VALUES ({places})", values)  # noqa: S608

    def update(self, row: type[Row], key: str | bytes | int, **values: Any) -> None:
        """Set columns of the one row whose first column is `key`."""
        unknown = set(values) - set(row.columns())
        if unknown:
            raise AssertionError(f"no such columns: {unknown}")
        assignments = ", ".join(f"{name} = ?" for name in values)
        statement = f"UPDATE {row.TABLE} SET {assignments} WHERE {row.columns()[0]} = ?"  # noqa: S608
        self._database.execute(statement, [*values.values(), key])

    def delete(self, row: type[Row], column: str, values: Iterable[str | bytes | int]) -> None:
        """Delete all rows whose `column` is one of `values`."""
        if column not in row.columns():
            raise AssertionError(f"no such column: {column}")
        for value in values:
            self._database.execute(f"DELETE FROM {row.TABLE} WHERE {column} = ?", [value])  # noqa: S608

    def set_mark(self, name: str, value: int) -> None:
        self._database.execute("INSERT OR REPLACE INTO marks (name, value) VALUES (?, ?)", [name, value])

    def note(
        self,
        action: Action,
        *,
        study_id: str | None = None,
        share_id: str | None = None,
        object_id: str | None = None,
        at: int | None = None,
        actor: str | None = None,
        **detail: Any,
    ) -> None:
        """Write an audit entry. `at` and `actor` differ from the change's own when an event is collected later."""
        event = Event(self.now if at is None else at, actor or self._actor, action, study_id, share_id, object_id, detail or None)
        last = self._database.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
        seq, previous = last or (0, FIRST)
        self._database.execute(
            "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                seq + 1,
                event.at,
                event.actor,
                event.action,
                study_id,
                share_id,
                object_id,
                None if event.detail is None else json.dumps(event.detail, sort_keys=True, separators=(",", ":")),
                link(previous, event),
            ],
        )
        self.noted += 1


def select(database: Database, row: type[R], where: str, values: Sequence[Any]) -> list[R]:
    """All rows for which `where` is true, read to the end."""
    columns = row.columns()
    cursor = database.execute(f"SELECT {', '.join(columns)} FROM {row.TABLE} WHERE {where}", list(values))  # noqa: S608
    return [row(*found) for found in cursor.fetchall()]
