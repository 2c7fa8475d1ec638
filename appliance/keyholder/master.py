"""The master key: under it lies everything that the ring holds. Today a file; a key that never leaves an HSM fits the same protocol."""

import os
import stat
from pathlib import Path
from typing import Final, Protocol, Self

from ..disk.files import replace_file
from ..domain.errors import Code, Problem
from ..log import log
from ..vault.keys import Context, new_key, unwrap, wrap

SIZE: Final = 32
MODE: Final = 0o400


class MasterKey(Protocol):
    """Wraps epoch keys, share keys, codes and the ring's own secrets, and opens them again (AES-256-KWP with a context)."""

    provider: str

    def wrap(self, key: bytes, context: Context) -> bytes: ...

    def unwrap(self, wrapped: bytes, context: Context) -> bytes:
        """Errors: WrongWrap."""
        ...

    def secret(self) -> bytes:
        """The key itself, 32 bytes, for recovery shares and nothing else. Errors: Problem FORBIDDEN where it cannot be had."""
        ...


class FileKey:
    """A master key of 32 random bytes in a file that only its owner may read."""

    provider = "file"

    def __init__(self, key: bytes) -> None:
        self._key = key

    def wrap(self, key: bytes, context: Context) -> bytes:
        return wrap(self._key, key, context)

    def unwrap(self, wrapped: bytes, context: Context) -> bytes:
        return unwrap(self._key, wrapped, context)

    def secret(self) -> bytes:
        return self._key

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the key, durable before anything is wrapped under it. The caller sees to it that nobody else does the same."""
        replace_file(path, new_key(), mode=MODE)
        log.warning(
            "NEW MASTER KEY MADE. BACK UP THE KEY DIRECTORY NOW, apart from the data: without it nothing can ever be opened again",
            file=str(path),
        )
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Errors: Problem FORBIDDEN for a file that others may read or change, DAMAGED for a wrong size, UNAVAILABLE if unreadable."""
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
            key = file.read(SIZE + 1)
        if len(key) != SIZE:
            raise Problem(
                Code.DAMAGED, "The master key file %(name)s does not have 32 bytes. Put it back from your backup.", name=path.name
            )
        return cls(key)
