"""What stands before the dataset in a file: preamble, prefix and File Meta Information (PS3.10 7.1), written by us."""

import struct

from ..domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREAMBLE = bytes(128) + b"DICM"


def head(sop_class: str, sop_instance: str, transfer_syntax: str, *, calling: str, called: str) -> bytes:
    """All bytes of a file before its dataset.

    `calling` is the AE title the file came from (Source and Sending), `called` the one it was sent to (Receiving): what the
    sender asked for, because several titles may mean several wishes.
    """
    meta = b"".join(
        (
            struct.pack("<HH2sHL2s", 0x0002, 0x0001, b"OB", 0, 2, b"\0\1"),
            _element(0x0002, "UI", sop_class),
            _element(0x0003, "UI", sop_instance),
            _element(0x0010, "UI", transfer_syntax),
            _element(0x0012, "UI", IMPLEMENTATION_CLASS_UID),
            _element(0x0013, "SH", IMPLEMENTATION_VERSION_NAME),
            _element(0x0016, "AE", calling),
            _element(0x0017, "AE", calling),
            _element(0x0018, "AE", called),
        )
    )
    return _PREAMBLE + struct.pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, len(meta)) + meta


def _element(element: int, vr: str, value: str) -> bytes:
    encoded = value.encode("ascii")
    encoded += (b"\0" if vr == "UI" else b" ") * (len(encoded) % 2)
    return struct.pack("<HH2sH", 0x0002, element, vr.encode(), len(encoded)) + encoded
