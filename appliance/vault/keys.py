"""Keys: derived, wrapped and sealed, each bound to what it is for. Specification: `docs/format.md`, "Keys"."""

import hashlib
import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap_with_padding, aes_key_wrap_with_padding

from ..domain.errors import Code, Problem
from .argon2 import argon2id

ENVELOPE: Final = 80
"""Bytes of an envelope: 32 encapsulated key, 32 association key, 16 tag."""

INTAKE_INFO: Final = b"bildbrief/v1/intake"
"""What an envelope is sealed for (HPKE's info)."""

_HPKE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class WrongWrap(Problem):
    """A wrapped key that is not one of ours, is altered, or is used for something it was not wrapped for."""

    def __init__(self) -> None:
        super().__init__(Code.DAMAGED, "A stored key does not fit its purpose; the file or the database has been altered.")


class Context:
    """What a key is wrapped for: purpose, then ids and numbers. Each part goes in with its length, so no two contexts are spelled alike."""

    __slots__ = ("digest",)

    def __init__(self, purpose: str, *parts: bytes) -> None:
        self.digest = hashlib.new("sha512_256", encode(purpose.encode(), *parts)).digest()


def encode(*parts: bytes) -> bytes:
    """Parts, each behind its length in 4 bytes, big-endian."""
    return b"".join(len(part).to_bytes(4) + part for part in parts)


def new_key() -> bytes:
    """32 bytes of the system's generator."""
    return os.urandom(32)


def new_id() -> str:
    """A fresh id: 32 hexadecimal digits."""
    return os.urandom(16).hex()


def wrap(kek: bytes, key: bytes, context: Context) -> bytes:
    """AES-256-KWP (RFC 5649) of key ‖ SHA-512/256(context)."""
    return aes_key_wrap_with_padding(kek, key + context.digest)


def unwrap(kek: bytes, wrapped: bytes, context: Context) -> bytes:
    """The wrapped key. WrongWrap if it was not wrapped under this key for this context."""
    try:
        plain = aes_key_unwrap_with_padding(kek, wrapped)
    except (InvalidUnwrap, ValueError):
        raise WrongWrap from None
    return split(plain, context)


def split(plain: bytes, context: Context) -> bytes:
    """The key in what a wrap held. Errors: WrongWrap if it was not wrapped for this context."""
    key, digest = plain[:-32], plain[-32:]
    if not key or not hmac.compare_digest(digest, context.digest):
        raise WrongWrap
    return key


def derive(key: bytes, label: str, *parts: bytes, length: int = 32) -> bytes:
    """HKDF-Expand-SHA-512 (RFC 5869) of a key under a label and parts: label ‖ 00 ‖ the parts, each behind its length."""
    return HKDFExpand(SHA512(), length, label.encode() + b"\x00" + encode(*parts)).derive(key)


def tag(key: bytes, *parts: bytes) -> bytes:
    """A keyed hash to find a row again: HMAC-SHA-256 of the parts, each behind its length, cut to 16 bytes."""
    return hmac.digest(key, encode(*parts), "sha256")[:16]


def object_key(association_key: bytes, object_id: bytes) -> bytes:
    """The key of a received object: HKDF-Expand-SHA-512(AK, "bildbrief/v1/object" ‖ 00 ‖ object id, 32)."""
    return HKDFExpand(SHA512(), 32, b"bildbrief/v1/object\x00" + object_id).derive(association_key)


def manifest_key(study_key: bytes, study_id: str, object_id: str) -> bytes:
    """The key of a study's manifest, which must open with nothing but the ring."""
    return derive(study_key, "bildbrief/v1/manifest", bytes.fromhex(study_id), bytes.fromhex(object_id))


def wrap_object_key(study_key: bytes, key: bytes, study_id: str, object_id: str, kind: int) -> bytes:
    """An object's key under its study's key."""
    return wrap(study_key, key, _object_context(study_id, object_id, kind))


def unwrap_object_key(study_key: bytes, wrapped: bytes, study_id: str, object_id: str, kind: int) -> bytes:
    """The object's key. WrongWrap for another study, object or kind."""
    return unwrap(study_key, wrapped, _object_context(study_id, object_id, kind))


def _object_context(study_id: str, object_id: str, kind: int) -> Context:
    return Context("bildbrief/v1/object-key", bytes.fromhex(study_id), bytes.fromhex(object_id), bytes([kind]))


def new_pair() -> tuple[bytes, bytes]:
    """A fresh intake pair: private and public half, 32 bytes each."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def seal_to(public: bytes, key: bytes, info: bytes) -> bytes:
    """Seal a key to a public intake key: HPKE base mode (RFC 9180), X25519, HKDF-SHA-256, AES-256-GCM."""
    return _HPKE.encrypt(key, X25519PublicKey.from_public_bytes(public), info)


def open_envelope(private: bytes, envelope: bytes, info: bytes) -> bytes:
    """The key in an envelope. WrongWrap if it was not sealed to this pair with this info."""
    try:
        return _HPKE.decrypt(envelope, X25519PrivateKey.from_private_bytes(private), info)
    except (InvalidTag, ValueError):
        raise WrongWrap from None


class SelfTestFailed(Problem):
    """A primitive of this installation gives another answer than it must: nothing may be sealed with it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            Code.UNAVAILABLE, "The cryptography of this installation gives wrong answers (%(what)s). Do not use it.", what=what
        )


def self_test() -> None:
    """Known answers, at the start of every process that uses keys. SelfTestFailed names the primitive that is wrong."""
    for what, right in (
        ("AES-256-GCM", _gcm_is_right),
        ("HKDF-SHA-512", _hkdf_is_right),
        ("AES-KWP", _kwp_is_right),
        ("Argon2id", _argon2_is_right),
    ):
        if not right():
            raise SelfTestFailed(what)


def _gcm_is_right() -> bool:
    # Test case 14 of the GCM specification (McGrew and Viega): zero key, nonce and block.
    cipher, nonce, plain = AESGCM(bytes(32)), bytes(12), bytes(16)
    sealed = bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
    into = bytearray(32)
    cipher.encrypt_into(nonce, plain, None, into)
    try:
        cipher.decrypt(nonce, sealed[:-1] + b"\x18", None)
    except InvalidTag:
        return into == sealed == cipher.encrypt(nonce, plain, None) and cipher.decrypt(nonce, sealed, None) == plain
    return False


def _hkdf_is_right() -> bool:
    # HKDF-Expand is HMAC in a chain (RFC 5869, 2.3), which Python computes without this library.
    key, info = b"\x0b" * 32, b"info"
    first = hmac.digest(key, info + b"\x01", "sha512")
    second = hmac.digest(key, first + info + b"\x02", "sha512")
    return HKDFExpand(SHA512(), 76, info).derive(key) == (first + second)[:76]


def _kwp_is_right() -> bool:
    # RFC 5649, 6: 20 octets of key data with a 192-bit KEK.
    kek = bytes.fromhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
    key = bytes.fromhex("c37b7e6492584340bed12207808941155068f738")
    wrapped = bytes.fromhex("138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a")
    try:
        aes_key_unwrap_with_padding(kek, wrapped[:-1] + b"\x6b")
    except InvalidUnwrap:
        return aes_key_wrap_with_padding(kek, key) == wrapped and aes_key_unwrap_with_padding(kek, wrapped) == key
    return False


def _argon2_is_right() -> bool:
    # RFC 9106, 5.3.
    derived = argon2id(b"\x01" * 32, salt=b"\x02" * 16, memory_kib=32, passes=3, lanes=4, secret=b"\x03" * 8, ad=b"\x04" * 12)
    return derived.hex() == "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
