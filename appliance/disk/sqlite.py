"""SQLite opened right: the pragmas, the journal that this library's version keeps safe, one writer at a time.

sqlite-utils wants the driver's default transaction control; it is left as it is.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlite_utils import Database

from appliance.domain.errors import Code, Problem


def _busy() -> Problem:
    return Problem(Code.UNAVAILABLE, "The database is in use by another process for too long. Please try again.")


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the fix of the WAL-reset bug (present from 3.7.0 to 3.51.2; fixed in 3.51.3, 3.50.7 and 3.44.6)."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def connect(path: Path, *, read_only: bool = False, timeout: float = 10.0) -> Database:
    """Open `path` for one thread at a time (`Connections` gives each thread its own). `timeout`: seconds to wait for another writer.

    A read-only connection of another user cannot undo what a killed writer left half done; it fails until a writer opened the file.
    Errors: Problem UNAVAILABLE if the file cannot be opened or its journal mode cannot be set.
    """
    if not read_only:
        _create(path)
    try:
        conn = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}", uri=True, timeout=timeout, check_same_thread=False
        )
    except sqlite3.OperationalError as error:
        raise Problem(Code.UNAVAILABLE, "The database %(name)s cannot be opened.", name=path.name) from error
    try:
        # Plugins of sqlite-utils would be code of others in every process that opens a database.
        db = Database(conn, execute_plugins=False)
        for pragma in ("foreign_keys=ON", "trusted_schema=OFF", "secure_delete=ON", "temp_store=MEMORY"):
            conn.execute(f"PRAGMA {pragma}")
        if not read_only:
            _set_journal(conn, path)
    except BaseException:
        conn.close()
        raise
    return db


def _create(path: Path) -> None:
    """Make the file if there is none, with the rights that the umask leaves: SQLite itself would never let the group write.

    O_EXCL: never a second descriptor of a database in use, because closing it would drop this process's locks (fcntl(2)).
    """
    with suppress(OSError):  # there already; or else SQLite meets the same error and says so
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))


def _set_journal(conn: sqlite3.Connection, path: Path) -> None:
    """A write-ahead log where it is safe, else a rollback journal whose deletion is made durable too (EXTRA)."""
    mode, synchronous = ("wal", "FULL") if wal_is_safe(sqlite3.sqlite_version_info) else ("delete", "EXTRA")
    try:
        (current,) = conn.execute("PRAGMA journal_mode").fetchone()
        if current != mode:
            (current,) = conn.execute(f"PRAGMA journal_mode={mode}").fetchone()
    except sqlite3.OperationalError as error:
        raise _busy() from error
    except sqlite3.DatabaseError as error:
        raise Problem(Code.DAMAGED, "The file %(name)s is not a database, or it is damaged.", name=path.name) from error
    if current != mode:
        raise _busy()
    conn.execute(f"PRAGMA synchronous={synchronous}")


@contextmanager
def write(db: Database) -> Iterator[Database]:
    """One transaction: takes the write lock first (BEGIN IMMEDIATE), commits at the end, rolls back on any exception.

    Errors: Problem UNAVAILABLE if another writer keeps the lock longer than the connection's timeout.
    """
    try:
        db.conn.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        raise _busy() from error
    try:
        yield db
        db.conn.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


class Connections:
    """One connection for each thread that asks, so that no thread reads in the middle of another one's transaction."""

    def __init__(self, path: Path, *, read_only: bool = False, timeout: float = 10.0) -> None:
        self.path = path
        self._read_only = read_only
        self._timeout = timeout
        self._open: dict[threading.Thread, Database] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    def here(self) -> Database:
        """The calling thread's own connection. Connections of threads that have ended are closed on the way."""
        thread = threading.current_thread()
        db = self._open.get(thread)
        if db is None:
            db = connect(self.path, read_only=self._read_only, timeout=self._timeout)
            with self._lock:
                for ended in [other for other in self._open if not other.is_alive()]:
                    self._open.pop(ended).close()
                self._open[thread] = db
        return db

    @contextmanager
    def write(self) -> Iterator[Database]:
        """`write` on the calling thread's connection; this process's writers queue here instead of polling the file lock.

        A connection that met trouble is not used again: one for which the file could not be opened for writing would never write.
        """
        db = self.here()
        try:
            with self._writing, write(db):
                yield db
        except sqlite3.OperationalError:
            self._forget()
            raise

    def _forget(self) -> None:
        with self._lock:
            self._open.pop(threading.current_thread()).close()

    def close(self) -> None:
        """Close every connection. No thread may be using one."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()
