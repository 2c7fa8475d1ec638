"""Messages between the cage and its workers: a kind and some parts of bytes, each with its length before it."""

import os
import select
import struct
import time
from collections.abc import Sequence
from typing import Final

_HEAD: Final = struct.Struct(">BB")
PART_LIMIT: Final = 64
"""Parts of one message."""

Message = tuple[int, list[bytes]]


class Closed(Exception):  # noqa: N818
    """Nobody is at the other end any more."""


class Late(Exception):  # noqa: N818
    """The other end did not keep its time."""


class Garbled(Exception):  # noqa: N818
    """What came is no message, or a larger one than agreed."""


class Pipe:
    """Two file descriptors: one to read messages from, one to write them to. With a deadline (`time.monotonic`) they must not block."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads = reads
        self._writes = writes

    def send(self, kind: int, parts: Sequence[bytes], *, deadline: float | None = None) -> None:
        """Write a message. Raises Closed, Late."""
        lengths = struct.pack(f">{len(parts)}I", *map(len, parts))
        for data in (_HEAD.pack(kind, len(parts)) + lengths, *parts):
            self._write(memoryview(data), deadline)

    def receive(self, *, limit: int, deadline: float | None = None) -> Message:
        """Read a message of at most `limit` bytes. Raises Closed, Late, Garbled."""
        kind, count = _HEAD.unpack(self._read(_HEAD.size, deadline))
        if count > PART_LIMIT:
            raise Garbled
        lengths = struct.unpack(f">{count}I", self._read(4 * count, deadline))
        if sum(lengths) > limit:
            raise Garbled
        return kind, [self._read(length, deadline) for length in lengths]

    def _write(self, data: memoryview, deadline: float | None) -> None:
        while data:
            _wait(self._writes, select.POLLOUT, deadline)
            try:
                data = data[os.write(self._writes, data) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as error:
                raise Closed from error

    def _read(self, length: int, deadline: float | None) -> bytes:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            _wait(self._reads, select.POLLIN, deadline)
            try:
                got = os.readv(self._reads, [view])
            except BlockingIOError:
                continue
            if not got:
                raise Closed
            view = view[got:]
        return bytes(data)


def _wait(descriptor: int, event: int, deadline: float | None) -> None:
    if deadline is None:
        return
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0, (deadline - time.monotonic()) * 1000)):
        raise Late
