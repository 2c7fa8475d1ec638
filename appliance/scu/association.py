"""An association as its requestor: one socket that blocks, no thread.

pynetdicom's own associations are not used: they queue P-DATA without a bound, so that a dataset of 4 GiB would lie in memory as a
whole when the peer is slower than the disk. Here the socket is the only queue.
"""

import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple

from ..domain import commandset
from ..domain.node import Node
from . import negotiation
from .negotiation import PDU, Offer
from .reasons import Lost, Reason

FRAGMENT: Final = 64 << 10
"""Longest fragment of a message that we send, in bytes, to a peer that takes longer ones."""

_NEGOTIATION_LIMIT = 1 << 20  # bytes of an A-ASSOCIATE-AC
_REQUEST, _ACCEPT, _REJECT, _DATA, _RELEASE, _RELEASED, _ABORT = range(1, 8)  # PS3.8 9.3.1
_HEAD = 6  # bytes of a PDU before its content
_COMMAND, _LAST = 1, 2  # bits of a message control header (PS3.8 E.2)
_PDV_HEADER = 6  # bytes: length, context, message control
_LAST_WORD = 0.5  # seconds for an abort to go or come


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: until connected, for an answer of the negotiation, for a piece to be taken, for the answer to a whole message."""

    connect: float = 10
    negotiation: float = 30
    piece: float = 60
    answer: float = 300


class Response(NamedTuple):
    """The answer to a request. `comment` is the peer's own and may say anything; never to be logged."""

    status: int
    comment: str


class Association:
    """Open while in `with`; released at its end, aborted if the end is an exception. Everything raises Lost.

    `refused` tells why offers were not accepted; the others can be used.
    """

    def __init__(
        self, node: Node, calling: str, offers: Sequence[Offer], *, tls: ssl.SSLContext | None = None, patience: Patience | None = None
    ) -> None:
        """Connect and negotiate; at most `CONTEXTS` offers."""
        self._patience = patience or Patience()
        self._message_id = 0
        self._socket = self._connected(node, tls)
        try:
            self._negotiate(node, calling, offers)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> "Association":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(Lost):
            if kind is None:
                self._send(struct.pack(">BxLxxxx", _RELEASE, 4))
                self._receive(self._patience.negotiation, _RELEASED)
            else:
                self._send(struct.pack(">BxLxxBB", _ABORT, 4, 0, 0), seconds=_LAST_WORD)
        self._close()

    def request(self, offer: Offer, command: Mapping[int, int | str], dataset: Iterable[bytes]) -> Response:
        """Send a request and wait for its response. What `dataset` raises goes through: the association is then of no more use."""
        self._message_id = self._message_id % 0xFFFF + 1
        fields = {**command, commandset.MESSAGE_ID: self._message_id, commandset.DATASET_TYPE: 0}
        context_id = self._ids[offer]
        self._send_fragments(context_id, _COMMAND, (commandset.encode(dict(sorted(fields.items()))),))
        self._send_fragments(context_id, 0, dataset)
        values = self._response(context_id)
        try:
            field, answered = commandset.number(values, commandset.FIELD), commandset.number(values, commandset.RESPONDED_TO)
            status = commandset.number(values, commandset.STATUS)
        except ValueError:
            raise Lost(Reason.NONSENSE) from None
        if field != commandset.RESPONSE | int(command[commandset.FIELD]) or answered != self._message_id:
            raise Lost(Reason.NONSENSE)
        return Response(status, _printable(values.get(commandset.COMMENT, b"")))

    # -- negotiation -----------------------------------------------------------------------------------------------

    def _connected(self, node: Node, tls: ssl.SSLContext | None) -> socket.socket:
        try:
            connected = socket.create_connection((node.host, node.port), self._patience.connect)
        except OSError:
            raise Lost(Reason.NO_CONNECTION) from None
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            return connected
        try:
            return tls.wrap_socket(connected, server_hostname=node.host)
        except (OSError, ValueError):
            connected.close()
            raise Lost(Reason.NO_TLS) from None

    def _negotiate(self, node: Node, calling: str, offers: Sequence[Offer]) -> None:
        self._send(negotiation.request(calling, node.ae_title, offers))
        agreed = negotiation.agreement(self._receive(self._patience.negotiation, _ACCEPT, _NEGOTIATION_LIMIT), offers)
        self._ids, self.refused = agreed.ids, agreed.refused
        self._fragment = min(FRAGMENT, (agreed.longest or FRAGMENT + _PDV_HEADER) - _PDV_HEADER) & ~1  # even, as values are (PS3.5 7.1)
        if self._fragment <= 0:
            raise Lost(Reason.NONSENSE)

    # -- messages --------------------------------------------------------------------------------------------------

    def _send_fragments(self, context_id: int, control: int, pieces: Iterable[bytes]) -> None:
        """A part of a message, command or dataset. Which fragment is the last is known only when there is no more."""
        held: memoryview | None = None
        for fragment in _cut(pieces, self._fragment):
            if held is not None:
                self._send_data(context_id, control, held)
            held = fragment
        self._send_data(context_id, control | _LAST, held or memoryview(b""))

    def _send_data(self, context_id: int, control: int, fragment: memoryview) -> None:
        length = len(fragment) + 2
        self._send(struct.pack(">BxLLBB", _DATA, length + 4, length, context_id, control) + fragment)

    def _response(self, context_id: int) -> dict[int, bytes]:
        """The command set that comes next. A dataset with it would say nothing to us, and is let pass."""
        command = bytearray()
        deadline = time.monotonic() + self._patience.answer
        values: dict[int, bytes] | None = None
        while True:
            for found_id, control, data in _values(self._receive(deadline - time.monotonic(), _DATA)[_HEAD:]):
                if found_id != context_id:
                    raise Lost(Reason.NONSENSE)
                if control & _COMMAND:
                    command += data
                    if len(command) > commandset.LIMIT or values is not None:
                        raise Lost(Reason.NONSENSE)
                if not control & _LAST:
                    continue
                if values is not None:
                    return values
                try:
                    values = commandset.decode(bytes(command))
                    if commandset.number(values, commandset.DATASET_TYPE) == commandset.NO_DATASET:
                        return values
                except ValueError:
                    raise Lost(Reason.NONSENSE) from None

    # -- bytes -----------------------------------------------------------------------------------------------------

    def _send(self, data: bytes, seconds: float | None = None) -> None:
        self._socket.settimeout(seconds or self._patience.piece)
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise Lost(Reason.SILENT) from None
        except OSError:
            raise Lost(self._last_word()) from None

    def _last_word(self) -> Reason:
        """Why the peer takes nothing any more: it may have said so before it closed."""
        try:
            self._receive(_LAST_WORD, _ABORT)
        except Lost as lost:
            return lost.reason
        return Reason.ABORTED

    def _receive(self, seconds: float, expected: int, limit: int = PDU) -> bytes:
        """A whole PDU of the expected type."""
        deadline = time.monotonic() + seconds
        head = self._exactly(_HEAD, deadline)
        kind, length = struct.unpack(">BxL", head)
        if not _REQUEST <= kind <= _ABORT or length > limit:
            raise Lost(Reason.NONSENSE)
        pdu = head + self._exactly(length, deadline)
        if kind == expected:
            return pdu
        if kind == _REJECT:
            raise Lost(negotiation.rejection(pdu))
        raise Lost({_ABORT: Reason.ABORTED, _RELEASE: Reason.CLOSED}.get(kind, Reason.NONSENSE))

    def _exactly(self, count: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Lost(Reason.SILENT)
            self._socket.settimeout(left)
            try:
                piece = self._socket.recv(count - len(data))
            except TimeoutError:
                raise Lost(Reason.SILENT) from None
            except OSError:
                raise Lost(Reason.CLOSED) from None
            if not piece:
                raise Lost(Reason.CLOSED)
            data += piece
        return bytes(data)

    def _close(self) -> None:
        with suppress(OSError):
            self._socket.close()


def _cut(pieces: Iterable[bytes], size: int) -> Iterator[memoryview]:
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), size):
            yield view[start : start + size]


def _values(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The presentation data values in a P-DATA-TF: context id, control, data (PS3.8 9.3.5)."""
    offset = 0
    while offset < len(body):
        if offset + _PDV_HEADER > len(body):
            raise Lost(Reason.NONSENSE)
        length, context_id, control = struct.unpack_from(">LBB", body, offset)
        if length < 2 or offset + 4 + length > len(body):
            raise Lost(Reason.NONSENSE)
        yield context_id, control, body[offset + _PDV_HEADER : offset + 4 + length]
        offset += 4 + length


def _printable(comment: bytes) -> str:
    text = comment[:64].decode("ascii", "replace")
    return "".join(sign for sign in text if sign.isprintable()).strip()
