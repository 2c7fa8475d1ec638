"""What a power cut leaves of what was done to files: a model of a disk that keeps nothing it was not told to keep.

What is durable: of a file, what it held when it was last synced; of a directory, the names it had then. Of everything since, a cut
leaves any part: of a file's writes none, half, some of its pages, or all; of a directory's changes the first few. Files and directories
lose independently of each other, so a rename between two directories may show in both, in one, or in none. That is harsher than
any journaling file system, and what POSIX promises (fsync(3), rename(3)): a program that survives this one survives those.
"""

import itertools
import math
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .shim import Kind, Record

PAGE = 4096  # bytes: what a cache writes back at a time


class Incomplete(AssertionError):  # noqa: N818
    """The record does not tell all that was done: a call was made that the shim does not see."""


@dataclass(slots=True)
class File:
    """`durable`: what is sure. `pending`: changes since, as (offset, data); (size, None) cuts or lengthens it."""

    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    mode: int = 0o600

    def whole(self) -> bytes:
        return _changed(self.durable, self.pending)

    def sync(self) -> None:
        self.durable, self.pending = self.whole(), []

    def remains(self, dice: random.Random) -> list[bytes]:
        """What a cut may leave of it."""
        if not self.pending:
            return [self.durable]
        half = self.pending[: len(self.pending) // 2]
        at, data = self.pending[len(half)]
        torn = [*half, (at, data and data[: len(data) // 2])] if data else half
        return list(dict.fromkeys([self.whole(), self.durable, _changed(self.durable, torn), self._some_pages(dice)]))

    def _some_pages(self, dice: random.Random) -> bytes:
        """Its new size is known, but not all of its pages are there: in their place is what was before, or nothing."""
        whole = self.whole()
        old = self.durable.ljust(len(whole), b"\0")
        starts = range(0, len(whole), PAGE)
        return b"".join((whole if dice.random() < 0.5 else old)[start : start + PAGE] for start in starts)


@dataclass(slots=True)
class Directory:
    """`durable`: the names that are sure, and what they name. `pending`: changes since; None takes a name away."""

    durable: dict[str, "File | Directory"] = field(default_factory=dict)
    pending: list[tuple[str, "File | Directory | None"]] = field(default_factory=list)

    def names(self, changes: int | None = None) -> dict[str, "File | Directory"]:
        """With all changes, or the first so many."""
        found = dict(self.durable)
        for name, named in self.pending[:changes]:
            if named is None:
                found.pop(name, None)
            else:
                found[name] = named
        return found

    def sync(self) -> None:
        self.durable, self.pending = self.names(), []


class Disk:
    """The files below some directories, from how they were, and durable, through what is done to them."""

    def __init__(self, *tops: Path) -> None:
        """As they are now. They must exist."""
        self._by_inode: dict[int, File | Directory] = {}
        self._tops = {top: self._read(top) for top in tops}

    def _read(self, path: Path) -> File | Directory:
        found = path.stat()
        made: File | Directory
        if path.is_dir():
            made = Directory({one.name: self._read(one) for one in path.iterdir()})
        else:
            made = File(path.read_bytes(), mode=found.st_mode)
        return self._by_inode.setdefault(found.st_ino, made)

    def do(self, record: Record) -> None:
        """What is done elsewhere counts for nothing."""
        match record.kind:
            case Kind.WRITE | Kind.TRUNCATE:
                if isinstance(file := self._by_inode.get(record.inode), File):
                    file.pending.append((record.offset, record.data if record.kind is Kind.WRITE else None))
            case Kind.SYNC:
                if (synced := self._by_inode.get(record.inode)) is not None:
                    synced.sync()
            case Kind.CREATE | Kind.MKDIR:
                self._by_inode[record.inode] = made = File() if record.kind is Kind.CREATE else Directory()
                self._name(record.path, made)
            case Kind.UNLINK:
                self._name(record.path, None)
            case Kind.LINK:
                self._name(record.other, self._named(record.path))
            case Kind.RENAME:
                moved = self._named(record.path)
                self._name(record.other, moved)
                self._name(record.path, None)

    def same_as(self, top: Path) -> None:
        """With nothing lost, this is what is there. Incomplete if it is not."""
        before, now = {path: file.whole() for path, file in _files(self._tops[top])}, _contents(top)
        if before != now:
            wrong = sorted(str(path) for path in before.keys() | now if before.get(path) != now.get(path))
            raise Incomplete(f"differs from the record: {', '.join(wrong)}")

    def remains(self, dice: random.Random, most: int) -> Iterator["Remains"]:
        """What a cut at this moment may leave: every combination of what each file and each directory may lose; at random so many
        where there are more."""
        seen, files, directories = set[int](), list[File](), list[Directory]()
        for one in self._known():
            if id(one) not in seen and one.pending:
                seen.add(id(one))
                files.append(one) if isinstance(one, File) else directories.append(one)
        contents = [[(id(file), content) for content in file.remains(dice)] for file in files]
        changes = [[(id(directory), count) for count in range(len(directory.pending), -1, -1)] for directory in directories]
        choices = [*contents, *changes]
        few = math.prod(map(len, choices)) <= most
        for some in itertools.product(*choices) if few else ([dice.choice(one) for one in choices] for _ in range(most)):
            yield Remains(self._tops, dict(some))

    def _known(self) -> Iterator[File | Directory]:
        """All that can still be there after a cut, however much is lost."""
        waiting: list[File | Directory] = [*self._tops.values()]
        while waiting:
            yield (one := waiting.pop())
            if isinstance(one, Directory):
                waiting += [*one.durable.values(), *(named for _, named in one.pending if named is not None)]

    def _parent(self, path: Path) -> Directory | None:
        for top, found in self._tops.items():
            if path.is_relative_to(top):
                for part in path.relative_to(top).parts[:-1]:
                    assert isinstance(found, Directory)
                    found = found.names()[part]
                assert isinstance(found, Directory)
                return found
        return None

    def _named(self, path: Path) -> File | Directory | None:
        parent = self._parent(path)
        return parent and parent.names().get(path.name)

    def _name(self, path: Path, named: File | Directory | None) -> None:
        if (parent := self._parent(path)) is not None:
            parent.pending.append((path.name, named))


@dataclass(frozen=True, slots=True)
class Remains:
    """One state after a cut. `kept`: by file its content, by directory how many of its changes; what is not in it lost nothing."""

    tops: dict[Path, File | Directory]
    kept: dict[int, bytes | int]

    def files(self, top: Path) -> Iterable[tuple[Path, bytes]]:
        return ((path, self._content(file)) for path, file in _files(self.tops[top], self.kept))

    def write(self, top: Path, place: Path) -> None:
        """Make what remains of `top` in another place. Two names of one file stay two names of one file."""
        written: dict[int, Path] = {}
        for path, one in _walk(self.tops[top], self.kept):
            target = place / path
            if isinstance(one, Directory):
                target.mkdir(exist_ok=True)
            elif id(one) in written:
                os.link(written[id(one)], target)
            else:
                target.write_bytes(self._content(one))
                target.chmod(one.mode)
                written[id(one)] = target

    def digest(self) -> int:
        """The same for states in which the same files have the same content."""
        return hash(tuple((top, *sorted(self.files(top))) for top in self.tops))

    def _content(self, file: File) -> bytes:
        content = self.kept.get(id(file), file.durable)
        assert isinstance(content, bytes)
        return content


def _walk(one: File | Directory, kept: dict[int, bytes | int] | None, path: Path = Path()) -> Iterator[tuple[Path, File | Directory]]:
    """Everything below, parents first, with its path. Without `kept` nothing is lost."""
    yield path, one
    if isinstance(one, Directory):
        changes = None if kept is None else kept.get(id(one))
        assert changes is None or isinstance(changes, int)
        for name, named in one.names(changes).items():
            yield from _walk(named, kept, path / name)


def _files(one: File | Directory, kept: dict[int, bytes | int] | None = None) -> Iterator[tuple[Path, File]]:
    return ((path, found) for path, found in _walk(one, kept) if isinstance(found, File))


def _contents(top: Path) -> dict[Path, bytes]:
    return {path.relative_to(top): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def _changed(content: bytes, changes: Iterable[tuple[int, bytes | None]]) -> bytes:
    made = bytearray(content)
    for at, data in changes:
        if len(made) < at:
            made.extend(bytes(at - len(made)))
        if data is None:
            del made[at:]
        else:
            made[at : at + len(data)] = data
    return bytes(made)
