"""Builds `shim.c`, tells it what to do, reads what it wrote down."""

import ctypes
import mmap
import os
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import reduce
from operator import or_
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
CONTROL = "FAULTS_CONTROL"
"""Environment variable: the file in which processes under the shim read what to do."""


_HEAD = struct.Struct("=4I2q")  # as `struct record` in shim.c


class Kind(IntFlag):
    """Kinds of calls. `CREATE` is written down only, for an `OPEN` that made a file; `OPEN` is counted only."""

    CREATE, WRITE, TRUNCATE, SYNC, RENAME, LINK, UNLINK, MKDIR, SEND, OPEN = (1 << n for n in range(10))


FILES = reduce(or_, Kind) & ~Kind.SEND
ALL = FILES | Kind.SEND


class Fault(IntEnum):
    """What becomes of the call: the process dies before it, or when half of a write is done; it fails; only half is written."""

    NOTHING, KILL, TEAR, FAIL, CUT = range(5)


@dataclass(frozen=True, slots=True)
class Plan:
    """A fault at the `at`-th call of these kinds, counted from 1."""

    fault: Fault
    at: int
    error: int = 0
    kinds: Kind = ALL


NO_FAULT = Plan(Fault.NOTHING, 0)


@dataclass(frozen=True, slots=True)
class Record:
    """A call that was done. `offset`: where it wrote, or the size to which it cut a file."""

    kind: Kind
    inode: int
    offset: int
    path: Path
    other: Path
    data: bytes


class _Control(ctypes.Structure):
    """As in shim.c."""

    _fields_ = (
        *[(name, ctypes.c_uint32) for name in ("calls", "at", "fault", "error", "record", "kinds")],
        ("root", ctypes.c_char * 1024),
        ("log", ctypes.c_char * 1024),
    )


class Shim:
    """A control file. The processes that obey it are those started with `environment`, and those under any shim that call `obey`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.log = file.with_suffix(".log")
        if not file.exists():
            file.write_bytes(bytes(ctypes.sizeof(_Control)))
        with file.open("r+b") as opened:
            self._control = _Control.from_buffer(mmap.mmap(opened.fileno(), ctypes.sizeof(_Control)))

    def obey(self) -> None:
        ctypes.CDLL(None).faults_obey(bytes(self.file))

    @property
    def calls(self) -> int:
        """How many were counted since it was armed."""
        return int(self._control.calls)

    def arm(self, root: Path, plan: Plan = NO_FAULT, *, record: bool = False) -> None:
        """From now on count what is done below `root`, with this fault; `record`: write it down, in place of what was."""
        self.disarm()
        control = self._control
        if record:
            self.log.write_bytes(b"")
        control.calls, control.at, control.fault, control.error, control.kinds = 0, plan.at, plan.fault, plan.error, plan.kinds
        control.record, control.log = record, bytes(self.log)
        control.root = bytes(root)

    def disarm(self) -> None:
        self._control.root = b""
        self._control.record = 0

    def mark(self, data: bytes) -> None:
        """Write down that something was told to the world, as for a `SEND`."""
        with self.log.open("ab") as log:
            log.write(_HEAD.pack(Kind.SEND, 0, 0, len(data), 0, 0) + data)

    def records(self) -> Iterator[Record]:
        """What was written down, in the order in which it was done."""
        content = self.log.read_bytes()
        at = 0
        while at < len(content):
            kind, *sizes, inode, offset = _HEAD.unpack_from(content, at)
            at += _HEAD.size
            parts = []
            for size in sizes:
                parts.append(content[at : at + size])
                at += size
            yield Record(Kind(kind), inode, offset, Path(os.fsdecode(parts[0])), Path(os.fsdecode(parts[1])), parts[2])

    def environment(self, given: Mapping[str, str] = os.environ) -> dict[str, str]:
        return {**given, "LD_PRELOAD": str(built(self.file.parent)), CONTROL: str(self.file)}


def built(directory: Path) -> Path:
    """The library, compiled there if it is not yet. CalledProcessError with the compiler's words on standard error."""
    library = directory / "shim.so"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", library, SOURCE], check=True)
    return library


@contextmanager
def armed(shim: Shim, root: Path, plan: Plan = NO_FAULT, *, record: bool = False) -> Iterator[None]:
    shim.arm(root, plan, record=record)
    try:
        yield
    finally:
        shim.disarm()
