"""A DICOM sender of a hundred lines that does what it is told, also what no sender may: PS3.8 9.3 and PS3.7 6.3 by hand."""

import socket
import struct
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
APPLICATION = b"1.2.840.10008.3.1.1.1"
ACCEPT, REJECT, DATA, RELEASE_REQUEST, RELEASE, ABORT = 2, 3, 4, 5, 6, 7
COMMAND, LAST = 1, 2


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(value)) + value


def number(value: int) -> bytes:
    return struct.pack("<H", value)


def uid(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def store_command(sop_class: bytes, sop_instance: bytes, *, field: int = 1, dataset_type: int = 1, message_id: int = 7) -> bytes:
    body = b"".join(
        (
            element(0x0002, sop_class),
            element(0x0100, number(field)),
            element(0x0110, number(message_id)),
            element(0x0700, number(0)),
            element(0x0800, number(dataset_type)),
            element(0x1000, sop_instance),
        )
    )
    return element(0x0000, struct.pack("<L", len(body))) + body


def item(kind: int, value: bytes) -> bytes:
    """An item or sub-item of an association request."""
    return struct.pack(">BBH", kind, 0, len(value)) + value


def items_of(data: bytes) -> Iterable[tuple[int, bytes]]:
    while data:
        kind, _, length = struct.unpack(">BBH", data[:4])
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def context(number: int, abstract: str = CT, *transfers: str) -> bytes:
    """A presentation context item."""
    return item(0x20, bytes([number, 0, 0, 0]) + item(0x30, abstract.encode()) + b"".join(item(0x40, one.encode()) for one in transfers))


def user(maximum: int = 16384, more: bytes = b"") -> bytes:
    """A user information item (PS3.8 Annex D), with any sub-items more."""
    return item(0x50, item(0x51, struct.pack(">L", maximum)) + item(0x52, b"1.2.3") + more)


class Peer:
    """One connection. `contexts` are proposed with ids 1, 3, 5, …"""

    def __init__(self, port: int, *, seconds: float = 10, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds, source_address=(source, 0))
        self.maximum = 0
        self.accepted: dict[int, str] = {}
        self.user: dict[int, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.socket.close()

    # -- association ---------------------------------------------------------------------------------------------------

    def associate(
        self,
        contexts: Sequence[tuple[str, Sequence[str]]] = ((CT, (EXPLICIT,)),),
        *,
        calling: bytes = b"ALICE",
        called: bytes = b"BILDBRIEF",
        maximum: int = 16384,
    ) -> int:
        """Returns the type of the PDU that answers; fills `accepted` (context id → transfer syntax) and `maximum`."""
        items = item(0x10, APPLICATION)
        for index, (abstract, transfers) in enumerate(contexts):
            items += context(2 * index + 1, abstract, *transfers)
        return self.ask(items + user(maximum), calling=calling, called=called)

    def ask(self, items: bytes, *, calling: bytes = b"ALICE", called: bytes = b"BILDBRIEF", version: int = 1) -> int:
        """Ask for an association by any items. Returns as `associate`."""
        self.send(1, struct.pack(">HH16s16s32x", version, 0, called.ljust(16), calling.ljust(16)) + items)
        kind, body = self.receive()
        if kind == ACCEPT:
            self._read_acceptance(body)
        self.answer = body
        return kind

    def _read_acceptance(self, body: bytes) -> None:
        for kind, value in items_of(body[68:]):
            if kind == 0x21 and value[2] == 0:
                ((_, transfer),) = items_of(value[4:])
                self.accepted[value[0]] = transfer.decode()
            if kind == 0x50:
                self.user = dict(items_of(value))
                (self.maximum,) = struct.unpack(">L", self.user[0x51])

    # -- messages ------------------------------------------------------------------------------------------------------

    def fragment(self, context_id: int, control: int, data: bytes) -> None:
        self.send(DATA, struct.pack(">LBB", len(data) + 2, context_id, control) + data)

    def dataset(self, data: bytes, *, context_id: int = 1, last: bool = True, step: int = 16000) -> None:
        for start in range(0, max(1, len(data)), step):
            end = LAST if last and start + step >= len(data) else 0
            self.fragment(context_id, end, data[start : start + step])

    def store(self, sop_instance: str, dataset: bytes, *, sop_class: str = CT, context_id: int = 1, step: int = 16000) -> int:
        """Send one instance. Returns the status."""
        self.fragment(context_id, COMMAND | LAST, store_command(uid(sop_class), uid(sop_instance)))
        self.dataset(dataset, context_id=context_id, step=step)
        return self.status()

    def status(self) -> int:
        return int.from_bytes(self.response()[0x0900], "little")

    def response(self) -> dict[int, bytes]:
        """The elements of the next response."""
        command = b""
        while True:
            kind, body = self.receive()
            assert kind == DATA, f"PDU {kind} in place of a response"
            length, _, control = struct.unpack(">LBB", body[:6])
            assert length + 4 == len(body)
            assert control & COMMAND
            command += body[6:]
            if control & LAST:
                return self._elements(command)

    @staticmethod
    def _elements(command: bytes) -> dict[int, bytes]:
        found = {}
        while command:
            _, name, length = struct.unpack("<HHL", command[:8])
            found[name] = command[8 : 8 + length]
            command = command[8 + length :]
        return found

    # -- PDUs ----------------------------------------------------------------------------------------------------------

    def send(self, kind: int, body: bytes) -> None:
        self.socket.sendall(struct.pack(">BBL", kind, 0, len(body)) + body)

    def receive(self) -> tuple[int, bytes]:
        """The next PDU: type and body. (0, b"") when the connection is closed."""
        head = self._exactly(6)
        if len(head) < 6:
            return 0, b""
        kind, _, length = struct.unpack(">BBL", head)
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except ConnectionResetError:
                break
            if not piece:
                break
            data += piece
        return data

    def release(self) -> None:
        self.send(RELEASE_REQUEST, bytes(4))
        assert self.receive()[0] == RELEASE

    def abort(self) -> None:
        self.send(ABORT, bytes(4))

    def reset(self) -> None:
        """Cut the connection as a pulled plug or a crashed sender does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
