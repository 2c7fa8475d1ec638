"""An association request (PS3.8 9.3.2), reduced to what is negotiated here before pynetdicom decodes it.

pynetdicom makes an object of every item, however many there are: 1 MiB of small ones takes it 50 MiB and some seconds. What is left
out here is not offered anyway: items of unknown type are to be ignored, transfer syntaxes that are not taken never get chosen, and
of the user information (PS3.7 Annex D.3.3) roles, windows, identities and extended negotiation are left unanswered, which means no.
"""

import re
import struct
from collections.abc import Iterator

from .command import Abuse
from .syntaxes import TRANSFER_SYNTAXES

_FIXED = 74  # bytes before the variable items: PDU header, protocol version, reserved, AE titles, reserved
_VERSION = slice(6, 8)
_VERSION_1 = 0x0001  # the only bit that is to be tested
_APPLICATION, _CONTEXT, _ABSTRACT, _TRANSFER, _USER, _MAXIMUM = 0x10, 0x20, 0x30, 0x40, 0x50, 0x51
_TAKEN = frozenset(syntax.encode() for syntax in TRANSFER_SYNTAXES)
_UID = re.compile(rb"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")  # PS3.5 9.1


def reduced(pdu: bytes | bytearray) -> bytearray:
    """The A-ASSOCIATE-RQ without what is not needed. Raises Abuse if it is none, or has contexts that no answer could tell apart."""
    if len(pdu) < _FIXED:
        raise Abuse("an association request that breaks off")
    application, contexts, maximum = b"", dict[int, bytes](), bytes(4)
    for kind, value in _items(memoryview(pdu)[_FIXED:]):
        if kind == _APPLICATION:
            application = _uid(value)
        elif kind == _CONTEXT:
            if not value or not value[0] % 2 or value[0] in contexts:
                raise Abuse("a presentation context with an impossible id")
            contexts[value[0]] = _context(value)
        elif kind == _USER:
            maximum = next((bytes(inner) for name, inner in _items(value) if name == _MAXIMUM and len(inner) == 4), maximum)
    if not contexts:
        raise Abuse("an association request that proposes nothing")
    version = int.from_bytes(pdu[_VERSION], "big") & _VERSION_1
    items = _item(_APPLICATION, application) + b"".join(contexts.values()) + _item(_USER, _item(_MAXIMUM, maximum))
    return bytearray(struct.pack(">BxLH", pdu[0], _FIXED - 6 + len(items), version)) + pdu[_VERSION.stop : _FIXED] + items


def _context(value: memoryview) -> bytes:
    """A presentation context item with the transfer syntaxes that are taken here; with the first one if none is."""
    abstract, first, taken = b"", b"", dict[bytes, None]()
    for kind, inner in _items(value[4:]):
        if kind == _ABSTRACT:
            abstract = _uid(inner)
        elif kind == _TRANSFER:
            syntax = _uid(inner)
            first = first or syntax
            if syntax in _TAKEN:
                taken[syntax] = None
    if not abstract or not first:
        raise Abuse("a presentation context without its syntaxes")
    syntaxes = _item(_ABSTRACT, abstract) + b"".join(_item(_TRANSFER, syntax) for syntax in taken or [first])
    return _item(_CONTEXT, bytes((value[0], 0, 0, 0)) + syntaxes)


def _items(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Type and value of each item."""
    offset = 0
    while offset < len(data):
        if offset + 4 > len(data):
            raise Abuse("an association request that breaks off")
        kind, length = struct.unpack_from(">BxH", data, offset)
        offset += 4 + length
        if offset > len(data):
            raise Abuse("an association request that breaks off")
        yield kind, data[offset - length : offset]


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _uid(value: memoryview) -> bytes:
    """A UID without its padding; b"" if it is none."""
    text = bytes(value[:66]).rstrip(b"\0 ")
    return text if len(value) <= 66 and len(text) <= 64 and _UID.fullmatch(text) else b""
