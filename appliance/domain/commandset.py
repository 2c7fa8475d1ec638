"""The form of a command set (PS3.7 6.3.1): elements of group 0000 in Implicit VR Little Endian, whatever the transfer syntax.

Both ends of an association speak it. What the elements mean is told by who uses them.
"""

import re
import struct
from collections.abc import Mapping
from typing import Final

AFFECTED_SOP_CLASS: Final = 0x0002
REQUESTED_SOP_CLASS: Final = 0x0003
FIELD: Final = 0x0100
MESSAGE_ID: Final = 0x0110
RESPONDED_TO: Final = 0x0120
PRIORITY: Final = 0x0700
DATASET_TYPE: Final = 0x0800
STATUS: Final = 0x0900
COMMENT: Final = 0x0902
AFFECTED_SOP_INSTANCE: Final = 0x1000
REQUESTED_SOP_INSTANCE: Final = 0x1001
EVENT_TYPE: Final = 0x1002
ACTION_TYPE: Final = 0x1008

RESPONSE: Final = 0x8000  # bit of FIELD
NO_DATASET: Final = 0x0101  # DATASET_TYPE (PS3.7 E.1)
LIMIT: Final = 16 << 10
"""Bytes of a command set that anybody need take; a C-STORE request has some 200."""

_GROUP_LENGTH: Final = 0x0000
_UID: Final = re.compile(rb"[0-9]+(\.[0-9]+)*")  # PS3.5 9.1, but not its rule on leading zeros, which senders break


def encode(values: Mapping[int, int | str]) -> bytes:
    """A command set, its group length first: numbers as US, texts as UI or LO. Empty texts are left out. `values` in order of element."""
    body = b"".join(_element(element, value) for element, value in values.items() if value != "")
    return struct.pack("<HHLL", 0, _GROUP_LENGTH, 4, len(body)) + body


def decode(data: bytes) -> dict[int, bytes]:
    """The values in a complete command set, by element. Raises ValueError, its text static."""
    found = {}
    offset = 0
    while offset < len(data):
        if offset + 8 > len(data):
            raise ValueError("a command set that breaks off")
        group, element, length = struct.unpack_from("<HHL", data, offset)
        offset += 8
        if group != 0 or length > len(data) - offset:
            raise ValueError("a command set of no known form")
        found[element] = data[offset : offset + length]
        offset += length
    return found


def number(values: Mapping[int, bytes], element: int) -> int:
    """A value of type US. Raises ValueError, its text static."""
    value = values.get(element, b"")
    if len(value) != 2:
        raise ValueError("a command set that lacks what it must have")
    return int.from_bytes(value, "little")


def uid(values: Mapping[int, bytes], element: int) -> str:
    """A value of type UI; "" for none or one that makes no sense."""
    value = values.get(element, b"").rstrip(b"\0 ")
    return value.decode("ascii") if len(value) <= 64 and _UID.fullmatch(value) else ""


def _element(element: int, value: int | str) -> bytes:
    if isinstance(value, int):
        return struct.pack("<HHLH", 0, element, 2, value)
    encoded = value.encode("ascii")
    encoded += (b" " if element == COMMENT else b"\0") * (len(encoded) % 2)
    return struct.pack("<HHL", 0, element, len(encoded)) + encoded
