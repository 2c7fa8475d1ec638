"""Safeguards to leave out, one at a time: an engine that does not notice is blind. Each changes the process in which it is called."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from appliance.deeds.ingest import Ingest, Placed, Read
from appliance.disk import sqlite
from appliance.registry import Change, ObjectRow, Row
from appliance.vault import blobs, intake
from appliance.vault.blobs import Local
from appliance.vault.intake import Incoming


def no_fdatasync() -> None:
    """The receiver renames what only the cache has."""
    intake._File.sync = _nothing


def rename_before_sync() -> None:
    """What has a name in `new/` is not whole for a moment."""

    def publish(self: Incoming) -> int:
        length = self.writer.finish()
        self._part.rename(self._new)
        self._file.sync()
        intake.fsync_dir(self._new.parent)
        self._file.close()
        return length

    Incoming.publish = publish


def no_fsync_of_new() -> None:
    """The receiver acknowledges what has no durable name."""
    intake.fsync_dir = _nothing


def acknowledge_before_publish() -> None:
    """Publishing is put off until the next image comes."""
    publish, begin = Incoming.publish, intake.Association.begin
    late: list[Incoming] = []

    def begin_after(self: intake.Association) -> Incoming:
        while late:
            publish(late.pop())
        return begin(self)

    Incoming.publish = lambda self: late.append(self) or 0
    intake.Association.begin = begin_after


def unfinished_is_success() -> None:
    """A disk that cannot sync is believed all the same."""
    sync = intake._File.sync

    def anyhow(self: intake._File) -> None:
        with suppress(OSError):
            sync(self)

    intake._File.sync = anyhow


def short_write_is_whole() -> None:
    """What the kernel did not take is not written again."""
    intake._File.write = lambda self, data: os.write(self._descriptor, data)


def no_discard() -> None:
    """What could not be published lies about."""
    Incoming.discard = lambda self: self._file.close()


def no_sweep() -> None:
    """What a killed receiver left stays."""
    intake.sweep = _nothing


def sweep_of_new() -> None:
    """The sweep tidies up what was acknowledged."""
    sweep = intake.sweep

    def all_of_it(directory: Path) -> int:
        for path in (directory / "new").iterdir():
            path.unlink()
        return sweep(directory)

    intake.sweep = all_of_it


def plain_spool() -> None:
    """What is on its way in is kept in plain text beside it."""
    begin = Incoming.__init__

    def spooling(self: Incoming, directory: Path, *rest: Any) -> None:
        begin(self, directory, *rest)
        self.writer = _Spool(self.writer, directory / "tmp/spool")

    Incoming.__init__ = spooling


class _Spool:
    def __init__(self, writer: Any, file: Path) -> None:
        self.finish = writer.finish
        self._writer = writer
        self._file = file

    def write(self, data: bytes) -> None:
        self._file.write_bytes(data)
        self._writer.write(data)


def unlink_before_commit() -> None:
    """The ingester takes the only copy of the key envelope away before the row has it."""
    register = Ingest._register

    def early(self: Ingest, placed: Sequence[Placed], aside: Sequence[Read]) -> None:
        for item in placed:
            item.read.arrived.path.unlink()
        register(self, placed, aside)

    Ingest._register = early


def rename_for_link() -> None:
    """The ingester moves the file, and the key envelope in its name is gone before the row has it."""

    def adopt(self: Local, files: Iterable[tuple[Path, str]]) -> None:
        for file, name in files:
            path = self.path(name)
            self._folder(path.parent)
            if file.exists():
                file.rename(path)
            blobs.fsync_dir(path.parent)

    Local.adopt = adopt


def no_fsync_of_objects() -> None:
    """A row points at a name that is not durable."""
    blobs.fsync_dir = _nothing


def commit_without_sync() -> None:
    """The databases are as durable as the cache."""
    journal = sqlite._set_journal

    def off(connection: Any, path: Path) -> None:
        journal(connection, path)
        connection.execute("PRAGMA synchronous=OFF")

    sqlite._set_journal = off


def registered_is_new() -> None:
    """After a crash the ingester does not see that a file was registered already."""
    rows = Change.rows

    def blind(self: Change, row: type[Row], where: str, values: Sequence[Any]) -> list[Any]:
        return [] if row is ObjectRow and where == "object_id = ?" else rows(self, row, where, values)

    Change.rows = blind


def broken_connection_is_kept() -> None:
    """A database that could once not be opened for writing is never written again."""
    sqlite.Connections._forget = _nothing


def _nothing(*given: object, **more: object) -> int:
    return 0


class Mutant(NamedTuple):
    """`part`: of what is tried, that which must notice; `sentence`: what the oracle says then."""

    mutate: Callable[[], object]
    part: str
    sentence: str


LOST = "was acknowledged and is lost"

MUTANTS = (
    Mutant(no_fdatasync, "random-cuts", "what looked complete was set aside"),
    Mutant(rename_before_sync, "random-cuts", "what looked complete was set aside"),
    Mutant(no_fsync_of_new, "random-cuts", LOST),
    Mutant(acknowledge_before_publish, "kills", LOST),
    Mutant(unfinished_is_success, "errors", "although a call failed"),
    Mutant(short_write_is_whole, "short-writes", LOST),
    Mutant(no_discard, "errors", "was left half written"),
    Mutant(no_sweep, "kills", "was left half written"),
    Mutant(sweep_of_new, "kills", LOST),
    Mutant(plain_spool, "kills", "holds plain text"),
    Mutant(unlink_before_commit, "kills", LOST),
    Mutant(rename_for_link, "kills", LOST),
    Mutant(no_fsync_of_objects, "random-cuts", LOST),
    Mutant(commit_without_sync, "random-cuts", "is damaged"),
    Mutant(registered_is_new, "kills", LOST),
    Mutant(broken_connection_is_kept, "errors", LOST),
)
