"""Nothing but what was sealed ever comes out of a sealed object: whatever is altered, cut, moved or asked for wrongly is refused."""

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

import pytest
from sealed_objects import KEY, OBJECT, SMALL, flipped, long, noise, reader, seal, where

from appliance.vault.blobs import Bytes
from appliance.vault.sealed import CHUNK, HEADER, STEP, TAG, Damaged, Kind, Reader

# -- every bit, every length ----------------------------------------------------------------------------------------


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


# -- chunks have places ----------------------------------------------------------------------------------------------


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


# -- what is asked for -----------------------------------------------------------------------------------------------


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


# -- anything at all -------------------------------------------------------------------------------------------------


def _place(dice: Random, data: bytes) -> int:
    """Half of them anywhere, half near the ends and the borders of header and chunks."""
    borders = [0, HEADER, HEADER + STEP, HEADER + 2 * STEP, len(data)]
    near = dice.choice(borders) + dice.randint(-TAG - 2, 60)
    return min(max(0, near), len(data) - 1) if dice.random() < 0.5 else dice.randrange(len(data))


def _span(dice: Random, data: bytes, most: int = 40) -> slice:
    start = _place(dice, data)
    return slice(start, start + dice.randint(1, most))


def _replaced(data: bytes, span: slice, by: bytes) -> bytes:
    return data[: span.start] + by + data[span.stop :]


def _bits(dice: Random, data: bytes, _: bytes) -> bytes:
    for _ in range(dice.choice([1, 1, 2, 8])):
        data = flipped(data, _place(dice, data) * 8 + dice.randrange(8))
    return data


def _noise(dice: Random, data: bytes, _: bytes) -> bytes:
    span = _span(dice, data)
    return _replaced(data, span, dice.randbytes(len(data[span])))


def _zeros(dice: Random, data: bytes, _: bytes) -> bytes:
    span = _span(dice, data)
    return _replaced(data, span, bytes(len(data[span])))


def _inserted(dice: Random, data: bytes, _: bytes) -> bytes:
    at = _place(dice, data) + dice.randrange(2)
    return data[:at] + dice.randbytes(dice.randint(1, 40)) + data[at:]


def _deleted(dice: Random, data: bytes, _: bytes) -> bytes:
    return _replaced(data, _span(dice, data), b"")


def _cut(dice: Random, data: bytes, _: bytes) -> bytes:
    return data[: _place(dice, data)]


def _exchanged(dice: Random, data: bytes, _: bytes) -> bytes:
    one, two = _span(dice, data), _span(dice, data)
    found = data[one]
    return _replaced(_replaced(data, one, data[two]), two, found)


def _spliced(dice: Random, data: bytes, other: bytes) -> bytes:
    span = _span(dice, data, most=len(data))
    return _replaced(data, span, other[span])


def _crossed(dice: Random, data: bytes, other: bytes) -> bytes:
    at = dice.choice([16, 32, 56, HEADER, _place(dice, data)])
    return data[:at] + other[at:]


MUTATIONS: list[Callable[[Random, bytes, bytes], bytes]] = [
    _bits,
    _noise,
    _zeros,
    _inserted,
    _deleted,
    _cut,
    _exchanged,
    _spliced,
    _crossed,
]


@pytest.mark.parametrize(
    ("plain", "count"),
    [(b"", 30_000), (SMALL, 60_000), (noise(1000), 10_000), (noise(2 * CHUNK + 99), 20_000)],
    ids=["0", "14", "1000", "large"],
)
def test_of_a_hundred_thousand_mutations_none_is_served(plain: bytes, count: int) -> None:
    dice, sealed = Random(count), seal(plain)
    twins = [seal(plain), seal(plain[::-1])]  # of the same id, key and kind: no writer makes them, and each is right as a whole
    strangers = [seal(plain, object_id=bytes(16)), seal(plain, key=bytes(32)), seal(plain, kind=Kind.REPORT)]
    refused = Counter[str]()
    while refused.total() < count:
        mutation = dice.choice(MUTATIONS)
        mutated = mutation(dice, sealed, dice.choice(twins + strangers))
        if mutated in (sealed, *twins):
            continue
        given = b""
        try:
            for piece in reader(mutated).read():
                given += piece
        except Damaged as damage:
            refused[damage.where] += 1
            assert len(given) % CHUNK == 0
            assert plain.startswith(given)
        else:
            pytest.fail(f"{mutation.__name__} opened: {mutated[:200].hex()}")
    assert {"header", "commitment", "truncated", "chunk 0"} <= refused.keys()
