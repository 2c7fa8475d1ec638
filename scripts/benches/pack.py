"""A file for each instance beside one file that instances are appended to: what durability costs, without network and sealing.

Each instance must be durable before its answer, so each is synced in both; a pack saves a file's creation, its rename and the sync of
its directory. `docs/decisions/0027-receiver-processes.md` says why it is not done.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from .rounds import Contender, durations

INSTANCES, ROUNDS = 100, 10
SIZES = {"MR, 130 KB": 130 << 10, "CT, 512 KB": 512 << 10}


def table() -> str:
    with tempfile.TemporaryDirectory(dir=Path(__file__).parents[2], prefix=".pack") as directory, ExitStack() as files:
        return "\n\n".join(_of_size(Path(directory), name, size, files) for name, size in SIZES.items())


def _of_size(directory: Path, name: str, size: int, files: ExitStack) -> str:
    content = os.urandom(size)
    pack = files.enter_context((directory / f"{size}.pack").open("wb", buffering=0))
    contenders = [
        Contender(f"{name}: a file each", _each(lambda number: _publish(directory, number, content)), "appended"),
        Contender("appended", _each(lambda _: _append(pack.fileno(), content))),
    ]
    return durations(contenders, ROUNDS)


def _each(step: Callable[[int], None]) -> Callable[[], None]:
    def run() -> None:
        for number in range(INSTANCES):
            step(number)

    return run


def _publish(directory: Path, number: int, content: bytes) -> None:
    part = directory / f"{number}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        os.write(descriptor, content)
        os.fdatasync(descriptor)
        part.rename(directory / f"{number}")
    finally:
        os.close(descriptor)
    above = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(above)
    finally:
        os.close(above)


def _append(descriptor: int, content: bytes) -> None:
    os.write(descriptor, content)
    os.fdatasync(descriptor)
