"""Command sets of DIMSE messages (PS3.7 6.3.1): read without trust, answered in a fixed form.

A command set is Implicit VR Little Endian: group, element, 32-bit length, value; all of group 0000.
"""

import re
import struct
from dataclasses import dataclass

from .statuses import Status

C_STORE = 0x0001
C_ECHO = 0x0030
C_CANCEL = 0x0FFF
_RESPONSE = 0x8000

_NO_DATASET = 0x0101  # PS3.7 E.1, Command Data Set Type
_UID = re.compile(rb"[0-9]+(\.[0-9]+)*")  # PS3.5 9.1, but not its rule on leading zeros, which senders break
_LENGTH = 0x0000
_SOP_CLASS = 0x0002
_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_RESPONDED_TO = 0x0120
_DATASET_TYPE = 0x0800
_STATUS = 0x0900
_COMMENT = 0x0902
_SOP_INSTANCE = 0x1000


class Abuse(Exception):  # noqa: N818 (it is the peer's, not ours)
    """The peer leaves the protocol so far that no answer is possible: the association must end. Its text is static."""


@dataclass(frozen=True, slots=True)
class Command:
    """A request as its command set puts it. A UID that makes no sense is ""."""

    field: int
    message_id: int
    has_dataset: bool
    sop_class: str
    sop_instance: str


def decode(data: bytes) -> Command:
    """The request in a complete command set. Raises Abuse if it is none."""
    elements = _elements(data)
    field = _number(elements, _FIELD)
    if field & _RESPONSE:
        raise Abuse("a response to no request")
    if field == C_CANCEL:
        return Command(field, 0, False, "", "")
    return Command(
        field,
        _number(elements, _MESSAGE_ID),
        _number(elements, _DATASET_TYPE) != _NO_DATASET,
        _uid(elements.get(_SOP_CLASS, b"")),
        _uid(elements.get(_SOP_INSTANCE, b"")),
    )


def respond(request: Command, status: Status) -> bytes:
    """The command set of the response to a request (PS3.7 9.3.1.2, 9.3.5.2)."""
    body = b"".join(
        (
            _text(_SOP_CLASS, request.sop_class, b"\0"),
            _us(_FIELD, _RESPONSE | request.field),
            _us(_RESPONDED_TO, request.message_id),
            _us(_DATASET_TYPE, _NO_DATASET),
            _us(_STATUS, status.code),
            _text(_COMMENT, status.comment, b" "),
            _text(_SOP_INSTANCE, request.sop_instance, b"\0"),
        )
    )
    return struct.pack("<HHLL", 0, _LENGTH, 4, len(body)) + body


def _elements(data: bytes) -> dict[int, bytes]:
    elements = {}
    offset = 0
    while offset < len(data):
        if offset + 8 > len(data):
            raise Abuse("a command set that breaks off")
        group, element, length = struct.unpack_from("<HHL", data, offset)
        offset += 8
        if group != 0 or length > len(data) - offset:
            raise Abuse("a command set of no known form")
        elements[element] = data[offset : offset + length]
        offset += length
    return elements


def _number(elements: dict[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != 2:
        raise Abuse("a command set that lacks what every request has")
    return int.from_bytes(value, "little")


def _uid(value: bytes) -> str:
    value = value.rstrip(b"\0 ")
    return value.decode("ascii") if len(value) <= 64 and _UID.fullmatch(value) else ""


def _us(element: int, value: int) -> bytes:
    return struct.pack("<HHLH", 0, element, 2, value)


def _text(element: int, value: str, padding: bytes) -> bytes:
    if not value:
        return b""
    encoded = value.encode("ascii")
    encoded += padding * (len(encoded) % 2)
    return struct.pack("<HHL", 0, element, len(encoded)) + encoded
