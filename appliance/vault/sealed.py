"""The sealed object, version 1, and nothing else. Specification: `docs/format.md`, "Sealed object".

    header(88) = magic(8) ‖ version(1) ‖ suite(1) ‖ zero(6) ‖ object id(16) ‖ salt(24) ‖ commitment(32)
    key(32) ‖ base(12) ‖ commitment(32) = HKDF-Expand-SHA-512(FK, label ‖ 00 ‖ salt ‖ header[0:32] ‖ kind(1), 76)
    chunk k = AES-256-GCM(key, nonce = base XOR BE96(k), plain, AAD = "") at 88 + k·65552

All chunks but the last hold 65,536 plain bytes; the last always holds fewer, so each length has one meaning and a cut is noticed.
This is C2SP "chunked-encryption" with larger chunks and a label of our own.
"""

import hmac
import os
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ..domain.errors import Code, Problem

MAGIC: Final = b"\x89BBF\r\n\x1a\n"
VERSION: Final = 1
SUITE: Final = 1
HEADER: Final = 88
CHUNK: Final = 65_536
TAG: Final = 16
STEP: Final = CHUNK + TAG
LABEL: Final = b"bildbrief.sealed-object.v1"
LIMIT: Final = CHUNK << 32
"""Plain bytes in one object at most: 2^32 chunks under one key (NIST SP 800-38D 8.3 bounds invocations; our objects end far below)."""

Bytes = bytes | bytearray | memoryview

_STRIDE: Final = 16  # chunks read from the source at once


class Kind(IntEnum):
    """What an object holds. It is bound into the key, not stored: an object opens only as what it was sealed as."""

    DICOM = 1
    MANIFEST = 2
    SNAPSHOT = 3
    REPORT = 4
    PICTURE = 5
    DESCRIPTION = 6
    CHECKPOINT = 7


class Damaged(Problem):
    """The bytes are not what was sealed. `where`: header, commitment, chunk N, or truncated."""

    def __init__(self, where: str) -> None:
        super().__init__(Code.DAMAGED, "A stored file is damaged (%(where)s).", where=where)
        self.where = where


class Sink(Protocol):
    """Where sealed bytes go."""

    def write(self, data: Bytes, /) -> object: ...


class ReadAt(Protocol):
    """Sealed bytes that can be read anywhere. `read_at` gives fewer bytes only at the end; several threads may call it."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes: ...


def sealed_length(plain: int) -> int:
    """The length of the sealed object that holds so many plain bytes."""
    return HEADER + plain + TAG * (plain // CHUNK + 1)


def plain_length(sealed: int) -> int:
    """The plain length of a sealed object of so many bytes. Damaged("truncated") for a length that none has."""
    full, rest = divmod(sealed - HEADER, STEP)
    if full < 0 or rest < TAG:
        raise Damaged("truncated")
    return full * CHUNK + rest - TAG


def _derive(key: bytes, salt: bytes, head: bytes, kind: Kind) -> tuple[AESGCM, int, bytes]:
    info = LABEL + b"\x00" + salt + head + bytes([kind])
    derived = HKDFExpand(SHA512(), 76, info).derive(key)
    return AESGCM(derived[:32]), int.from_bytes(derived[32:44]), derived[44:76]


def _nonce(base: int, number: int) -> bytes:
    return (base ^ number).to_bytes(12)


class Writer:
    """Seals a stream into a sink in bounded memory: one chunk plain, one sealed. The header is written at once.

    Bytes come by `write`, or by filling part of `buffer()` and telling how much by `advance` (a socket's `recv_into`, say).
    Not thread-safe. What a writer that never came to `finish` has written opens nowhere.
    """

    def __init__(self, sink: Sink, *, object_id: bytes, key: bytes, kind: Kind, random: Callable[[int], bytes] = os.urandom) -> None:
        salt = random(24)
        if len(object_id) != 16 or len(key) != 32 or len(salt) != 24:
            raise ValueError("an object id has 16 bytes, a key 32, a salt 24")
        head = MAGIC + bytes([VERSION, SUITE]) + bytes(6) + object_id
        self._cipher, self._base, commitment = _derive(key, salt, head, kind)
        self._sink = sink
        self._plain = memoryview(bytearray(CHUNK))
        self._sealed = memoryview(bytearray(STEP))
        self._filled = 0
        self._number = 0
        sink.write(head + salt + commitment)

    def buffer(self) -> memoryview:
        """The free part of the current chunk; never empty."""
        return self._plain[self._filled :]

    def advance(self, count: int) -> None:
        """So many bytes of `buffer()` are filled."""
        self._filled += count
        if self._filled == CHUNK:
            self._seal(self._plain)
            self._filled = 0

    def write(self, data: Bytes) -> None:
        view = memoryview(data).cast("B")
        while view:
            if not self._filled and len(view) >= CHUNK:  # whole chunks need no copy
                self._seal(view[:CHUNK])
                view = view[CHUNK:]
                continue
            count = min(len(view), CHUNK - self._filled)
            self._plain[self._filled : self._filled + count] = view[:count]
            self.advance(count)
            view = view[count:]

    def finish(self) -> int:
        """Write the last, shorter chunk; once. Returns the plain length. The sink stays open."""
        length = self._number * CHUNK + self._filled
        self._seal(self._plain[: self._filled])
        return length

    def _seal(self, plain: memoryview) -> None:
        if self._number >= LIMIT // CHUNK:
            raise Problem(Code.TOO_LARGE, "A single file cannot be larger than %(limit)s bytes.", limit=LIMIT)
        into = self._sealed[: len(plain) + TAG]
        self._cipher.encrypt_into(_nonce(self._base, self._number), plain, None, into)
        self._number += 1
        self._sink.write(into)


class Reader:
    """Opens a sealed object: checks header and commitment, then the last chunk, which authenticates the length.

    Gives only whole verified chunks, never a byte before its tag. Threads may share one. Errors: Damaged, with `where`.
    """

    def __init__(self, source: ReadAt, *, object_id: bytes, key: bytes, kind: Kind) -> None:
        self._source = source
        header = source.read_at(0, HEADER)
        if len(header) < HEADER:
            raise Damaged("truncated")
        head, salt, commitment = header[:32], header[32:56], header[56:]
        if head != MAGIC + bytes([VERSION, SUITE]) + bytes(6) + object_id:
            raise Damaged("header")
        self._cipher, self._base, expected = _derive(key, salt, head, kind)
        if not hmac.compare_digest(commitment, expected):
            raise Damaged("commitment")
        size = source.size
        self.length = plain_length(size)
        self._last = self.length // CHUNK
        at = HEADER + self._last * STEP
        # Not a byte beyond the size: a whole chunk must never pass for the last one.
        self._tail = self._open(self._last, source.read_at(at, size - at))

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The plain bytes of a half-open range, in pieces of up to 64 KiB. An end beyond the object is cut back to it."""
        if start < 0:
            raise ValueError("a range begins at 0 or later")
        stop = self.length if stop is None else min(stop, self.length)
        if start >= stop:
            return
        first, last = start // CHUNK, (stop - 1) // CHUNK
        for at in range(first, last + 1, _STRIDE):
            ahead = min(at + _STRIDE, last + 1)
            full = min(ahead, self._last) - at  # the object's last chunk is open already
            sealed = memoryview(self._source.read_at(HEADER + at * STEP, full * STEP) if full else b"")
            for number in range(at, ahead):
                offset = (number - at) * STEP
                plain = self._tail if number == self._last else self._open(number, sealed[offset : offset + STEP])
                if number in (first, last):
                    plain = plain[max(0, start - number * CHUNK) : stop - number * CHUNK]
                yield plain

    def read_all(self, limit: int) -> bytes:
        """The whole object. Problem TOO_LARGE when it has more than `limit` bytes."""
        if self.length > limit:
            raise Problem(Code.TOO_LARGE, "A stored file has more than %(limit)s bytes.", limit=limit)
        return b"".join(self.read())

    def _open(self, number: int, sealed: Bytes) -> bytes:
        if len(sealed) < (TAG if number == self._last else STEP):
            raise Damaged("truncated")
        try:
            return self._cipher.decrypt(_nonce(self._base, number), sealed, None)
        except InvalidTag:
            raise Damaged(f"chunk {number}") from None
