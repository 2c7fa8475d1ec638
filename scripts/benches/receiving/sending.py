"""A sender that is not the bottleneck.

All that an instance takes on the wire is laid out before the clock starts, as a list of buffers that the kernel gathers: no byte of a
dataset is copied or looked at here. It waits for each C-STORE-RSP before the next instance, as senders do that allow no others meanwhile.
"""

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

from . import pdus
from .pdus import Context, Disagreement, NotTaken

CALLED: Final = "BILDBRIEF"
_CALLING: Final = "SCANNER"
_LONGEST: Final = 1 << 20  # bytes of a PDU for peers that take any
_GATHER: Final = 1024  # buffers in one call (limits.h, IOV_MAX)
_SILENCE: Final = 120  # seconds

Buffer = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Instance:
    """A DICOM file in memory, without its file meta information. `repeated`: so often the last `tail` bytes follow once more."""

    path: Path
    sop_instance: str
    context: Context
    dataset: memoryview
    tail: int = 0
    repeated: int = 0

    @property
    def size(self) -> int:
        """Bytes of the dataset."""
        return len(self.dataset) + self.tail * self.repeated

    def pieces(self, longest: int) -> Iterator[memoryview]:
        """The dataset, in order, in pieces of at most `longest` bytes."""
        last = self.dataset[len(self.dataset) - self.tail :]
        for whole in chain([self.dataset], repeat(last, self.repeated)):
            for start in range(0, len(whole), longest):
                yield whole[start : start + longest]


class Sender:
    """Sends to one receiver. The request for an association is made once, for all kinds of instances there are."""

    def __init__(self, address: tuple[str, int], instances: Sequence[Instance]) -> None:
        self.address = address
        self._contexts = list(dict.fromkeys(one.context for one in instances))
        self._request = pdus.associate(self._contexts, CALLED, _CALLING, 16384)

    def associate(self) -> "Association":
        """Raises OSError, Disagreement."""
        return Association(self.address, self._request, len(self._contexts))

    def lay_out(self, instance: Instance, maximum: int) -> Iterator[Buffer]:
        """The PDUs of one C-STORE-RQ, none longer than `maximum` bytes (0: as long as we like)."""
        longest = min(maximum or _LONGEST, _LONGEST) - pdus.PDV_HEADER
        context_id = 2 * self._contexts.index(instance.context) + 1
        request = pdus.store_request(instance.context.sop_class, instance.sop_instance, 1)
        yield pdus.fragment(context_id, pdus.COMMAND | pdus.LAST, len(request)) + request
        left = instance.size
        for piece in instance.pieces(longest):
            left -= len(piece)
            yield pdus.fragment(context_id, 0 if left else pdus.LAST, len(piece))
            yield piece


class Association:
    """An open association. `maximum`: bytes of a PDU that the receiver takes (0: any)."""

    def __init__(self, address: tuple[str, int], request: bytes, contexts: int) -> None:
        self._socket = socket.create_connection(address)
        self._stream = cast(BinaryIO, self._socket.makefile("rb"))
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The kernel's timeouts, not Python's: with those a call would not block, and would take only what has room just now.
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", _SILENCE, 0))
            self._socket.sendall(request)
            ids, self.maximum = pdus.accepted(self._expect(pdus.ACCEPT))
            self._agree(len(ids) == contexts, "does not take this kind of instance in this transfer syntax", NotTaken)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def store(self, message: Iterable[Buffer]) -> None:
        """Send what `Sender.lay_out` made and wait for the answer. Raises OSError, Disagreement."""
        buffers = iter(message)
        while some := list(islice(buffers, _GATHER)):
            self._agree(self._socket.sendmsg(some) == sum(map(len, some)), f"took nothing for {_SILENCE} seconds")
        body = self._expect(pdus.DATA)
        self._agree(bool(body[5] & pdus.LAST), "answers in pieces")
        status = pdus.status(body[6:])
        self._agree(status == 0, f"did not store: status {status:04X}H")

    def release(self) -> None:
        self._socket.sendall(pdus.pdu(pdus.RELEASE))
        self._expect(pdus.RELEASED)

    def _expect(self, kind: int) -> bytes:
        answer, body = pdus.receive(self._stream)
        self._agree(answer == kind, f"answers with a PDU of kind {answer}, not {kind}")
        return body

    @staticmethod
    def _agree(whether: bool, otherwise: str, kind: type[Disagreement] = Disagreement) -> None:
        if not whether:
            raise kind(otherwise)

    def close(self) -> None:
        self._stream.close()
        self._socket.close()
