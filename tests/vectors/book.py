"""docs/format.md once more, from its words and with nothing of ours: what `make.py` builds the vectors with, the wrong ones too."""

import hashlib
import hmac
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

CHUNK: Final = 65_536
STEP: Final = CHUNK + 16


def lp(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-512 (RFC 5869, 2.3)."""
    out = block = b""
    while len(out) < length:
        block = hmac.digest(key, block + info + bytes([len(out) // 64 + 1]), "sha512")
        out += block
    return out[:length]


def derive(key: bytes, label: str, *parts: bytes, length: int = 32) -> bytes:
    return expand(key, label.encode() + b"\0" + lp(*parts), length)


def digest(context: bytes) -> bytes:
    return hashlib.new("sha512_256", context).digest()


def wrap(kek: bytes, key: bytes, purpose: str, *parts: bytes) -> bytes:
    return aes_key_wrap_with_padding(kek, key + digest(lp(purpose.encode(), *parts)))


@dataclass(frozen=True)
class Sealed:
    """A sealed object in the making. Every field may be wrong on purpose."""

    key: bytes
    object_id: bytes
    kind: int = 1
    salt: bytes = bytes(range(0x27, 0x3F))  # the base then ends in five ones, so that adding to it and XORing differ
    magic: bytes = b"\x89BBF\r\n\x1a\n"
    version: int = 1
    suite: int = 1
    zero: bytes = bytes(6)

    @cached_property
    def _head(self) -> bytes:
        return self.magic + bytes([self.version, self.suite]) + self.zero + self.object_id

    @cached_property
    def _derived(self) -> bytes:
        info = b"bildbrief.sealed-object.v1\0" + self.salt + self._head + bytes([self.kind])
        return expand(self.key, info, 76)

    @property
    def chunk_key(self) -> bytes:
        return self._derived[:32]

    @property
    def base(self) -> bytes:
        return self._derived[32:44]

    @property
    def header(self) -> bytes:
        return self._head + self.salt + self._derived[44:]

    def nonce(self, number: int) -> bytes:
        return bytes(a ^ b for a, b in zip(self.base, number.to_bytes(12, "big"), strict=True))

    def chunk(self, number: int, plain: bytes, aad: bytes = b"") -> bytes:
        return AESGCM(self.chunk_key).encrypt(self.nonce(number), plain, aad)

    def chunks(self, plain: bytes) -> list[bytes]:
        return [self.chunk(number, plain[number * CHUNK : (number + 1) * CHUNK]) for number in range(len(plain) // CHUNK + 1)]

    def seal(self, plain: bytes) -> bytes:
        return self.header + b"".join(self.chunks(plain))

    def smooth(self, length: int) -> bytes:
        """Plain bytes whose chunk k is sealed as the byte k + 1 again and again, but for its tag: a vector of them packs well."""
        return b"".join(self.smooth_chunk(k, min(CHUNK, length - k * CHUNK)) for k in range(length // CHUNK + 1))

    def smooth_chunk(self, number: int, length: int = CHUNK) -> bytes:
        # GCM is CTR with the counter 2 for the first block (NIST SP 800-38D, 7.1).
        stream = Cipher(AES(self.chunk_key), CTR(self.nonce(number) + (2).to_bytes(4, "big"))).encryptor()
        return stream.update(bytes([(number + 1) % 256]) * length)


def two_keys(one: Sealed, two: Sealed) -> bytes:
    """One chunk of 16 bytes that AES-GCM accepts under the chunk keys of both: AES-GCM alone commits to no key.

    tag = c·H² + length·H + E(nonce ‖ 1), equated for both keys and solved for the one block c (NIST SP 800-38D, 6.4 and 7.1).
    """
    length = (128).to_bytes(16, "big")
    hashes, masks = zip(*(_ghash_key_and_mask(each) for each in (one, two)), strict=True)
    squares = _add(_multiply(hashes[0], hashes[0]), _multiply(hashes[1], hashes[1]))
    block = _multiply(_add(_multiply(length, _add(*hashes)), _add(*masks)), _inverse(squares))
    tag = _add(_add(_multiply(block, _multiply(hashes[0], hashes[0])), _multiply(length, hashes[0])), masks[0])
    return block + tag


def _ghash_key_and_mask(sealed: Sealed) -> tuple[bytes, bytes]:
    block = Cipher(AES(sealed.chunk_key), ECB()).encryptor()  # noqa: S305  (GCM's own use of the bare cipher)
    return block.update(bytes(16)), block.update(sealed.nonce(0) + (1).to_bytes(4, "big"))


def _add(one: bytes, two: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, two, strict=True))


def _multiply(one: bytes, two: bytes) -> bytes:
    """In GF(2^128), bits as GCM orders them (NIST SP 800-38D, 6.3)."""
    left, right, product = int.from_bytes(one, "big"), int.from_bytes(two, "big"), 0
    for bit in range(127, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (0xE1 << 120 if right & 1 else 0)
    return product.to_bytes(16, "big")


def _inverse(value: bytes) -> bytes:
    """value^(2^128 - 2): the product of all its squares but the value itself."""
    product = bytes([0x80]) + bytes(15)  # one
    for _ in range(127):
        value = _multiply(value, value)
        product = _multiply(product, value)
    return product
