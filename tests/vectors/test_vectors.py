"""The vectors, and two implementations that must make the same of each: ours, and `second.mjs`, which knows only docs/format.md."""

import base64
import json
import re
import subprocess
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random

import make
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from of_objects import ALICE
from programs import need, which
from vector import HERE, Vector, committed, sha256

from appliance.keyholder.slots import Slot, Slots, open_slot
from appliance.vault import keys
from appliance.vault.blobs import Bytes
from appliance.vault.keys import Context, WrongWrap
from appliance.vault.sealed import CHUNK, HEADER, Damaged, Kind, Reader, Writer

FORMAT = (HERE.parents[1] / "docs/format.md").read_text()
SECOND = HERE / "second.mjs"
SEALED, WRAPS, DERIVATIONS, ENVELOPES, SLOTS = (committed(room) for room in ("sealed", "wraps", "derivations", "envelopes", "slots"))

Found = tuple[str, str]  # what was said, and SHA-256 of what was given out


def expected(vector: Vector) -> Found:
    return vector["expect"], vector["plain"]


def name(vector: Vector) -> str:
    return vector.name


# -- the files ------------------------------------------------------------------------------------------------------


def test_the_files_are_what_the_generator_makes() -> None:
    """Compared unpacked: another zlib packs the same bytes in another way."""
    assert {vector.name: vector for vector in [*SEALED, *WRAPS, *DERIVATIONS, *ENVELOPES, *SLOTS]} == {
        vector.name: vector for vector in make.vectors()
    }


def test_no_scenario_is_missing() -> None:
    assert len(SEALED) >= 60
    classes = {vector["expect"] for vector in SEALED}
    assert classes == {"success", "header", "commitment", "truncated", *(f"chunk {number}" for number in range(5))}
    assert {int(vector["kind"]) for vector in SEALED if vector["expect"] == "success"} == set(Kind)
    wraps = set(re.findall(r"Wrap\(\w+, +[\w ]+, +\"([^\"]+)\"", FORMAT))
    assert {vector["purpose"] for vector in WRAPS if vector["expect"] == "success"} == wraps
    derivations = set(re.findall(r"(?:Derive|Expand)\([^()\"]+, \"([^\"]+)\"", FORMAT))
    assert {vector["label"] for vector in DERIVATIONS} == derivations


# -- ours -----------------------------------------------------------------------------------------------------------


def opened(vector: Vector) -> Found:
    given = BytesIO()
    try:
        reader = Reader(Bytes(vector.body), object_id=vector.bytes_of("object"), key=vector.bytes_of("key"), kind=Kind(int(vector["kind"])))
        for piece in reader.read():
            given.write(piece)
    except Damaged as damage:
        return damage.where, sha256(given.getvalue())
    return "success", sha256(given.getvalue())


@pytest.mark.parametrize("vector", SEALED, ids=name)
def test_a_sealed_object_opens_or_is_refused_as_expected(vector: Vector) -> None:
    assert opened(vector) == expected(vector)


@pytest.mark.parametrize("vector", [vector for vector in SEALED if vector["expect"] == "success"], ids=name)
def test_what_opens_seals_to_the_same_bytes(vector: Vector) -> None:
    asked = {"object_id": vector.bytes_of("object"), "key": vector.bytes_of("key"), "kind": Kind(int(vector["kind"]))}
    sink = BytesIO()
    writer = Writer(sink, **asked, random=lambda count: vector.body[32 : 32 + count])
    writer.write(Reader(Bytes(vector.body), **asked).read_all(20 * CHUNK))
    writer.finish()
    assert sink.getvalue() == vector.body


def test_the_object_of_two_keys_is_one_but_for_its_commitment() -> None:
    """Without commitment, both readers would get a text, each another."""
    first, second = (next(vector for vector in SEALED if vector.name == f"sealed/two_keys_{asked}") for asked in ("first", "second"))
    assert first.body == second.body
    texts = set()
    for vector in (first, second):
        derived = HKDFExpand(SHA512(), 76, b"bildbrief.sealed-object.v1\0" + ALICE.salt + vector.body[:32] + b"\4")
        material = derived.derive(vector.bytes_of("key"))
        texts.add(AESGCM(material[:32]).decrypt(material[32:44], vector.body[HEADER:], None))
    assert len(texts) == 2


def unwrapped(vector: Vector) -> Found:
    context = Context(vector["purpose"], *(bytes.fromhex(part.strip("-")) for part in vector["parts"].split()))
    try:
        return "success", sha256(keys.unwrap(vector.bytes_of("kek"), vector.body, context))
    except WrongWrap:
        return "refused", sha256(b"")


@pytest.mark.parametrize("vector", WRAPS, ids=name)
def test_a_wrap_opens_or_is_refused_as_expected(vector: Vector) -> None:
    assert unwrapped(vector) == expected(vector)


@pytest.mark.parametrize("vector", DERIVATIONS, ids=name)
def test_a_derivation_is_as_expected(vector: Vector) -> None:
    key, label, length = vector.bytes_of("key"), vector["label"], int(vector["length"])
    if "parts" in vector.fields:
        derived = keys.derive(key, label, *(bytes.fromhex(part) for part in vector["parts"].split()), length=length)
    else:
        derived = HKDFExpand(SHA512(), length, label.encode() + b"\0" + vector.bytes_of("bare")).derive(key)
    assert derived == vector.body


def envelope_opened(vector: Vector) -> Found:
    try:
        return "success", sha256(keys.open_envelope(vector.bytes_of("private"), vector.body, vector["info"].encode()))
    except WrongWrap:
        return "refused", sha256(b"")


@pytest.mark.parametrize("vector", ENVELOPES, ids=name)
def test_an_envelope_opens_or_is_refused_as_expected(vector: Vector) -> None:
    assert envelope_opened(vector) == expected(vector)


def slot_opened(vector: Vector) -> Found:
    memory_kib, passes, lanes = (int(vector[field]) for field in ("memory_kib", "passes", "lanes"))
    slot = Slot(vector.bytes_of("salt"), memory_kib, passes, lanes, vector.bytes_of("verifier"), vector.body)
    kek = Slots(vector.bytes_of("pepper"), memory_kib).key(slot, vector["share"], vector["code"], vector["password"])
    try:
        return ("success", sha256(open_slot(kek, vector.body, vector["share"]))) if kek else ("refused", sha256(b""))
    except WrongWrap:
        return "refused", sha256(b"")


@pytest.mark.parametrize("vector", SLOTS, ids=name)
def test_a_slot_opens_or_is_refused_as_expected(vector: Vector) -> None:
    assert slot_opened(vector) == expected(vector)


# -- the second implementation --------------------------------------------------------------------------------------


@cache
def told() -> dict[str, Found]:
    """What the second implementation makes of every vector but the slots: Node 20 has no Argon2id."""
    need("node")
    files = [HERE / vector.name for vector in [*SEALED, *WRAPS, *DERIVATIONS, *ENVELOPES]]
    done = subprocess.run([which("node"), SECOND, "open", *files], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: (line["said"], line["plain"]) for line in lines}


@pytest.mark.parametrize("vectors", [SEALED, WRAPS, DERIVATIONS, ENVELOPES], ids=["sealed", "wraps", "derivations", "envelopes"])
def test_the_second_implementation_agrees(vectors: list[Vector]) -> None:
    assert {vector.name: told()[vector.name] for vector in vectors} == {vector.name: expected(vector) for vector in vectors}


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 100])
def test_ours_opens_what_the_second_seals(length: int) -> None:
    key, object_id, plain = Random(1).randbytes(32), Random(2).randbytes(16), Random(length).randbytes(length)
    for kind in (Kind.DICOM, Kind.REPORT):
        asked = {"key": key.hex(), "object": object_id.hex(), "kind": kind, "plain": base64.b64encode(plain).decode()}
        done = subprocess.run([which("node"), SECOND, "seal"], input=json.dumps(asked), capture_output=True, text=True, check=True)
        reader = Reader(Bytes(base64.b64decode(done.stdout)), object_id=object_id, key=key, kind=kind)
        assert reader.read_all(length) == plain


def test_the_second_is_small_enough_to_be_read() -> None:
    assert len(Path(SECOND).read_text().splitlines()) <= 150
