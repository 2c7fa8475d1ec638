"""Master keys in files on the key volume: 32 random bytes that only their owner may read, or the same sealed by a passphrase.

`master.key` is the key. While it is being replaced, `master.key.next` stands beside it; which of the two counts is the ring's to say.
What is replaced is renamed to `master.key.gone`, overwritten and unlinked, so that a crash leaves nothing half overwritten under a
name that counts. (Overwriting does what it can: a file system or a disk that copies on write may keep the old bytes.)
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from ...disk.files import fsync_dir, replace_file
from ...domain.errors import Code, Problem
from ...log import log
from ...vault.keys import Context, derive, new_key, unwrap, wrap
from . import sealed

SIZE: Final = 32
MODE: Final = 0o400
MASTER: Final = "master.key"


class FileKey:
    """A master key in this process's memory."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.tag = tag_of(key)

    def wrap(self, key: bytes, context: Context) -> bytes:
        return wrap(self._key, key, context)

    def unwrap(self, wrapped: bytes, context: Context) -> bytes:
        return unwrap(self._key, wrapped, context)

    def secret(self) -> bytes:
        return self._key

    def content(self, passphrase: str | None) -> bytes:
        """What its file holds."""
        return self._key if passphrase is None else sealed.seal(self._key, self.tag, passphrase, sealed.MEMORY_KIB)

    @classmethod
    def create(cls, path: Path, passphrase: str | None = None) -> Self:
        """Make a key, durable before anything is wrapped under it. The caller sees to it that nobody else does the same."""
        key = cls(new_key())
        replace_file(path, key.content(passphrase), mode=MODE)
        return key

    @classmethod
    def load(cls, path: Path, passphrase: str | None = None) -> Self:
        """Errors: those of `read` and `unseal`; Problem UNAVAILABLE if there is no passphrase and it needs one."""
        content = read(path)
        if not sealed.is_sealed(content):
            return cls(content)
        if passphrase is None:
            raise Problem(
                Code.UNAVAILABLE,
                "The master key file %(name)s is sealed. Put its passphrase into a file and name that in BILDBRIEF_KEY_PASSPHRASE_FILE.",
                name=path.name,
            )
        key = cls(sealed.unseal(content, passphrase))
        if key.tag != sealed.tag_of(content):
            raise _damaged(path)
        return key


class Files:
    """The provider `file`. With a passphrase, new files are sealed by it; one that is not sealed opens without."""

    name = "file"

    def __init__(self, directory: Path, passphrase: str | None = None) -> None:
        self._current = directory / MASTER
        self._next = directory / f"{MASTER}.next"
        self._gone = directory / f"{MASTER}.gone"
        self._passphrase = passphrase

    def tidy(self) -> None:
        """Finish what a crash interrupted. Only for whoever has the key directory to himself: what is under way looks the same."""
        if self._gone.exists():
            self._overwrite()
        for begun in self._current.parent.glob(f".{MASTER}*.part"):  # a key file that was being written, see `disk.files`
            self._wipe(begun)
        if not self._next.exists():
            return
        if not os.path.lexists(self._current):
            self._next.rename(self._current)
            fsync_dir(self._current.parent)
        elif _tag_in(read(self._next)) == _tag_in(read(self._current)):  # a new passphrase that came to nothing
            self._wipe(self._next)

    def tags(self) -> list[str]:
        return list(self._by_tag())

    def open(self, tag: str) -> FileKey:
        return FileKey.load(self._by_tag()[tag], self._passphrase)

    def add(self, announce: Callable[[str], None]) -> FileKey:
        self.tidy()
        key = FileKey(new_key())
        announce(key.tag)
        path = self._next if self._current.exists() else self._current
        replace_file(path, key.content(self._passphrase), mode=MODE)
        log.warning(
            "NEW MASTER KEY MADE. BACK UP THE KEY DIRECTORY NOW, apart from the data: without it nothing can ever be opened again",
            file=str(self._current),
        )
        return key

    def forget(self, tag: str) -> None:
        if path := self._by_tag().get(tag):
            self._wipe(path)
        self.tidy()

    def seal(self, passphrase: str | None) -> None:
        """Write the key anew, sealed by this passphrase; by none, if None. The key stays the same. Killed, either form is left whole."""
        self.tidy()
        key = FileKey.load(self._current, self._passphrase)
        replace_file(self._next, key.content(passphrase), mode=MODE)
        self._wipe(self._current)
        self.tidy()
        self._passphrase = passphrase

    def state(self) -> str:
        return "ready"

    def close(self) -> None:
        pass

    def _by_tag(self) -> dict[str, Path]:
        """The keys' files. Errors: those of `read`."""
        return {_tag_in(read(path)): path for path in (self._next, self._current) if os.path.lexists(path)}

    def _wipe(self, path: Path) -> None:
        path.rename(self._gone)
        fsync_dir(path.parent)
        self._overwrite()

    def _overwrite(self) -> None:
        self._gone.chmod(0o600)
        with self._gone.open("r+b") as file:
            file.write(os.urandom(self._gone.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        self._gone.unlink()
        fsync_dir(self._gone.parent)


def tag_of(key: bytes) -> str:
    """The tag of a master key in a file."""
    return derive(key, "bildbrief/v1/master-key-tag", length=16).hex()


def read(path: Path) -> bytes:
    """The content of a key file: 32 bytes, or a sealed key.

    Errors: Problem FORBIDDEN for a file that others may read or change, DAMAGED for another size or form, UNAVAILABLE if unreadable.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Problem(Code.UNAVAILABLE, "The master key file %(name)s cannot be read.", name=path.name) from error
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or stat.S_IMODE(mode) != MODE:
            raise Problem(
                Code.FORBIDDEN,
                "The master key file %(name)s may be read or changed by others. Set its mode to 0400 and find out who did.",
                name=path.name,
            )
        content = file.read(sealed.SIZE + 1)
    if len(content) != SIZE and not sealed.is_sealed(content):
        raise _damaged(path)
    return content


def _tag_in(content: bytes) -> str:
    return sealed.tag_of(content) if sealed.is_sealed(content) else tag_of(content)


def _damaged(path: Path) -> Problem:
    return Problem(Code.DAMAGED, "The master key file %(name)s is damaged. Put it back from your backup.", name=path.name)
