"""Sealed columns of the registry: JSON under a key, bound to its table and row. Specification: `docs/format.md`, "Columns"."""

import json
import os
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..domain.errors import Code, Problem
from .keys import derive

_VERSION: Final = b"\x01"
_BLOCK: Final = 64  # lengths are rounded up to this, so that they tell little


def seal_column(key: bytes, value: Any, *, table: str, row: str) -> bytes:
    """version(1) ‖ nonce(12) ‖ AES-256-GCM of the JSON, padded with blanks to a multiple of 64 bytes."""
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
    nonce = os.urandom(12)
    padded = plain.ljust(-(-len(plain) // _BLOCK) * _BLOCK)
    return _VERSION + nonce + _cipher(key, table, row).encrypt(nonce, padded, _VERSION)


def open_column(key: bytes, sealed: bytes, *, table: str, row: str) -> Any:
    """The value. Problem DAMAGED if it was not sealed under this key for this table and row."""
    if sealed[:1] != _VERSION:
        raise _damaged()
    try:
        return json.loads(_cipher(key, table, row).decrypt(sealed[1:13], sealed[13:], _VERSION))
    except (InvalidTag, ValueError):
        raise _damaged() from None


def _cipher(key: bytes, table: str, row: str) -> AESGCM:
    # One key a row: two random nonces under it would have to meet among a handful of writes.
    return AESGCM(derive(key, "bildbrief/v1/column", table.encode(), row.encode()))


def _damaged() -> Problem:
    return Problem(Code.DAMAGED, "An entry of the registry is damaged or has been altered.")
