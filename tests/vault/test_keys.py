"""Keys open what they were made for, in the place they were made for, and nothing else."""

import hashlib
import hmac
import os
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.errors import Code
from appliance.vault import keys
from appliance.vault.keys import Context, WrongWrap

KEK, KEY = b"k" * 32, bytes(range(32))
STUDY, OTHER_STUDY = "0a" * 16, "0b" * 16
OBJECT, OTHER_OBJECT = "1c" * 16, "1d" * 16

parts = st.lists(st.binary(max_size=6), max_size=4)


# -- contexts -------------------------------------------------------------------------------------------------------


@given(parts, parts)
def test_no_two_lists_of_parts_are_spelled_alike(one: list[bytes], two: list[bytes]) -> None:
    assert (keys.encode(*one) == keys.encode(*two)) == (one == two)


def test_the_encoding_is_the_specified_one() -> None:
    assert keys.encode(b"ab", b"", b"c").hex() == "000000026162000000000000000163"
    assert keys.encode() == b""


# -- wraps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 18, 31, 32, 33, 60, 64])
def test_wrap_and_unwrap(length: int) -> None:
    key, context = os.urandom(length), Context("bildbrief/v1/test", b"a")
    wrapped = keys.wrap(KEK, key, context)
    assert len(wrapped) == (length + 32 + 7) // 8 * 8 + 8
    assert keys.unwrap(KEK, wrapped, context) == key


def test_a_wrap_is_kwp_of_the_key_and_the_contexts_digest() -> None:
    """Byte for byte as specified, so that an HSM's KWP can do it."""
    context = Context("bildbrief/v1/test", b"ab", b"c")
    spelled = b"\x00\x00\x00\x11bildbrief/v1/test\x00\x00\x00\x02ab\x00\x00\x00\x01c"
    assert context.digest == hashlib.new("sha512_256", spelled).digest()
    plain = keywrap.aes_key_unwrap_with_padding(KEK, keys.wrap(KEK, KEY, context))
    assert plain == KEY + context.digest


@pytest.mark.parametrize(
    "other",
    [Context("bildbrief/v1/tesu", b"a", b"b"), Context("bildbrief/v1/test", b"ab"), Context("bildbrief/v1/test", b"a"),
     Context("bildbrief/v1/test", b"b", b"a"), Context("bildbrief/v1/test", b"a", b"b", b""), Context("bildbrief/v1/testa", b"b")],
)  # fmt: skip
def test_another_context_refuses(other: Context) -> None:
    wrapped = keys.wrap(KEK, KEY, Context("bildbrief/v1/test", b"a", b"b"))
    with pytest.raises(WrongWrap):
        keys.unwrap(KEK, wrapped, other)


def test_every_bit_and_every_length_of_a_wrap_counts() -> None:
    context = Context("bildbrief/v1/test", b"a")
    wrapped = keys.wrap(KEK, KEY, context)
    for bit in range(len(wrapped) * 8):
        altered = bytearray(wrapped)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WrongWrap):
            keys.unwrap(KEK, bytes(altered), context)
    for length in range(len(wrapped)):
        with pytest.raises(WrongWrap):
            keys.unwrap(KEK, wrapped[:length], context)
    with pytest.raises(WrongWrap):
        keys.unwrap(KEK, wrapped + bytes(8), context)
    with pytest.raises(WrongWrap):
        keys.unwrap(b"K" * 32, wrapped, context)


def test_a_bare_kwp_wrap_without_our_digest_is_none_of_ours() -> None:
    for plain in (KEY, KEY[:16], Context("bildbrief/v1/test").digest):
        with pytest.raises(WrongWrap) as caught:
            keys.unwrap(KEK, keywrap.aes_key_wrap_with_padding(KEK, plain), Context("bildbrief/v1/test"))
        assert caught.value.code is Code.DAMAGED


@pytest.mark.parametrize(
    ("study_id", "object_id", "kind"), [(OTHER_STUDY, OBJECT, 4), (STUDY, OTHER_OBJECT, 4), (STUDY, OBJECT, 5), (OBJECT, STUDY, 4)]
)
def test_an_object_key_fits_its_study_object_and_kind(study_id: str, object_id: str, kind: int) -> None:
    wrapped = keys.wrap_object_key(KEK, KEY, STUDY, OBJECT, 4)
    assert keys.unwrap_object_key(KEK, wrapped, STUDY, OBJECT, 4) == KEY
    with pytest.raises(WrongWrap):
        keys.unwrap_object_key(KEK, wrapped, study_id, object_id, kind)


# -- derivations ----------------------------------------------------------------------------------------------------


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand-SHA-512 from RFC 5869, 2.3."""
    out, block = b"", b""
    while len(out) < length:
        block = hmac.digest(key, block + info + bytes([len(out) // 64 + 1]), "sha512")
        out += block
    return out[:length]


def test_derivations_are_the_specified_ones() -> None:
    study, thing = bytes.fromhex(STUDY), bytes.fromhex(OBJECT)
    assert keys.derive(KEY, "a/label", b"x", b"", length=100) == expand(KEY, b"a/label\0\0\0\0\x01x\0\0\0\0", 100)
    assert keys.object_key(KEY, thing) == expand(KEY, b"bildbrief/v1/object\0" + thing, 32)
    assert keys.manifest_key(KEY, STUDY, OBJECT) == expand(KEY, b"bildbrief/v1/manifest\0" + keys.encode(study, thing), 32)
    assert keys.tag(KEY, b"study", b"1.2.3") == hmac.digest(KEY, keys.encode(b"study", b"1.2.3"), "sha256")[:16]


def test_every_purpose_and_id_has_a_key_of_its_own() -> None:
    made = [
        keys.derive(KEY, "one"), keys.derive(KEY, "two"), keys.derive(KEY, "one", b""), keys.derive(KEY, "one", b"a", b"b"),
        keys.derive(KEY, "one", b"ab"), keys.derive(KEY, "one", b"", b"ab"), keys.derive(KEK, "one"),
        keys.object_key(KEY, bytes.fromhex(OBJECT)), keys.object_key(KEY, bytes.fromhex(OTHER_OBJECT)),
        keys.manifest_key(KEY, STUDY, OBJECT), keys.manifest_key(KEY, OTHER_STUDY, OBJECT), keys.manifest_key(KEY, STUDY, OTHER_OBJECT),
    ]  # fmt: skip
    assert len(set(made)) == len(made)
    assert len({keys.tag(KEY, b"ab"), keys.tag(KEY, b"a", b"b"), keys.tag(KEY, b"", b"ab"), keys.tag(KEK, b"ab")}) == 4


def test_fresh_keys_and_ids_differ() -> None:
    assert len({keys.new_key() for _ in range(100)}) == 100
    ids = {keys.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(bytes.fromhex(fresh)) == 16 for fresh in ids)


# -- envelopes ------------------------------------------------------------------------------------------------------


def test_an_envelope_opens_only_with_its_pair_and_info() -> None:
    private, public = keys.new_pair()
    envelope = keys.seal_to(public, KEY, keys.INTAKE_INFO)
    assert len(envelope) == keys.ENVELOPE
    assert KEY not in envelope
    assert keys.open_envelope(private, envelope, keys.INTAKE_INFO) == KEY
    assert keys.seal_to(public, KEY, keys.INTAKE_INFO) != envelope
    with pytest.raises(WrongWrap):
        keys.open_envelope(keys.new_pair()[0], envelope, keys.INTAKE_INFO)
    with pytest.raises(WrongWrap):
        keys.open_envelope(private, envelope, b"something else")


def test_every_byte_and_every_length_of_an_envelope_counts() -> None:
    private, public = keys.new_pair()
    envelope = keys.seal_to(public, KEY, keys.INTAKE_INFO)
    for at in range(len(envelope)):
        altered = bytearray(envelope)
        altered[at] ^= 1
        with pytest.raises(WrongWrap):
            keys.open_envelope(private, bytes(altered), keys.INTAKE_INFO)
    for wrong in [envelope[:length] for length in range(len(envelope))] + [envelope + b"\0", bytes(len(envelope))]:
        with pytest.raises(WrongWrap):
            keys.open_envelope(private, wrong, keys.INTAKE_INFO)


def test_an_envelope_is_rfc_9180_base_mode() -> None:
    """Opened from the words of the RFC, with nothing of the library's HPKE."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    def labelled(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:  # LabeledExtract
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")

    def stretched(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:  # LabeledExpand, one block
        return hmac.digest(key, length.to_bytes(2) + b"HPKE-v1" + suite + label + info + b"\x01", "sha256")[:length]

    private, public = keys.new_pair()
    envelope = keys.seal_to(public, KEY, keys.INTAKE_INFO)
    encapsulated, sealed = envelope[:32], envelope[32:]
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"  # X25519; with HKDF-SHA-256 and AES-256-GCM
    shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(encapsulated))
    secret = stretched(kem, labelled(kem, b"", b"eae_prk", shared), b"shared_secret", encapsulated + public, 32)
    schedule = b"\0" + labelled(suite, b"", b"psk_id_hash", b"") + labelled(suite, b"", b"info_hash", keys.INTAKE_INFO)
    base = labelled(suite, secret, b"secret", b"")
    cipher = AESGCM(stretched(suite, base, b"key", schedule, 32))
    assert cipher.decrypt(stretched(suite, base, b"base_nonce", schedule, 12), sealed, b"") == KEY


# -- self test ------------------------------------------------------------------------------------------------------


def test_the_self_test_passes_here() -> None:
    keys.self_test()


class WrongGcm:
    """Leaves out the authentication."""

    def __init__(self, key: bytes) -> None:
        self.real = AESGCM(key)

    def encrypt(self, *arguments: bytes) -> bytes:
        return self.real.encrypt(*arguments)

    def encrypt_into(self, *arguments: bytes) -> int:
        return self.real.encrypt_into(*arguments)

    def decrypt(self, nonce: bytes, data: bytes, associated: bytes | None) -> bytes:
        try:
            return self.real.decrypt(nonce, data, associated)
        except InvalidTag:
            return bytes(16)


class WrongExpand:
    """HKDF-Expand that forgets the block before."""

    def __init__(self, _: object, length: int, info: bytes) -> None:
        self.length, self.info = length, info

    def derive(self, key: bytes) -> bytes:
        blocks = [hmac.digest(key, self.info + bytes([number]), "sha512") for number in (1, 2)]
        return b"".join(blocks)[: self.length]


def ignored(*_: object, **__: object) -> bytes:
    return bytes(32)


@pytest.mark.parametrize(
    ("primitive", "name", "broken"),
    [
        ("AES-256-GCM", "AESGCM", WrongGcm),
        ("HKDF-SHA-512", "HKDFExpand", WrongExpand),
        ("AES-KWP", "aes_key_wrap_with_padding", ignored),
        ("AES-KWP", "aes_key_unwrap_with_padding", ignored),
        ("Argon2id", "argon2id", ignored),
    ],
)
def test_the_self_test_notices_a_broken_primitive(
    monkeypatch: pytest.MonkeyPatch, primitive: str, name: str, broken: Callable[..., object]
) -> None:
    monkeypatch.setattr(keys, name, broken)
    with pytest.raises(keys.SelfTestFailed, match=primitive):
        keys.self_test()
