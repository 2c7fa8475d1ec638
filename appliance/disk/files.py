"""The few ways in which a file is written so that a crash leaves the old one or the new one, never half of either."""

import os
from collections.abc import Iterable
from pathlib import Path
from secrets import token_hex


def fsync_dir(path: Path) -> None:
    """Make renames, links and unlinks in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, pieces: Iterable[bytes], *, mode: int = 0o666, owner: int = -1) -> None:
    """Write a whole file, atomically and durably, in place of any before. `mode` is what the umask takes from; `owner` -1: as it comes.

    A temporary file in the same directory → fsync → rename → fsync of the directory. Errors: OSError; then the temporary file is gone.
    """
    temporary = path.with_name(f".{path.name}.{token_hex(8)}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fchown(file.fileno(), owner, -1)
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def replace_file(path: Path, content: bytes, *, mode: int = 0o666, owner: int = -1) -> None:
    """`write_file` of one piece."""
    write_file(path, (content,), mode=mode, owner=owner)
