"""The ring: the database of wrapped keys beside the master key, and the secrets of its own that everything else here uses.

Every change is one transaction (`appliance.disk.sqlite`), durable when it returns; a kill at any point leaves the state before
or after it. What is deleted is overwritten in the file (`secure_delete`), and a deleted study or share leaves a tombstone.
"""

import fcntl
import hmac
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Self

from sqlite_utils import Database

from ..disk.sqlite import Connections, connect
from ..domain.errors import Code, Problem
from ..vault.keys import Context, WrongWrap, new_key, tag
from .master import FileKey, MasterKey
from .schema import migrations

MASTER: Final = "master.key"
RING: Final = "ring.sqlite3"

SECRETS: Final = ("index", "pepper", "device", "uid", "desk", "snapshot", "authority")
"""Index: finds codes and counts attempts. Pepper: Argon2id's secret. Device: marks browsers that opened a share. Uid: recognises
studies. Desk: seals what the desk keeps on people. Snapshot: seals copies of the registry. Authority: signs the certificates of
appliances on other machines."""


class Ring:
    """One for the whole process; safe to use from several threads. `now` gives UTC seconds."""

    def __init__(self, path: Path, master: MasterKey, now: Callable[[], int]) -> None:
        """Open the ring at `path`, or make it. Errors: Problem CONFLICT if it belongs to another master key."""
        self.master = master
        self.now = now
        self._connections = Connections(path)
        migrations.apply(self._connections.here())
        self._secrets = self._open_secrets()

    @classmethod
    @contextmanager
    def opened(cls, key_dir: Path, now: Callable[[], int]) -> Iterator[Self]:
        """The ring of a key directory, for one process at a time; on first start master key and ring are made.

        Errors: Problem CONFLICT while another process has it, UNAVAILABLE if there is a ring but no master key; those of `FileKey`.
        """
        with locked(key_dir):
            for left in key_dir.glob(f".{RING}.part*"):  # of a restore that was killed; it may hold what was forgotten
                left.unlink()
            path = key_dir / MASTER
            if path.exists():
                master = FileKey.load(path)
            elif (key_dir / RING).exists():
                raise Problem(
                    Code.UNAVAILABLE,
                    "The master key file %(name)s is missing, but the keys that it opens are there. Put it back from your backup.",
                    name=MASTER,
                )
            else:
                master = FileKey.create(path)
            ring = cls(key_dir / RING, master, now)
            try:
                yield ring
            finally:
                ring.close()

    def close(self) -> None:
        """Close all connections. No thread may be using one."""
        self._connections.close()

    def write(self) -> AbstractContextManager[Database]:
        """One transaction, from BEGIN IMMEDIATE to COMMIT; its body gets the database."""
        return self._connections.write()

    def here(self) -> Database:
        """The calling thread's connection, for reading."""
        return self._connections.here()

    def secret(self, name: str) -> bytes:
        return self._secrets[name]

    def fact(self, name: str) -> str | None:
        """What is remembered of the ring as a whole."""
        found = row(self.here(), "SELECT value FROM facts WHERE name = ?", [name])
        return None if found is None else str(found["value"])

    def code_tag(self, code: str) -> bytes:
        """Under what an access code is found: HMAC-SHA-256(index key, code)[:16]."""
        return hmac.digest(self._secrets["index"], code.encode(), "sha256")[:16]

    def tag(self, what: str, value: str) -> bytes:
        """A keyed hash that stands for something that is counted but not to be known."""
        return tag(self._secrets["index"], what.encode(), value.encode())

    def _open_secrets(self) -> dict[str, bytes]:
        with self.write() as db:
            wrapped = {row["name"]: row["wrapped"] for row in rows(db, "SELECT name, wrapped FROM secrets")}
            try:
                secrets = {name: self.master.unwrap(key, Context("bildbrief/v1/secret", name.encode())) for name, key in wrapped.items()}
            except WrongWrap as error:
                raise Problem(
                    Code.CONFLICT,
                    "The keys in %(name)s were not made with this master key. Restore the whole key directory from one backup.",
                    name=RING,
                ) from error
            for name in SECRETS:
                if name not in secrets:
                    secrets[name] = new_key()
                    db.execute(
                        "INSERT INTO secrets (name, wrapped) VALUES (?, ?)",
                        [name, self.master.wrap(secrets[name], Context("bildbrief/v1/secret", name.encode()))],
                    )
        return secrets


@contextmanager
def locked(key_dir: Path) -> Iterator[None]:
    """One process at a time. Errors: Problem CONFLICT while another has the key directory."""
    directory = os.open(key_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Problem(Code.CONFLICT, "Another keyholder is using this key directory. Stop it first.") from None
    finally:
        os.close(directory)


def fits(path: Path, master: MasterKey) -> bool:
    """Whether the ring at `path` is under this master key."""
    db = connect(path)
    try:
        for found in rows(db, "SELECT name, wrapped FROM secrets"):
            master.unwrap(found["wrapped"], Context("bildbrief/v1/secret", found["name"].encode()))
    except WrongWrap:
        return False
    finally:
        db.close()
    return True


def rows(db: Database, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """All rows of a query, read to the end: a half-read one would hold a lock."""
    return list(db.query(sql, list(values)))


def row(db: Database, sql: str, values: Sequence[Any] = ()) -> dict[str, Any] | None:
    """The first row of a query."""
    return next(iter(rows(db, sql, values)), None)


def remember(db: Database, name: str, value: str) -> None:
    """Set a fact of the ring inside the caller's transaction."""
    db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", [name, value])


def bury(db: Database, what: str, now: int) -> None:
    """Leave a tombstone: nothing with this id is ever made again."""
    db.execute("INSERT OR IGNORE INTO tombstones (id, at) VALUES (?, ?)", [what, now])


def refuse_buried(db: Database, what: str) -> None:
    """Errors: Problem CONFLICT for the id of something that was forgotten."""
    if row(db, "SELECT 1 FROM tombstones WHERE id = ?", [what]):
        raise Problem(Code.CONFLICT, "This was deleted for good and cannot come back. Start anew.")
