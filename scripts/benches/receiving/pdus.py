"""What senders and sink say to each other: PDUs (PS3.8 9.3) and command sets (PS3.7 6.3.1), made and read by hand."""

import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

ASSOCIATE, ACCEPT, REJECT, DATA, RELEASE, RELEASED, ABORT = range(1, 8)
COMMAND, LAST = 1, 2  # bits of a message control header (PS3.8 E.2)
PDV_HEADER: Final = 6  # bytes of a PDU's length that are not the fragment's: length, context, message control

_FIXED: Final = 68  # bytes of an A-ASSOCIATE before its items
_APPLICATION, _PROPOSED, _ANSWERED, _ABSTRACT, _TRANSFER, _USER, _MAXIMUM, _IMPLEMENTATION = 0x10, 0x20, 0x21, 0x30, 0x40, 0x50, 0x51, 0x52
_C_STORE: Final = 0x0001
_RESPONSE: Final = 0x8000
_NO_DATASET: Final = 0x0101


class Context(NamedTuple):
    """A presentation context; its id follows from its place: 1, 3, 5, …"""

    sop_class: str
    transfer_syntax: str


class Disagreement(Exception):  # noqa: N818 (it is between the two, not an error of either)
    """The other side does not do what the measurement needs. Its text is for the table."""


class NotTaken(Disagreement):
    """It is there, and will not take this kind of instance."""


def pdu(kind: int, body: bytes = bytes(4)) -> bytes:
    return struct.pack(">BBL", kind, 0, len(body)) + body


def receive(stream: BinaryIO) -> tuple[int, bytes]:
    """The next PDU: kind and body. Raises Disagreement when none comes whole."""
    head = stream.read(6) or b""
    if len(head) < 6:
        raise Disagreement("the other side closed the connection, or was silent for too long")
    kind, _, length = struct.unpack(">BBL", head)
    body = stream.read(length) or b""
    if len(body) < length:
        raise Disagreement("the other side broke off within a PDU")
    return kind, body


def associate(contexts: Sequence[Context], called: str, calling: str, maximum: int) -> bytes:
    """An A-ASSOCIATE-RQ. `maximum`: bytes of a PDU that its sender takes."""
    proposed = b"".join(
        _item(_PROPOSED, bytes([2 * place + 1, 0, 0, 0]) + _item(_ABSTRACT, one.sop_class) + _item(_TRANSFER, one.transfer_syntax))
        for place, one in enumerate(contexts)
    )
    body = struct.pack(">HH16s16s32x", 1, 0, called.encode().ljust(16), calling.encode().ljust(16))
    return pdu(ASSOCIATE, body + _item(_APPLICATION, "1.2.840.10008.3.1.1.1") + proposed + _user(maximum))


def accept(request: bytes, maximum: int) -> bytes:
    """The A-ASSOCIATE-AC to the body of a request: every context, with the first transfer syntax proposed."""
    answered = b""
    for kind, value in _items(request[_FIXED:]):
        if kind == _PROPOSED:
            first = next(syntax for sub, syntax in _items(value[4:]) if sub == _TRANSFER)
            answered += _item(_ANSWERED, bytes([value[0], 0, 0, 0]) + _item(_TRANSFER, first))
    return pdu(ACCEPT, request[:_FIXED] + _item(_APPLICATION, "1.2.840.10008.3.1.1.1") + answered + _user(maximum))


def accepted(answer: bytes) -> tuple[set[int], int]:
    """Of the body of an A-ASSOCIATE-AC: the ids of contexts that are accepted, and the longest PDU taken (0: any)."""
    ids, maximum = set(), 0
    for kind, value in _items(answer[_FIXED:]):
        if kind == _ANSWERED and value[2] == 0:
            ids.add(value[0])
        if kind == _USER:
            maximum = next(struct.unpack(">L", part)[0] for sub, part in _items(value) if sub == _MAXIMUM)
    return ids, maximum


def fragment(context_id: int, control: int, length: int) -> bytes:
    """What stands before `length` bytes of a message in a PDU of their own."""
    return struct.pack(">BBLLBB", DATA, 0, length + PDV_HEADER, length + 2, context_id, control)


def store_request(sop_class: str, sop_instance: str, message_id: int) -> bytes:
    """The command set of a C-STORE-RQ (PS3.7 9.3.1.1)."""
    return _command(
        _element(0x0002, _padded(sop_class)),
        _element(0x0100, _short(_C_STORE)),
        _element(0x0110, _short(message_id)),
        _element(0x0700, _short(0)),
        _element(0x0800, _short(_NO_DATASET - 1)),
        _element(0x1000, _padded(sop_instance)),
    )


def store_response(request: bytes) -> bytes:
    """The command set of the C-STORE-RSP that says success (PS3.7 9.3.1.2)."""
    asked = dict(_elements(request))
    return _command(
        _element(0x0002, asked[0x0002]),
        _element(0x0100, _short(_RESPONSE | _C_STORE)),
        _element(0x0120, asked[0x0110]),
        _element(0x0800, _short(_NO_DATASET)),
        _element(0x0900, _short(0)),
        _element(0x1000, asked[0x1000]),
    )


def status(command: bytes) -> int:
    """The status in the command set of a response."""
    return int.from_bytes(next(value for number, value in _elements(command) if number == 0x0900), "little")


def _item(kind: int, value: bytes | str) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return struct.pack(">BBH", kind, 0, len(content)) + content


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        kind, _, length = struct.unpack(">BBH", data[:4])
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def _user(maximum: int) -> bytes:
    return _item(_USER, _item(_MAXIMUM, struct.pack(">L", maximum)) + _item(_IMPLEMENTATION, "1.2.3"))


def _element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(value)) + value


def _elements(command: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(command):
        _, number, length = struct.unpack_from("<HHL", command, at)
        yield number, command[at + 8 : at + 8 + length]
        at += 8 + length


def _command(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return _element(0x0000, struct.pack("<L", len(body))) + body


def _short(value: int) -> bytes:
    return struct.pack("<H", value)


def _padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)
