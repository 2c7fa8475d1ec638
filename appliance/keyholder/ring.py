"""The ring: the database of wrapped keys beside the master key, and the secrets of its own that everything else here uses.

Every change is one transaction (`appliance.disk.sqlite`), durable when it returns; a kill at any point leaves the state before
or after it. What is deleted is overwritten in the file (`secure_delete`), and a deleted study or share leaves a tombstone.
"""

import fcntl
import hmac
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from sqlite_utils import Database

from ..disk.sqlite import Connections, connect
from ..domain.errors import Code, Problem
from ..vault.keys import Context, WrongWrap, new_key, tag
from .gate import Gate
from .master import Files, MasterKey, Provider
from .schema import migrations

RING: Final = "ring.sqlite3"

MASTER: Final = "master"
PROVIDER: Final = "master_provider"
MADE_AT: Final = "master_made_at"
"""Facts: which master key the ring is under, by its tag; whose it is; when it was made (UTC seconds, if known)."""

SPARE: Final = "master_spare "
"""Begins the fact of each key that is to be destroyed, not yet the master key or not any more: its tag follows, and whose it is."""

SECRETS: Final = ("index", "pepper", "device", "uid", "desk", "snapshot", "authority")
"""Index: finds codes and counts attempts. Pepper: Argon2id's secret. Device: marks browsers that opened a share. Uid: recognises
studies. Desk: seals what the desk keeps on people. Snapshot: seals copies of the registry. Authority: signs the certificates of
appliances on other machines."""


class Ring:
    """One for the whole process; safe to use from several threads. `now` gives UTC seconds."""

    def __init__(self, path: Path, master: MasterKey, now: Callable[[], int], provider: Provider | None = None) -> None:
        """Open the ring at `path`, or make it. `provider`: of the master key; files beside the ring if not given.

        Errors: Problem CONFLICT if it belongs to another master key.
        """
        self.master = master
        self.provider = provider or Files(path.parent)
        self.now = now
        self.gate = Gate()
        """Calls pass; whoever replaces the master key is alone, so that no call meets the wraps of one key and has the other."""
        self._connections = Connections(path)
        try:
            migrations.apply(self._connections.here())
            self._secrets = self._open_secrets()
        except BaseException:
            self.close()
            raise

    @classmethod
    @contextmanager
    def opened(cls, key_dir: Path, now: Callable[[], int], provider: Provider | None = None) -> Iterator[Self]:
        """The ring of a key directory, for one process at a time; on first start master key and ring are made.

        `provider` is closed in the end; files in the directory if not given. Errors: Problem CONFLICT while another process has it;
        those of `find_master` and of the provider.
        """
        files = Files(key_dir)
        with closing(provider or files) as provider, locked(key_dir):
            files.tidy()
            for left in key_dir.glob(f".{RING}.part*"):  # of a restore that was killed; it may hold what was forgotten
                left.unlink()
            ring = cls(key_dir / RING, find_master(key_dir / RING, provider), now, provider)
            try:
                ring.forget_spares(provider, files)
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

    def require_master(self) -> None:
        """Refuse what could be done without the master key while that is away. Errors: Problem UNAVAILABLE, and what its key raises."""
        (pepper,) = rows(self.here(), "SELECT wrapped FROM secrets WHERE name = 'pepper'")
        self.master.unwrap(pepper["wrapped"], secret_context("pepper"))

    def fact(self, name: str) -> str | None:
        """What is remembered of the ring as a whole."""
        found = row(self.here(), "SELECT value FROM facts WHERE name = ?", [name])
        return None if found is None else str(found["value"])

    def announce(self, provider: Provider, tag: str) -> None:
        """Remember a key that is about to be made: if it comes to nothing it is a spare."""
        with self.write() as db:
            remember(db, SPARE + tag, provider.name)

    def forget_spares(self, *providers: Provider) -> None:
        """Destroy the keys that were, or did not become, the ring's, where one of these has them. Repeatable."""
        owners = {provider.name: provider for provider in providers}
        for spare in rows(self.here(), "SELECT name, value FROM facts WHERE name GLOB ?", [f"{SPARE}*"]):
            tag = spare["name"].removeprefix(SPARE)
            if owner := owners.get(spare["value"]):
                if tag != self.master.tag:
                    owner.forget(tag)
                with self.write() as db:
                    db.execute("DELETE FROM facts WHERE name = ?", [spare["name"]])

    def code_tag(self, code: str) -> bytes:
        """Under what an access code is found: HMAC-SHA-256(index key, code)[:16]."""
        return hmac.digest(self._secrets["index"], code.encode(), "sha256")[:16]

    def tag(self, what: str, value: str) -> bytes:
        """A keyed hash that stands for something that is counted but not to be known."""
        return tag(self._secrets["index"], what.encode(), value.encode())

    def _open_secrets(self) -> dict[str, bytes]:
        with self.write() as db:
            wrapped = {row["name"]: row["wrapped"] for row in rows(db, "SELECT name, wrapped FROM secrets")}
            if self.fact(MASTER) not in (None, self.master.tag):
                raise _of_another_key()
            try:
                secrets = {name: self.master.unwrap(key, secret_context(name)) for name, key in wrapped.items()}
            except WrongWrap as error:
                raise _of_another_key() from error
            for name in SECRETS:
                if name not in secrets:
                    secrets[name] = new_key()
                    db.execute(
                        "INSERT INTO secrets (name, wrapped) VALUES (?, ?)", [name, self.master.wrap(secrets[name], secret_context(name))]
                    )
            remember(db, MASTER, self.master.tag)
            remember(db, PROVIDER, self.provider.name)
            if not wrapped:
                remember(db, MADE_AT, str(self.now()))
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


def find_master(path: Path, provider: Provider) -> MasterKey:
    """The master key that the ring at `path` is under; a new one for a ring with nothing in it, which is made if it is not there.

    Errors: Problem CONFLICT if the ring is under another key, or if there is a key but nothing under it; UNAVAILABLE without a key;
    those of the provider.
    """
    tags = provider.tags()
    with closing(Connections(path)) as connections:
        migrations.apply(connections.here())
        facts = {row["name"]: row["value"] for row in rows(connections.here(), "SELECT name, value FROM facts")}
        if not rows(connections.here(), "SELECT 1 FROM secrets LIMIT 1"):
            return _first_master(connections, provider, tags, facts)
    fits = facts.get(PROVIDER, provider.name)
    if fits != provider.name:
        raise Problem(
            Code.CONFLICT,
            "The keys are under a master key of the provider %(fits)s, and BILDBRIEF_KEY_PROVIDER says %(configured)s. Set it to %(fits)s."
            " (Into an HSM the master key is moved by: bildbrief keys migrate --to pkcs11)",
            fits=fits,
            configured=provider.name,
        )
    if not tags:
        raise _missing()
    master = facts.get(MASTER, tags[0])
    if master not in tags:
        raise _of_another_key()
    return provider.open(master)


def master_for(path: Path, provider: Provider) -> MasterKey:
    """Of the provider's keys the one that a ring, or a copy of one, says it is under; any, of one that says nothing.

    Errors: Problem UNAVAILABLE without a key; those of the provider.
    """
    tags = provider.tags()
    if not tags:
        raise _missing()
    wanted = fact_of(path, MASTER)
    return provider.open(wanted if wanted in tags else tags[0])


def fact_of(path: Path, name: str) -> str | None:
    """A fact of the ring at `path`, or of a copy of one; None if it does not say, or is no ring. Nothing is opened or made."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        found = db.execute("SELECT value FROM facts WHERE name = ?", [name]).fetchone()
        return None if found is None else str(found[0])
    return None


def _first_master(connections: Connections, provider: Provider, tags: list[str], facts: Mapping[str, str]) -> MasterKey:
    if len(tags) == 1 and SPARE + tags[0] in facts:  # a first start that was killed
        return provider.open(tags[0])
    if tags:
        raise Problem(
            Code.CONFLICT,
            "There is a master key, but nothing that it opens. Restore the whole key directory from one backup; or, to begin anew,"
            " take the key away first.",
        )

    def announce(new: str) -> None:
        with connections.write() as db:
            remember(db, SPARE + new, provider.name)

    return provider.add(announce)


def secret_context(name: str) -> Context:
    return Context("bildbrief/v1/secret", name.encode())


def _missing() -> Problem:
    return Problem(
        Code.UNAVAILABLE,
        "The master key is missing, but the keys that it opens are there. Put it back from your backup, or connect the token that has it.",
    )


def _of_another_key() -> Problem:
    return Problem(
        Code.CONFLICT,
        "The keys in %(name)s were not made with this master key. Restore the whole key directory from one backup.",
        name=RING,
    )


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
