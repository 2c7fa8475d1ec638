"""Writes DICOM: datasets in Explicit VR Little Endian (PS3.5 7.1.2) and Part 10 files (PS3.10 7.1), texts in UTF-8.

For what we make ourselves, the directory of a download and the documents in it. Files that came in are never written anew.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, cast

from pydicom.datadict import dictionary_VR, tag_for_keyword

from ..domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from .walk import EXPLICIT, PREAMBLE

UTF_8: Final = "ISO_IR 192"

Value = str | int | bytes | Sequence[Mapping[str, "Value"]]
"""Of an element: text (several values joined by backslashes), number, bytes, or the items of a sequence."""

_LONG: Final = frozenset({"OB", "OW", "SQ", "UC", "UN", "UR", "UT"})
_LIMITS: Final = {"AE": 16, "CS": 16, "LO": 64, "PN": 64, "SH": 16, "ST": 1024, "UI": 64}  # characters (PS3.5 6.2)
_NUMBERS: Final = {"US": struct.Struct("<H"), "UL": struct.Struct("<I")}


def dataset(values: Mapping[str, Value]) -> bytes:
    """A dataset of values by keyword, in the order of their tags. Texts longer than their type allows are cut."""
    return b"".join(_element(*_definition(keyword), values[keyword]) for keyword in sorted(values, key=_definition))


def part10(sop_class: str, sop_instance: str, body: bytes) -> bytes:
    """A complete file around a dataset."""
    meta = dataset(
        {
            "FileMetaInformationVersion": b"\0\1",
            "MediaStorageSOPClassUID": sop_class,
            "MediaStorageSOPInstanceUID": sop_instance,
            "TransferSyntaxUID": EXPLICIT,
            "ImplementationClassUID": IMPLEMENTATION_CLASS_UID,
            "ImplementationVersionName": IMPLEMENTATION_VERSION_NAME,
        }
    )
    return bytes(PREAMBLE) + b"DICM" + dataset({"FileMetaInformationGroupLength": len(meta)}) + meta + body


def item(body: bytes) -> bytes:
    """An item of a sequence (PS3.5 7.5)."""
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


@cache
def _definition(keyword: str) -> tuple[int, str]:
    tag = cast(int, tag_for_keyword(keyword))
    return tag, dictionary_VR(tag)


def _element(tag: int, vr: str, value: Value) -> bytes:
    data = _encoded(vr, value)
    data += (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(data) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + (struct.pack("<xxI" if vr in _LONG else "<H", len(data))) + data


def _encoded(vr: str, value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if vr in _NUMBERS:
        return _NUMBERS[vr].pack(int(cast(int, value)))
    if isinstance(value, int):
        return str(value).encode()
    if isinstance(value, str):
        return fitting(vr, value).encode()
    return b"".join(item(dataset(each)) for each in value)


def fitting(vr: str, text: str) -> str:
    """A text as its type allows: each value short enough, code strings in their few characters, one value where one is meant."""
    limit = _LIMITS.get(vr, 1024)
    match vr:
        case "CS":
            return "\\".join(re.sub(r"[^A-Z0-9 _]", "_", part.strip().upper())[:limit] for part in text.split("\\"))
        case "LO" | "SH" | "PN" | "UC":
            return text.replace("\\", "/")[:limit]
        case _:
            return text[:limit]
