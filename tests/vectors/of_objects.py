"""The scenarios of sealed objects. Each row: name, what a reader must say, what may leave before, the sealed bytes, a comment."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from book import CHUNK, STEP, Sealed, two_keys
from vector import Vector, sha256

HEADER: Final = 88
TEXT: Final = b"Alice's report"
ALICE: Final = Sealed(key=bytes(range(0x20, 0x40)), object_id=bytes(range(16)))
OTHER: Final = replace(ALICE, object_id=bytes(range(16, 32)))
KINDS: Final = {1: "dicom", 2: "manifest", 3: "snapshot", 4: "report", 5: "picture", 6: "description", 7: "checkpoint"}
LENGTHS: Final = (0, 1, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK + 100, 16 * CHUNK, 17 * CHUNK - 1)

Row = tuple[str, str, bytes, bytes, str]


def vectors() -> list[Vector]:
    rows = [(row, ALICE) for row in (*_lengths(), *_headers(), *_commitments(), *_cuts(), *_small(), *_places(), *_last())]
    return [_vector(row, asked) for row, asked in (*rows, *_others())]


def _vector(row: Row, asked: Sealed) -> Vector:
    name, expect, released, sealed, comment = row
    fields = {
        "expect": expect,
        "plain": sha256(released),
        "key": asked.key.hex(),
        "object": asked.object_id.hex(),
        "kind": str(asked.kind),
        "comment": comment,
    }
    return Vector(f"sealed/{name}", fields, sealed)


def _flip(sealed: bytes, at: int, bit: int = 0) -> bytes:
    changed = bytearray(sealed)
    changed[at] ^= 1 << bit
    return bytes(changed)


def _lengths() -> Iterator[Row]:
    for length in LENGTHS:
        plain = ALICE.smooth(length)
        yield f"length_{length}", "success", plain, ALICE.seal(plain), "a whole object"


def _others() -> Iterator[tuple[Row, Sealed]]:
    """What is not asked for with the usual key, id and kind."""

    def right(name: str, asked: Sealed, comment: str) -> tuple[Row, Sealed]:
        return (name, "success", TEXT, asked.seal(TEXT), comment), asked

    for kind, what in KINDS.items():
        yield right(f"kind_{what}", replace(ALICE, kind=kind), "the kind is bound into the key and not stored")
    yield right("salt_zeros", replace(ALICE, salt=bytes(24)), "the example of the specification")
    yield right("salt_ones", replace(ALICE, salt=b"\xff" * 24), "a salt may be any bytes")
    yield right("key_zeros", replace(ALICE, key=bytes(32)), "a key may be any bytes")
    yield right("object_id_ones", replace(ALICE, object_id=b"\xff" * 16), "an object id may be any bytes")

    def wrong(name: str, asked: Sealed, expect: str, sealed: bytes, comment: str) -> tuple[Row, Sealed]:
        return (name, expect, b"", sealed, comment), asked

    text = ALICE.seal(TEXT)
    yield wrong("asked_other_object", OTHER, "header", text, "another object than the one that was asked for")
    yield wrong("asked_other_key", replace(ALICE, key=bytes(32)), "commitment", text, "another object's key")
    for kind in (2, 5):
        yield wrong(f"asked_{KINDS[kind]}", replace(ALICE, kind=kind), "commitment", text, "a DICOM file asked for as something else")
    first, second = replace(ALICE, kind=4), replace(ALICE, key=bytes(range(0x40, 0x60)), kind=4)
    chunk = two_keys(first, second)
    plain = bytes(a ^ b for a, b in zip(chunk[:16], first.chunk(0, bytes(16))[:16], strict=True))
    yield (
        ("two_keys_first", "success", plain, first.header + chunk, "one chunk that AES-GCM accepts under two keys: the committed one"),
        first,
    )
    yield wrong("two_keys_second", second, "commitment", first.header + chunk, "the same object, asked for with the other key")


def _headers() -> Iterator[Row]:
    text = ALICE.seal(TEXT)

    def row(name: str, sealed: bytes, comment: str) -> Row:
        return f"header_{name}", "header", b"", sealed, comment

    yield row("magic_first_bit", _flip(text, 0, 7), "a channel that drops the eighth bit")
    yield row("magic_last_bit", _flip(text, 7), "the last bit of the magic bytes")
    yield row("magic_unix", text.replace(b"\r\n", b"\n", 1), "a transfer as text, line ends changed")
    yield row("magic_dos", text.replace(b"\x1a\n", b"\x1a\r\n", 1), "a transfer as text, the other way")
    yield row("magic_png", b"\x89PNG\r\n\x1a\n" + text[8:], "another format with a similar beginning")
    yield row("plain_dicom", bytes(128) + b"DICM" + bytes(100), "a file that was never sealed")
    for version in (0, 2, 255):
        yield row(f"version_{version}", replace(ALICE, version=version).seal(TEXT), "an unknown version, right but for that")
    for suite in (0, 2, 255):
        yield row(f"suite_{suite}", replace(ALICE, suite=suite).seal(TEXT), "an unknown suite, right but for that")
    yield row("zero_first", replace(ALICE, zero=b"\1" + bytes(5)).seal(TEXT), "a reserved byte is set, right but for that")
    yield row("zero_last", replace(ALICE, zero=bytes(5) + b"\1").seal(TEXT), "a reserved byte is set, right but for that")
    yield row("object_id_first_bit", _flip(text, 16, 7), "an altered object id")
    yield row("object_id_last_bit", _flip(text, 31), "an altered object id")
    yield row("before_commitment", _flip(_flip(text, 9), 56), "version and commitment are wrong: the header comes first")


def _commitments() -> Iterator[Row]:
    text = ALICE.seal(TEXT)

    def row(name: str, sealed: bytes, comment: str) -> Row:
        return f"commitment_{name}", "commitment", b"", sealed, comment

    yield row("salt_first_bit", _flip(text, 32, 7), "an altered salt")
    yield row("salt_last_bit", _flip(text, 55), "an altered salt")
    yield row("first_bit", _flip(text, 56, 7), "an altered commitment")
    yield row("last_bit", _flip(text, 87), "an altered commitment")
    yield row("zeros", text[:56] + bytes(32) + text[88:], "no commitment")
    yield row("of_another_object", text[:56] + OTHER.header[56:] + text[88:], "another object's commitment")
    yield row("of_another_kind", replace(ALICE, kind=4).header + text[88:], "another kind's commitment")
    yield row("before_length", _flip(text, 56)[:90], "commitment and length are wrong: the commitment comes first")


def _cuts() -> Iterator[Row]:
    text, whole = ALICE.seal(TEXT), ALICE.seal(ALICE.smooth(2 * CHUNK))
    for length in (0, 1, 31, 32, 55, 87):
        yield f"truncated_{length}", "truncated", b"", text[:length], "shorter than the header"
    yield "truncated_88", "truncated", b"", text[:HEADER], "a header and no chunk"
    yield "truncated_103", "truncated", b"", text[: HEADER + 15], "less than a tag"
    yield "truncated_after_one_chunk", "truncated", b"", whole[: HEADER + STEP], "cut behind a whole chunk, which never is the last"
    yield "truncated_after_two_chunks", "truncated", b"", whole[: HEADER + 2 * STEP], "the last chunk, an empty one, is missing"
    yield "truncated_in_last_tag", "truncated", b"", whole[:-1], "the last chunk, an empty one, is cut"


def _small() -> Iterator[Row]:
    text, empty = ALICE.seal(TEXT), ALICE.seal(b"")

    def row(name: str, sealed: bytes, comment: str) -> Row:
        return f"only_chunk_{name}", "chunk 0", b"", sealed, comment

    yield row("first_bit", _flip(text, HEADER, 7), "an altered chunk")
    yield row("last_bit", _flip(text, HEADER + len(TEXT) - 1), "an altered chunk")
    yield row("tag_first_bit", _flip(text, -16, 7), "an altered tag")
    yield row("tag_last_bit", _flip(text, -1), "an altered tag")
    yield row("empty_tag_bit", _flip(empty, -1), "an altered tag over nothing")
    yield row("cut_by_one", text[:-1], "cut to a length that is possible")
    yield row("cut_to_a_tag", text[: HEADER + 16], "cut to the length of an empty object")
    yield row("emptied", text[:HEADER] + text[-16:], "the chunk taken out, its tag left")
    yield row("one_more", text + b"\0", "one byte more")
    yield row("twice", text + text, "the object twice")
    yield row("other_salt", ALICE.header + replace(ALICE, salt=bytes(24)).chunk(0, TEXT), "the chunk of another object under the same key")
    yield row("associated_data", ALICE.header + ALICE.chunk(0, TEXT, ALICE.header), "sealed with associated data, where there is none")
    yield row("second_nonce", ALICE.header + ALICE.chunk(1, TEXT), "sealed as the second chunk")


def _places() -> Iterator[Row]:
    plain = ALICE.smooth(3 * CHUNK + 100)
    header, one, two, three, last = ALICE.header, *ALICE.chunks(plain)
    other = replace(ALICE, salt=bytes(24))

    def row(name: str, number: int, chunks: list[bytes], comment: str) -> Row:
        released = plain[: number * CHUNK] if number < len(b"".join(chunks)) // STEP else b""
        return f"chunks_{name}", f"chunk {number}", released, header + b"".join(chunks), comment

    yield row("first_altered", 0, [_flip(one, 0), two, three, last], "nothing may leave")
    yield row("second_altered", 1, [one, _flip(two, CHUNK // 2), three, last], "the first chunk may leave")
    yield row("third_tag_altered", 2, [one, two, _flip(three, -1), last], "the first two chunks may leave")
    yield row("last_altered", 3, [one, two, three, _flip(last, 0)], "the last chunk is opened first: nothing may leave")
    yield row("first_two_swapped", 0, [two, one, three, last], "chunks have places")
    yield row("last_two_swapped", 1, [one, three, two, last], "chunks have places")
    yield row("one_twice", 1, [one, one, three, last], "chunks have places")
    yield row("one_more", 4, [one, two, three, three, last], "a chunk more, so that the last is not in its place")
    yield row("first_missing", 2, [two, three, last], "a chunk less, so that the last is not in its place")
    yield row("middle_missing", 2, [one, three, last], "a chunk less, so that the last is not in its place")
    yield row("one_of_another_object", 1, [one, other.chunk(1, other.smooth_chunk(1)), three, last], "the same key and place, another salt")
    yield row(
        "last_of_another_object",
        3,
        [one, two, three, other.chunk(3, plain[3 * CHUNK :])],
        "the same key, place and plain text, another salt",
    )
    yield row("zeros_behind", 4, [one, two, three, last, bytes(STEP)], "zeros behind the object")
    yield row("cut_in_last", 3, [one, two, three, last[:-1]], "cut to a length that is possible")
    yield row("cut_in_third", 2, [one, two, three[:100]], "cut to a length that is possible")
    for name, number, comment in (
        (
            "added",
            int.from_bytes(ALICE.base, "big") ^ int.from_bytes(ALICE.base, "big") + 1,
            "the chunk's number added to the base, not XORed",
        ),
        ("little_endian", 1 << 88, "the chunk's number in the other byte order"),
        ("repeated", 0, "the chunk's number left out"),
    ):
        yield row(f"nonce_{name}", 1, [one, ALICE.chunk(number, ALICE.smooth_chunk(number)), three, last], comment)


def _last() -> Iterator[Row]:
    plain = ALICE.smooth(CHUNK)
    full, short, longer = ALICE.chunk(0, plain), ALICE.chunk(0, plain[:-1]), ALICE.chunk(0, ALICE.smooth_chunk(0, CHUNK + 16))
    yield "last_chunk_is_full", "truncated", b"", ALICE.header + full, "65,536 bytes without the empty chunk behind them"
    yield "last_chunk_is_longer", "chunk 1", b"", ALICE.header + longer, "65,552 bytes in one chunk"
    yield "two_short_chunks", "chunk 1", b"", ALICE.header + short + ALICE.chunk(1, TEXT), "a chunk that is not the last has all its bytes"
