"""Sealing and opening, beside AES-256-GCM of the same library on the same bytes.

64 MiB on one thread. The writer gets them in pieces of 1 MB, as its sink takes them and forgets. The peer calls `encrypt_into` for
chunks of 64 KiB into one buffer, with a nonce for each and no copy, header or bookkeeping; opening, it calls `decrypt_into` likewise.
The reader gives 64 MiB in pieces of a chunk, each of them bytes of their own. It is measured over a view of memory, where nothing is
copied on the way in, and over a file in the page cache, as the appliance reads; then its peer reads the same file in pieces of 1 MB.
"""

import os
import tempfile
from collections import deque
from io import BytesIO
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.vault.blobs import open_file
from appliance.vault.sealed import CHUNK, STEP, Kind, ReadAt, Reader, Writer

from .rounds import Contender, throughput

CHUNKS: Final = 1024
PIECE: Final = 1_000_000  # bytes
ROUNDS: Final = 15
OBJECT, KEY = bytes(16), bytes(range(32))


class Nowhere:
    """A sink that forgets."""

    def write(self, data: object) -> None:
        pass


class View:
    """Sealed bytes in memory, given out without a copy."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self.size = len(content)

    def read_at(self, offset: int, length: int) -> memoryview:
        return self._content[offset : offset + length]


def seal(plain: memoryview, sink: object) -> None:
    writer = Writer(sink, object_id=OBJECT, key=KEY, kind=Kind.DICOM)
    for at in range(0, len(plain), PIECE):
        writer.write(plain[at : at + PIECE])
    writer.finish()


def open_all(source: ReadAt | View) -> None:
    deque(Reader(source, object_id=OBJECT, key=KEY, kind=Kind.DICOM).read(), maxlen=0)


class Raw:
    """The peer: the cipher alone, whole chunks only. Nonces count from 0, which is as good as any for its own bytes."""

    def __init__(self, plain: memoryview) -> None:
        self._cipher = AESGCM(KEY)
        self._plain = plain
        self._into_sealed, self._into_plain = bytearray(STEP), bytearray(CHUNK)
        chunks = (self._cipher.encrypt(at.to_bytes(12), plain[at * CHUNK : (at + 1) * CHUNK], None) for at in range(CHUNKS))
        self.sealed = b"".join(chunks)

    def seal(self) -> None:
        for number in range(CHUNKS):
            plain = self._plain[number * CHUNK : (number + 1) * CHUNK]
            self._cipher.encrypt_into(number.to_bytes(12), plain, None, self._into_sealed)

    def open(self) -> None:
        self._open(0, memoryview(self.sealed))

    def open_file(self, descriptor: int) -> None:
        some = PIECE // STEP
        for first in range(0, CHUNKS, some):
            self._open(first, memoryview(os.pread(descriptor, some * STEP, first * STEP)))

    def _open(self, first: int, sealed: memoryview) -> None:
        for at in range(0, len(sealed), STEP):
            self._cipher.decrypt_into((first + at // STEP).to_bytes(12), sealed[at : at + STEP], None, self._into_plain)


def table() -> str:
    plain = memoryview(os.urandom(CHUNKS * CHUNK))
    sink = BytesIO()
    seal(plain, sink)
    raw, sealed = Raw(plain), sink.getvalue()
    with tempfile.TemporaryDirectory() as directory:
        ours, peers = Path(directory) / "ours", Path(directory) / "peers"
        ours.write_bytes(sealed)
        peers.write_bytes(raw.sealed)
        with open_file(ours) as source, peers.open("rb", buffering=0) as file:
            return throughput(
                [
                    Contender("AES-256-GCM seals", raw.seal),
                    Contender("Writer", lambda: seal(plain, Nowhere()), peer="AES-256-GCM seals"),
                    Contender("AES-256-GCM opens", raw.open),
                    Contender("Reader", lambda: open_all(View(sealed)), peer="AES-256-GCM opens"),
                    Contender("AES-256-GCM opens a file", lambda: raw.open_file(file.fileno())),
                    Contender("Reader, of a file", lambda: open_all(source), peer="AES-256-GCM opens a file"),
                ],
                amount=len(plain),
                rounds=ROUNDS,
            )
