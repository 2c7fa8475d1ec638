"""Sealed columns: JSON under a key, bound to its table and row, its length blurred."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.errors import Code, Problem
from appliance.vault.columns import open_column, seal_column

KEY = b"c" * 32
AROUND = 1 + 12 + 16  # version, nonce, tag

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def refused(sealed: bytes, *, key: bytes = KEY, table: str = "study", row: str = "1") -> bool:
    with pytest.raises(Problem) as caught:
        open_column(key, sealed, table=table, row=row)
    return caught.value.code is Code.DAMAGED


@given(values)
def test_round_trip(value: Any) -> None:
    assert open_column(KEY, seal_column(KEY, value, table="study", row="1"), table="study", row="1") == value


def test_names_of_any_script_stay_as_they_are() -> None:
    about = {"name": "Müller^Ännchen=山田^太郎=やまだ^たろう", "comment": 'He said "0 < 1"\n\x00\x1b$B', "odd": "\udc80"}
    assert open_column(KEY, seal_column(KEY, about, table="study", row="1"), table="study", row="1") == about


@pytest.mark.parametrize("length", [0, 1, 59, 60, 61, 62, 63, 64, 65, 124, 126, 127, 1000])
def test_the_length_tells_only_the_number_of_64_byte_blocks(length: int) -> None:
    value = "x" * length
    sealed = seal_column(KEY, value, table="study", row="1")
    plain = len(json.dumps(value))
    assert len(sealed) == AROUND + -(-plain // 64) * 64
    assert open_column(KEY, sealed, table="study", row="1") == value


def test_only_its_own_key_table_and_row_open_it() -> None:
    sealed = seal_column(KEY, {"name": "Alice"}, table="study", row="1")
    assert refused(sealed, key=b"d" * 32)
    assert refused(sealed, table="series")
    assert refused(sealed, row="2")
    assert refused(sealed, table="study1", row="")
    assert refused(sealed, table="stud", row="y1")


def test_every_bit_and_every_length_counts() -> None:
    sealed = seal_column(KEY, {"name": "Alice"}, table="study", row="1")
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(altered)), bit
    for length in range(len(sealed)):
        assert refused(sealed[:length]), length


def test_the_same_value_is_never_sealed_the_same_and_never_readable() -> None:
    made = [seal_column(KEY, {"name": "Alice"}, table="study", row="1") for _ in range(50)]
    assert len(set(made)) == 50
    assert not any(b"Alice" in sealed for sealed in made)
