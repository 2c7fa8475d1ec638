"""Objects to seal, open and damage."""

import io
import os
from functools import cache
from random import Random

import pytest

from appliance.domain.errors import Code
from appliance.vault.blobs import Bytes
from appliance.vault.sealed import CHUNK, Damaged, Kind, Reader, Writer

OBJECT = bytes(range(16))
KEY = bytes(range(32, 64))
SMALL = b"Alice's report"


def noise(length: int) -> bytes:
    return Random(length).randbytes(length)


def seal(plain: bytes, *, object_id: bytes = OBJECT, key: bytes = KEY, kind: Kind = Kind.DICOM, salt: bytes | None = None) -> bytes:
    sink = io.BytesIO()
    writer = Writer(sink, object_id=object_id, key=key, kind=kind, random=os.urandom if salt is None else lambda _: salt)
    writer.write(plain)
    assert writer.finish() == len(plain)
    return sink.getvalue()


def reader(sealed: bytes, *, object_id: bytes = OBJECT, key: bytes = KEY, kind: Kind = Kind.DICOM) -> Reader:
    return Reader(Bytes(sealed), object_id=object_id, key=key, kind=kind)


def opened(sealed: bytes) -> bytes:
    return b"".join(reader(sealed).read())


def where(sealed: bytes) -> str:
    """Where the damage is. Opening such an object gives no byte that was not sealed at its place."""
    with pytest.raises(Damaged) as caught:
        opened(sealed)
    assert caught.value.code is Code.DAMAGED
    return caught.value.where


def flipped(sealed: bytes, bit: int) -> bytes:
    at = bytearray(sealed)
    at[bit // 8] ^= 1 << bit % 8
    return bytes(at)


@cache
def long() -> tuple[bytes, bytes]:
    plain = noise(35 * CHUNK + 77)
    return plain, seal(plain)
