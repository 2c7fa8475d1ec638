"""Where sealed objects lie: named blobs of bytes that are written once, read in ranges, and deleted.

Names are relative paths of `a-z 0-9 - _ /`. A blob appears whole or not at all; putting the same one twice is harmless.
"""

import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from ..disk.files import fsync_dir, write_file
from ..domain.errors import Code, Problem
from .sealed import ReadAt

_NAME: Final = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*")
_OBJECT: Final = re.compile(r"[0-9a-f]{32}")
PIECE: Final = 1 << 20  # bytes handed on at once


class Missing(Problem):
    """There is no blob of that name."""

    def __init__(self) -> None:
        super().__init__(Code.NOT_FOUND, "A stored file is missing.")


class Blobs(Protocol):
    """What every store of sealed objects does. When it cannot: OSError from a disk, Problem UNAVAILABLE or FORBIDDEN from a bucket."""

    def put(self, name: str, pieces: Iterable[bytes]) -> None:
        """Store a blob, durably, in place of any before."""

    def open(self, name: str) -> AbstractContextManager[ReadAt]:
        """Read a blob. Missing when there is none."""

    def exists(self, name: str) -> bool: ...

    def delete(self, name: str) -> None:
        """Delete a blob. No harm when there is none."""

    def names(self, prefix: str = "") -> Iterator[str]:
        """The names of all blobs that begin with `prefix`, in no order."""


def checked(name: str) -> str:
    """The name. ValueError when it could mean anything but a blob of ours."""
    if not _NAME.fullmatch(name):
        raise ValueError("not the name of a blob")
    return name


class Local:
    """Blobs as files below a directory; objects are spread over 256 folders by their first two digits."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, name: str) -> Path:
        checked(name)
        return self._directory / name[:2] / name if _OBJECT.fullmatch(name) else self._directory / name

    def put(self, name: str, pieces: Iterable[bytes]) -> None:
        path = self.path(name)
        self._folder(path.parent)
        write_file(path, pieces)

    def adopt(self, files: Iterable[tuple[Path, str]]) -> None:
        """Give existing durable files of this file system a second name each, as blobs. Durable on return; repeatable."""
        paths = [(file, self.path(name)) for file, name in files]
        folders = sorted({path.parent for _, path in paths})
        for folder in folders:
            self._folder(folder)
        for file, path in paths:
            if not path.exists():
                os.link(file, path)
        for folder in folders:  # after all links: the first makes the file system write down most of them
            fsync_dir(folder)

    def open(self, name: str) -> AbstractContextManager[ReadAt]:
        return open_file(self.path(name))

    def exists(self, name: str) -> bool:
        return self.path(name).is_file()

    def delete(self, name: str) -> None:
        path = self.path(name)
        try:
            path.unlink()
        except FileNotFoundError:
            return
        fsync_dir(path.parent)

    def names(self, prefix: str = "") -> Iterator[str]:
        for folder, _, files in os.walk(self._directory):
            place = Path(folder).relative_to(self._directory)
            for file in files:
                name = file if _OBJECT.fullmatch(file) and str(place) == file[:2] else str(place / file)
                if name.startswith(prefix) and _NAME.fullmatch(name):  # temporary files are no names
                    yield name

    def sweep(self, known: Callable[[Collection[str]], Collection[str]], age: int) -> int:
        """Remove what a crash left: files that were never finished, and blobs that nobody knows. Returns how many.

        `known` is asked for a folder at a time. Only files that nobody touched for `age` seconds, by the file system's own clock: those
        under way are about to be known.
        """
        removed = 0
        for folder, _, files in os.walk(self._directory):
            old = {file for file in files if _untouched(Path(folder, file), age)}
            for file in old.difference(known(old)) if old else ():
                Path(folder, file).unlink()
                removed += 1
        return removed

    def untouched(self, name: str, age: int) -> bool:
        """Whether a blob is there that nobody touched for `age` seconds, by the file system's own clock."""
        return _untouched(self.path(name), age)

    def _folder(self, folder: Path) -> None:
        """A new folder is made durable in its parent before anything in it is relied on."""
        missing = [folder, *folder.parents][: len(folder.relative_to(self._directory).parts)]
        for path in reversed(missing):
            if not path.is_dir():
                path.mkdir(exist_ok=True)
                fsync_dir(path.parent)


def _untouched(path: Path, age: int) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return max(found.st_mtime, found.st_ctime) < time.time() - age


@contextmanager
def open_file(path: Path) -> Iterator[ReadAt]:
    """Read a file of this file system as a blob. Missing when there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Missing from None
    try:
        yield _Descriptor(descriptor)
    finally:
        os.close(descriptor)


class _Descriptor:
    """An open file, read without a position of its own, so that threads may share it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        found = os.pread(self._descriptor, length, offset)
        while len(found) < length and (more := os.pread(self._descriptor, length - len(found), offset + len(found))):
            found += more
        return found


class Memory:
    """Blobs in memory."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, name: str, pieces: Iterable[bytes]) -> None:
        self._blobs[checked(name)] = b"".join(pieces)

    @contextmanager
    def open(self, name: str) -> Iterator[ReadAt]:
        content = self._blobs.get(checked(name))
        if content is None:
            raise Missing
        yield Bytes(content)

    def exists(self, name: str) -> bool:
        return checked(name) in self._blobs

    def delete(self, name: str) -> None:
        self._blobs.pop(checked(name), None)

    def names(self, prefix: str = "") -> Iterator[str]:
        yield from [name for name in self._blobs if name.startswith(prefix)]


class Bytes:
    """Bytes in memory as something to read in."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]
