"""The sealed object, version 1: what was sealed comes back, whole or any range of it. That nothing else ever does: `test_damage.py`."""

import hashlib
import io
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sealed_objects import KEY, OBJECT, SMALL, long, noise, opened, reader, seal

from appliance.domain.errors import Code, Problem
from appliance.vault.blobs import Bytes, open_file
from appliance.vault.sealed import CHUNK, HEADER, LIMIT, STEP, TAG, Kind, Reader, Writer, plain_length, sealed_length

BOUNDARIES = sorted({0, 1, 15, 16, 17} | {chunks * CHUNK + by for chunks in (1, 2, 15, 16, 17, 32, 33) for by in (-1, 0, 1)})


@pytest.mark.parametrize("length", BOUNDARIES)
def test_round_trip(length: int) -> None:
    plain = noise(length)
    sealed = seal(plain)
    assert len(sealed) == sealed_length(length)
    assert plain_length(len(sealed)) == length
    assert reader(sealed).length == length
    assert opened(sealed) == plain


def test_the_format_never_changes() -> None:
    """A known answer: objects sealed years ago must open."""
    sealed = seal(SMALL, salt=bytes(24))
    assert hashlib.sha256(sealed).hexdigest() == "91b09ea8dd2fdfacef0279ba4351eaaaa9ef81c51e341cc4bafbeff2bca8f9e3"


def test_a_fresh_salt_each_time() -> None:
    assert seal(SMALL) != seal(SMALL)


@given(st.integers(0, 2 * CHUNK + 2), st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16), st.sampled_from(Kind))
@settings(max_examples=100, deadline=None)
def test_what_opens_seals_to_the_same_bytes(length: int, key: bytes, object_id: bytes, kind: Kind) -> None:
    sealed = seal(noise(length), object_id=object_id, key=key, kind=kind)
    plain = reader(sealed, object_id=object_id, key=key, kind=kind).read_all(length)
    assert seal(plain, object_id=object_id, key=key, kind=kind, salt=sealed[32:56]) == sealed


def broken(_: int) -> bytes:
    raise OSError("no randomness")


@pytest.mark.parametrize(
    ("random", "error"), [(broken, OSError), (lambda count: bytes(count - 1), ValueError), (lambda count: bytes(count + 1), ValueError)]
)
def test_without_randomness_not_a_byte_is_written(random: Callable[[int], bytes], error: type[Exception]) -> None:
    sink = io.BytesIO()
    with pytest.raises(error):
        Writer(sink, object_id=OBJECT, key=KEY, kind=Kind.DICOM, random=random)
    assert not sink.getvalue()


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


def peak(work: Callable[[], object]) -> int:
    """Bytes of memory at most, above what there was before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_bounded_however_large_the_object(tmp_path: Path) -> None:
    piece, pieces = noise(1_000_000), 40
    path = tmp_path / "sealed"

    def write() -> None:
        with path.open("wb", buffering=0) as sink:
            writer = Writer(sink, object_id=OBJECT, key=KEY, kind=Kind.DICOM)
            for _ in range(pieces):
                writer.write(piece)
            assert writer.finish() == pieces * len(piece)

    def read() -> None:
        with open_file(path) as source:
            found = Reader(source, object_id=OBJECT, key=KEY, kind=Kind.DICOM)
            assert sum(len(some) for some in found.read()) == pieces * len(piece)

    assert peak(write) < 3 * STEP  # a chunk plain, a chunk sealed
    assert peak(read) < 36 * STEP  # what was read at once, twice while the next comes, and a few chunks plain


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


near = st.integers(0, 36).flatmap(lambda chunk: st.integers(-2, 2).map(lambda by: max(0, chunk * CHUNK + by)))


@given(near | st.integers(0, 36 * CHUNK), near | st.integers(0, 36 * CHUNK) | st.none())
@settings(max_examples=150, deadline=None)
def test_any_range(start: int, stop: int | None) -> None:
    plain, sealed = long()
    assert b"".join(reader(sealed).read(start, stop)) == plain[start:stop]


def test_twenty_thousand_ranges() -> None:
    plain, sealed = long()
    shared, dice = reader(sealed), Random(20_000)
    for _ in range(20_000):
        start = dice.randrange(len(plain)) if dice.random() < 0.5 else dice.randrange(36) * CHUNK
        length = dice.choice([1, dice.randrange(100), dice.randrange(CHUNK), dice.randrange(3 * CHUNK)])
        assert b"".join(shared.read(start, start + length)) == plain[start : start + length], (start, length)


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
