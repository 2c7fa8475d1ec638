"""A master key sealed by a passphrase. Specification: `docs/format.md`, "Key file".

header  = magic(8) ‖ version(1) ‖ passes(1) ‖ lanes(1) ‖ 00 ‖ memory in KiB(4) ‖ salt(16) ‖ tag of MK(16)
KEK     = Argon2id(passphrase, salt, ad = "bildbrief/v1/sealed-master-key" ‖ header, 32 bytes)
file    = header ‖ Wrap(KEK, MK, "bildbrief/v1/sealed-master-key")
"""

import os
import struct
from typing import Final

from ...domain.errors import Code, Problem
from ...vault.argon2 import argon2id
from ...vault.keys import Context, WrongWrap, unwrap, wrap

MAGIC: Final = b"\x89BBK\r\n\x1a\n"
VERSION: Final = 1
SIZE: Final = 120
MEMORY_KIB: Final = 256 << 10
"""Of new seals: once at each start, so it may cost more than a reader's password. Each seal keeps what it was made with."""

_LABEL: Final = "bildbrief/v1/sealed-master-key"
_HEADER: Final = struct.Struct(">8s4BI16s16s")
_PASSES: Final = 3
_LANES: Final = 4
_MOST_KIB: Final = 4 << 20


def is_sealed(content: bytes) -> bool:
    """Whether this is what `seal` makes, of a version that is known."""
    return len(content) == SIZE and content.startswith(MAGIC + bytes([VERSION]))


def tag_of(content: bytes) -> str:
    """The tag of the key inside, as the header says."""
    return content[32:48].hex()


def seal(key: bytes, tag: str, passphrase: str, memory_kib: int = MEMORY_KIB) -> bytes:
    """The content of a sealed key file."""
    header = _HEADER.pack(MAGIC, VERSION, _PASSES, _LANES, 0, memory_kib, os.urandom(16), bytes.fromhex(tag))
    return header + wrap(_kek(header, passphrase), key, Context(_LABEL))


def unseal(content: bytes, passphrase: str) -> bytes:
    """The key. Errors: Problem FORBIDDEN for another passphrase, or a header that was altered; DAMAGED for one that cannot be."""
    header, wrapped = content[: _HEADER.size], content[_HEADER.size :]
    try:
        return unwrap(_kek(header, passphrase), wrapped, Context(_LABEL))
    except WrongWrap:
        raise Problem(
            Code.FORBIDDEN,
            "The passphrase does not open the master key file. Put the right one into BILDBRIEF_KEY_PASSPHRASE_FILE and start again.",
        ) from None


def _kek(header: bytes, passphrase: str) -> bytes:
    _, _, passes, lanes, zero, memory_kib, salt, _ = _HEADER.unpack(header)
    if zero or not 1 <= passes <= 16 or not 1 <= lanes <= 16 or not 8 * lanes <= memory_kib <= _MOST_KIB:
        raise Problem(Code.DAMAGED, "The master key file %(name)s is damaged. Put it back from your backup.", name="master.key")
    return argon2id(
        passphrase.encode(), salt=salt, memory_kib=memory_kib, passes=passes, lanes=lanes, ad=_LABEL.encode() + header, length=32
    )
