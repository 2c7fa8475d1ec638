"""The scenarios of wraps, derivations, envelopes and slots: docs/format.md, "Keys", "Intake" and "Shares"."""

from collections.abc import Iterator
from typing import Final

from book import derive, digest, expand, lp, wrap
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.keywrap import aes_key_wrap, aes_key_wrap_with_padding
from vector import Vector, sha256

KEK: Final = bytes(range(0x60, 0x80))
KEY: Final = bytes(range(32))
STUDY, OBJECT, SHARE, OTHER = (bytes([start]) * 16 for start in (0x0A, 0x0B, 0x0C, 0x0D))
MONTH, INTAKE_KEY, RECORD = b"2026-11", bytes([0, 0, 0, 7]), digest(b"the record of a share")
CODE, PASSWORD, PEPPER, SALT = b"123456789012345678", b"ALICE12345", bytes(range(0x80, 0xA0)), bytes(range(16))

WRAPS: Final = {
    "epoch-key": (KEY, [MONTH]),
    "study-key": (KEY, [MONTH, STUDY]),
    "object-key": (KEY, [STUDY, OBJECT, b"\4"]),
    "share-key": (KEY, [SHARE]),
    "slot": (KEY, [SHARE]),
    "share-study": (KEY, [SHARE, STUDY, RECORD]),
    "access-code": (CODE, [SHARE]),
    "intake-key": (KEY, [INTAKE_KEY]),
    "secret": (KEY, [b"pepper"]),
    "sealed-master-key": (KEY, []),
}

# label: what is spelled behind it, each part with its length or bare, and how many bytes come of it
DERIVATIONS: Final = {
    "bildbrief/v1/object": ("bare", [OBJECT], 32),
    "bildbrief/v1/manifest": ("parts", [STUDY, OBJECT], 32),
    "bildbrief/v1/column": ("parts", [b"studies", STUDY.hex().encode()], 32),
    "bildbrief/v1/slot": ("parts", [SHARE], 64),
    "bildbrief/v1/study-id": ("parts", [bytes(range(16)), OBJECT.hex().encode()], 16),
    "bildbrief/v1/series-id": ("parts", [bytes(range(16))], 16),
    "bildbrief/v1/master-key-tag": ("parts", [], 16),
    "bildbrief.sealed-object.v1": ("bare", [bytes(24), b"\x89BBF\r\n\x1a\n\1\1", bytes(6), OBJECT, b"\1"], 76),
}

# HPKE draws a key of its own for each envelope, so this one was made once. Its content is KEY.
PRIVATE: Final = bytes(range(0xA0, 0xC0))
ENVELOPE: Final = bytes.fromhex(
    "a634c2b5b9c0e30132ac1cac733ee12e89a29b28e3e7ff8b74534509ea467c687d826a7ce8a90248"
    "b70585b9d8155f3bc5f11a4b1cac87c6009a91de5181ae66ea5dadebf8b7f2ec9af0c77dd50edda6"
)

Row = tuple[str, dict[str, str], bytes]


def vectors() -> list[Vector]:
    rows = [*_wraps(), *_derivations(), *_envelopes(), *_slots()]
    return [Vector(name, fields, body) for name, fields, body in rows]


def _told(opened: bytes | None) -> dict[str, str]:
    return {"expect": "refused" if opened is None else "success", "plain": sha256(opened or b"")}


def _flip(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def _hex(parts: list[bytes]) -> str:
    return " ".join(part.hex() or "-" for part in parts)


def _wraps() -> Iterator[Row]:
    def row(name: str, opened: bytes | None, body: bytes, comment: str, purpose: str, parts: list[bytes], kek: bytes = KEK) -> Row:
        asked = {"kek": kek.hex(), "purpose": f"bildbrief/v1/{purpose}", "parts": _hex(parts), "comment": comment}
        return f"wraps/{name}", _told(opened) | asked, body

    for purpose, (key, parts) in WRAPS.items():
        yield row(purpose, key, wrap(KEK, key, f"bildbrief/v1/{purpose}", *parts), "as the specification has it", purpose, parts)

    usual = [STUDY, OBJECT, b"\4"]
    right = wrap(KEK, KEY, "bildbrief/v1/object-key", *usual)
    for name, purpose, parts, comment in (
        ("asked_other_study", "object-key", [OTHER, OBJECT, b"\4"], "a row copied to another study"),
        ("asked_other_object", "object-key", [STUDY, OTHER, b"\4"], "a row copied to another object"),
        ("asked_other_kind", "object-key", [STUDY, OBJECT, b"\5"], "a report given out as a picture"),
        ("asked_swapped", "object-key", [OBJECT, STUDY, b"\4"], "ids in the other order"),
        ("asked_one_part_less", "object-key", [STUDY, OBJECT], "the kind left out"),
        ("asked_one_part_more", "object-key", [*usual, b""], "an empty part behind"),
        ("asked_joined", "object-key", [STUDY + OBJECT, b"\4"], "the same bytes, cut into other parts"),
        ("asked_other_purpose", "share-study", usual, "the same parts for another purpose"),
        ("asked_purpose_and_part", "object-keyx", usual, "a longer purpose"),
    ):
        yield row(name, None, right, comment, purpose, parts)
    yield row("asked_other_kek", None, right, "another wrapping key", "object-key", usual, KEY)
    month = wrap(KEK, KEY, "bildbrief/v1/epoch-key", MONTH)
    yield row("asked_other_month", None, month, "last month's key", "epoch-key", [b"2026-10"])
    study = wrap(KEK, KEY, "bildbrief/v1/share-study", SHARE, STUDY, RECORD)
    yield row("asked_other_record", None, study, "the record of the share was edited", "share-study", [SHARE, STUDY, digest(b"another")])

    for name, body, comment in (
        ("first_bit", _flip(right, 0), "altered"),
        ("middle_bit", _flip(right, 36), "altered"),
        ("last_bit", _flip(right, -1), "altered"),
        ("empty", b"", "nothing"),
        ("one_block", right[:8], "cut"),
        ("two_blocks", right[:16], "cut to the shortest that KWP knows"),
        ("cut_by_block", right[:-8], "cut by a block"),
        ("cut_by_one", right[:-1], "cut by a byte"),
        ("one_block_more", right + bytes(8), "a block more"),
        ("twice", right + right, "the wrap twice"),
        ("bare", aes_key_wrap_with_padding(KEK, KEY), "KWP of the key alone"),
        ("digest_alone", wrap(KEK, b"", "bildbrief/v1/object-key", *usual), "an empty key before the digest"),
        (
            "digest_of_sha_256",
            aes_key_wrap_with_padding(KEK, KEY + bytes.fromhex(sha256(lp(b"bildbrief/v1/object-key", *usual)))),
            "SHA-256",
        ),
        ("digest_first", aes_key_wrap_with_padding(KEK, digest(lp(b"bildbrief/v1/object-key", *usual)) + KEY), "the digest before the key"),
        ("context_without_lengths", aes_key_wrap_with_padding(KEK, KEY + digest(b"bildbrief/v1/object-key" + b"".join(usual))), "no LP"),
        ("not_padded", aes_key_wrap(KEK, KEY + digest(lp(b"bildbrief/v1/object-key", *usual))), "RFC 3394 where RFC 5649 is due"),
    ):
        yield row(name, None, body, comment, "object-key", usual)


def _derivations() -> Iterator[Row]:
    for label, (way, parts, length) in DERIVATIONS.items():
        info = label.encode() + b"\0" + (lp(*parts) if way == "parts" else b"".join(parts))
        derived = expand(KEY, info, length)
        fields = _told(derived) | {"key": KEY.hex(), "label": label, way: _hex(parts), "length": str(length)}
        yield f"derivations/{label.rpartition('/')[2]}", fields, derived


def _envelopes() -> Iterator[Row]:
    info = b"bildbrief/v1/intake"

    def row(name: str, opened: bytes | None, envelope: bytes, comment: str, private: bytes = PRIVATE, info: bytes = info) -> Row:
        return f"envelopes/{name}", _told(opened) | {"private": private.hex(), "info": info.decode(), "comment": comment}, envelope

    yield row("right", KEY, ENVELOPE, "as the receiver makes it")
    yield row("asked_other_key", None, ENVELOPE, "another day's intake key", KEK)
    yield row("asked_other_info", None, ENVELOPE, "another purpose", info=b"bildbrief/v1/intakf")
    yield row("encapsulated_key_altered", None, _flip(ENVELOPE, 0), "altered")
    yield row("encapsulated_key_zero", None, bytes(32) + ENVELOPE[32:], "a point of small order (RFC 9180, 7.1.4)")
    yield row("key_altered", None, _flip(ENVELOPE, 32), "altered")
    yield row("tag_altered", None, _flip(ENVELOPE, -1), "altered")
    yield row("cut_by_one", None, ENVELOPE[:-1], "cut")
    yield row("cut_to_encapsulated_key", None, ENVELOPE[:32], "cut")
    yield row("empty", None, b"", "nothing")
    yield row("one_more", None, ENVELOPE + b"\0", "a byte more")


def _slots() -> Iterator[Row]:
    label = "bildbrief/v1/slot"
    kdf = Argon2id(salt=SALT, length=32, iterations=3, lanes=4, memory_cost=64, ad=label.encode() + SHARE, secret=PEPPER)
    both = derive(kdf.derive(lp(CODE, PASSWORD)), label, SHARE, length=64)
    right = {"code": CODE.decode(), "password": PASSWORD.decode(), "pepper": PEPPER.hex(), "share": SHARE.hex(), "salt": SALT.hex()}
    right |= {"memory_kib": "64", "passes": "3", "lanes": "4", "verifier": both[32:].hex()}
    slot_key = wrap(both[:32], KEY, label, SHARE)

    def row(name: str, opened: bytes | None, comment: str, body: bytes = slot_key, **changed: str) -> Row:
        return f"slots/{name}", _told(opened) | right | changed | {"comment": comment}, body

    yield row("right", KEY, "little memory, so that it is quick")
    yield row("other_code", None, "one digit is wrong", code="123456789012345679")
    yield row("other_password", None, "one sign is wrong", password="ALICE12346")
    yield row(
        "other_cut", None, "the same signs, a digit moved from the code to the password", code=CODE.decode()[:-1], password="8ALICE12345"
    )
    yield row("other_pepper", None, "a stolen database without the key volume", pepper=KEY.hex())
    yield row("other_share", None, "a slot copied to another share", share=OTHER.hex())
    yield row("other_salt", None, "altered", salt=OTHER.hex())
    yield row("other_cost", None, "altered", passes="2")
    yield row("verifier_altered", None, "altered", verifier=_flip(both[32:], 0).hex())
    yield row("wrap_altered", None, "code and password are right, the wrap is altered", _flip(slot_key, 40))
