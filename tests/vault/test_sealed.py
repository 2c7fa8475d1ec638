"""The sealed object, version 1: what was sealed comes back, and nothing else ever does."""

import hashlib
import hmac
import io
import os
import threading
from collections.abc import Iterator
from functools import cache
from random import Random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.errors import Code, Problem
from appliance.vault.blobs import Bytes
from appliance.vault.sealed import CHUNK, HEADER, LIMIT, STEP, TAG, Damaged, Kind, Reader, Writer, plain_length, sealed_length

OBJECT = bytes(range(16))
KEY = bytes(range(32, 64))
SMALL = b"Alice's report"
BOUNDARIES = [
    0,
    1,
    15,
    16,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK - 1,
    2 * CHUNK,
    2 * CHUNK + 1,
    16 * CHUNK,
    16 * CHUNK + 7,
    33 * CHUNK + 5,
]


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


def by_the_book(plain: bytes, salt: bytes, kind: int) -> bytes:
    """docs/format.md once more, from its words, with HMAC alone for the derivation."""
    head = bytes.fromhex("894242460d0a1a0a0101000000000000") + OBJECT
    info = b"bildbrief.sealed-object.v1\x00" + salt + head + bytes([kind])
    first = hmac.digest(KEY, info + b"\x01", "sha512")
    derived = (first + hmac.digest(KEY, first + info + b"\x02", "sha512"))[:76]
    key, base, commitment = derived[:32], derived[32:44], derived[44:]
    out = head + salt + commitment
    for number in range(len(plain) // 65536 + 1):
        nonce = bytes(a ^ b for a, b in zip(base, number.to_bytes(12, "big"), strict=True))
        out += AESGCM(key).encrypt(nonce, plain[number * 65536 : (number + 1) * 65536], b"")
    return out


@pytest.mark.parametrize("length", BOUNDARIES)
def test_round_trip(length: int) -> None:
    plain = noise(length)
    sealed = seal(plain)
    assert len(sealed) == sealed_length(length)
    assert plain_length(len(sealed)) == length
    assert reader(sealed).length == length
    assert opened(sealed) == plain


@pytest.mark.parametrize("length", [0, 14, CHUNK, 2 * CHUNK + 9])
@pytest.mark.parametrize("kind", list(Kind))
def test_the_bytes_are_those_of_the_specification(length: int, kind: Kind) -> None:
    plain, salt = noise(length), noise(24)
    assert seal(plain, kind=kind, salt=salt) == by_the_book(plain, salt, kind)


def test_the_format_never_changes() -> None:
    """A known answer: objects sealed years ago must open."""
    sealed = seal(SMALL, salt=bytes(24))
    assert hashlib.sha256(sealed).hexdigest() == "91b09ea8dd2fdfacef0279ba4351eaaaa9ef81c51e341cc4bafbeff2bca8f9e3"


def test_a_fresh_salt_each_time() -> None:
    assert seal(SMALL) != seal(SMALL)


@given(st.lists(st.integers(0, 3 * CHUNK), max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_any_way_of_writing_gives_the_same_object(lengths: list[int], dice: Random) -> None:
    pieces = [noise(length) for length in lengths]
    sink = io.BytesIO()
    writer = Writer(sink, object_id=OBJECT, key=KEY, kind=Kind.DICOM, random=lambda count: bytes(count))
    for piece in pieces:
        if dice.random() < 0.5:
            writer.write(memoryview(piece))
            continue
        rest = piece  # as a socket's recv_into does
        while rest:
            free = writer.buffer()
            assert 0 < len(free) <= CHUNK
            count = min(len(free), len(rest), dice.randint(1, CHUNK))
            free[:count] = rest[:count]
            writer.advance(count)
            rest = rest[count:]
    writer.finish()
    assert sink.getvalue() == seal(b"".join(pieces), salt=bytes(24))


def test_writing_needs_room_for_one_chunk_only() -> None:
    sizes: list[int] = []

    class Sink:
        def write(self, data: bytes | bytearray | memoryview) -> None:
            sizes.append(len(data))

    writer = Writer(Sink(), object_id=OBJECT, key=KEY, kind=Kind.DICOM)
    piece = noise(7 * CHUNK + 3)
    for _ in range(4):
        writer.write(piece)
    writer.finish()
    assert max(sizes) == STEP
    assert sum(sizes) == sealed_length(4 * len(piece))


def test_no_object_grows_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIMIT == 2**48  # 2^32 chunks: the 96-bit counter is far from wrapping
    monkeypatch.setattr("appliance.vault.sealed.LIMIT", 2 * CHUNK)
    assert opened(seal(bytes(2 * CHUNK - 1))) == bytes(2 * CHUNK - 1)
    with pytest.raises(Problem) as caught:
        seal(bytes(2 * CHUNK))
    assert caught.value.code is Code.TOO_LARGE


@pytest.mark.parametrize(("object_id", "key"), [(OBJECT[1:], KEY), (OBJECT, KEY[1:]), (OBJECT, KEY + b"\0")])
def test_keys_and_ids_of_other_lengths_are_refused(object_id: bytes, key: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        seal(SMALL, object_id=object_id, key=key)


# -- ranges ---------------------------------------------------------------------------------------------------------


@cache
def long() -> tuple[bytes, bytes]:
    plain = noise(35 * CHUNK + 77)
    return plain, seal(plain)


near = st.integers(0, 36).flatmap(lambda chunk: st.integers(-2, 2).map(lambda by: max(0, chunk * CHUNK + by)))


@given(near | st.integers(0, 36 * CHUNK), near | st.integers(0, 36 * CHUNK) | st.none())
@settings(max_examples=150, deadline=None)
def test_any_range(start: int, stop: int | None) -> None:
    plain, sealed = long()
    assert b"".join(reader(sealed).read(start, stop)) == plain[start:stop]


@pytest.mark.parametrize("length", [0, 1, CHUNK, 2 * CHUNK])
def test_ranges_at_the_end(length: int) -> None:
    plain = noise(length)
    ends = [0, 1, length - 1, length, length + 1, length + CHUNK]
    for start in (at for at in ends if at >= 0):
        for stop in (at for at in ends if at >= 0):
            assert b"".join(reader(seal(plain)).read(start, stop)) == plain[start:stop]
    with pytest.raises(ValueError, match="begins"):
        list(reader(seal(plain)).read(-1))


class Counting(Bytes):
    """Remembers what was read, as (offset, length)."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reads: list[tuple[int, int]] = []

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return super().read_at(offset, length)


def test_reads_no_more_than_the_range_needs_and_the_last_chunk_once() -> None:
    source = Counting(long()[1])
    found = Reader(source, object_id=OBJECT, key=KEY, kind=Kind.DICOM)
    assert source.reads == [(0, HEADER), (HEADER + 35 * STEP, 77 + TAG)]
    source.reads.clear()
    b"".join(found.read(5 * CHUNK + 1, 6 * CHUNK))
    assert source.reads == [(HEADER + 5 * STEP, STEP)]
    source.reads.clear()
    b"".join(found.read(35 * CHUNK + 1))
    assert source.reads == []
    b"".join(found.read())
    assert [length for _, length in source.reads] == [16 * STEP, 16 * STEP, 3 * STEP]


def test_threads_may_share_a_reader() -> None:
    plain, sealed = long()
    shared = reader(sealed)
    wrong: list[int] = []

    def read(seed: int) -> None:
        dice = Random(seed)
        for _ in range(15):
            start = dice.randrange(len(plain))
            stop = start + dice.randrange(3 * CHUNK)
            if b"".join(shared.read(start, stop)) != plain[start:stop]:
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_read_all_has_a_limit() -> None:
    assert reader(seal(SMALL)).read_all(len(SMALL)) == SMALL
    with pytest.raises(Problem) as caught:
        reader(seal(SMALL)).read_all(len(SMALL) - 1)
    assert caught.value.code is Code.TOO_LARGE


# -- damage ---------------------------------------------------------------------------------------------------------


def test_every_bit_of_a_small_object_counts() -> None:
    sealed = seal(SMALL)
    for bit in range(len(sealed) * 8):
        byte = bit // 8
        expected = "header" if byte < 32 else "commitment" if byte < HEADER else "chunk 0"
        assert where(flipped(sealed, bit)) == expected, bit


def test_every_length_of_a_small_object_counts() -> None:
    sealed = seal(SMALL)
    for length in range(len(sealed)):
        expected = "truncated" if length < HEADER + TAG else "chunk 0"
        assert where(sealed[:length]) == expected, length
    assert where(sealed + b"\0") == "chunk 0"


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK, 3 * CHUNK + 100])
def test_cuts_at_and_around_each_chunk_boundary(length: int) -> None:
    sealed = seal(noise(length))
    for boundary in range(HEADER, len(sealed) + STEP, STEP):
        for cut in range(boundary - TAG - 1, boundary + TAG + 2):
            if cut < len(sealed):
                assert where(sealed[:cut]).startswith(("chunk", "truncated")), cut


@pytest.mark.parametrize("chunks", [1, 2])
def test_a_cut_behind_a_whole_chunk_is_no_shorter_object(chunks: int) -> None:
    sealed = seal(noise(3 * CHUNK))
    assert where(sealed[: HEADER + chunks * STEP]) == "truncated"
    assert where(sealed[: HEADER + chunks * STEP] + sealed[-TAG:]) == f"chunk {chunks}"


def changes(sealed: bytes) -> Iterator[tuple[str, bytes]]:
    head, one, two, last = sealed[:HEADER], sealed[HEADER:][:STEP], sealed[HEADER + STEP :][:STEP], sealed[HEADER + 2 * STEP :]
    yield "chunk 0", head + two + one + last
    yield "chunk 1", head + one + one + last
    yield "chunk 1", head + one + last
    yield "chunk 3", head + one + two + two + last
    yield "chunk 2", head + one + two + last[:-1]
    yield "chunk 2", head + one + two + last + b"\0"


@pytest.mark.parametrize("number", range(6))
def test_chunks_stay_in_their_places(number: int) -> None:
    expected, changed = list(changes(seal(noise(2 * CHUNK + 99))))[number]
    assert where(changed) == expected


def test_chunks_of_two_objects_do_not_mix() -> None:
    one, two = seal(noise(2 * CHUNK)), seal(noise(2 * CHUNK))
    assert where(one[:HEADER] + two[HEADER:]) == "chunk 2"
    assert where(one[: HEADER + STEP] + two[HEADER + STEP : HEADER + 2 * STEP] + one[HEADER + 2 * STEP :]) == "chunk 1"
    assert where(two[:HEADER] + one[HEADER:]) == "chunk 2"


def test_pieces_before_the_damage_are_whole_and_right_and_nothing_follows() -> None:
    plain, sealed = long()
    found: list[bytes] = []
    with pytest.raises(Damaged) as caught:
        for piece in reader(flipped(sealed, (HEADER + 20 * STEP + 5) * 8)).read():
            found.append(piece)  # noqa: PERF402  (what came before the error counts)
    assert caught.value.where == "chunk 20"
    assert b"".join(found) == plain[: 20 * CHUNK]


def test_only_the_right_object_key_and_kind_open_it() -> None:
    sealed = seal(SMALL, kind=Kind.REPORT)
    assert b"".join(reader(sealed, kind=Kind.REPORT).read()) == SMALL
    for kind in set(Kind) - {Kind.REPORT}:
        with pytest.raises(Damaged, match="commitment"):
            reader(sealed, kind=kind)
    for bit in range(256):
        with pytest.raises(Damaged, match="commitment"):
            reader(sealed, kind=Kind.REPORT, key=flipped(KEY, bit))
    for bit in range(128):
        with pytest.raises(Damaged, match="header"):
            reader(sealed, kind=Kind.REPORT, object_id=flipped(OBJECT, bit))


def test_a_source_that_lies_about_its_size_is_noticed() -> None:
    plain = noise(3 * CHUNK)

    class Lying(Bytes):
        def __init__(self, content: bytes, size: int) -> None:
            super().__init__(content)
            self.size = size

    sealed = seal(plain)
    for size in (len(sealed) - STEP, len(sealed) + STEP, len(sealed) - 1):
        with pytest.raises(Damaged):
            list(Reader(Lying(sealed, size), object_id=OBJECT, key=KEY, kind=Kind.DICOM).read())
    shrunk = Lying(sealed, len(sealed))
    shared = Reader(shrunk, object_id=OBJECT, key=KEY, kind=Kind.DICOM)
    shrunk._content = sealed[: HEADER + STEP + 9]
    with pytest.raises(Damaged, match="truncated"):
        list(shared.read())
