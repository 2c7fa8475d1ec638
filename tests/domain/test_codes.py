"""Access codes and passwords, as people type them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.codes import (
    ALPHABET,
    CODE_DIGITS,
    check_digit,
    new_code,
    new_password,
    read_code,
    read_password,
    show_code,
    show_password,
)

pick = random.Random(1).randrange
digits = st.text("0123456789", min_size=CODE_DIGITS - 1, max_size=CODE_DIGITS - 1)


def test_the_published_example_of_damm() -> None:
    assert check_digit("572") == "4"


def test_a_code_reads_back_however_it_is_typed() -> None:
    code = new_code(pick)
    assert len(code) == 18
    assert show_code(code).count(" ") == 5
    for typed in (
        code,
        show_code(code),
        show_code(code).replace(" ", "-"),
        f"  {show_code(code)}\t",
        show_code(code).replace(" ", "\u202f"),
    ):
        assert read_code(typed) == code


@given(digits, st.integers(0, 17), st.integers(1, 9))
def test_every_wrong_digit_is_noticed(body: str, place: int, shift: int) -> None:
    code = body + check_digit(body)
    wrong = code[:place] + str((int(code[place]) + shift) % 10) + code[place + 1 :]
    assert read_code(wrong) is None


@given(digits, st.integers(0, 16))
def test_every_swap_of_neighbours_is_noticed(body: str, place: int) -> None:
    code = body + check_digit(body)
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert (read_code(swapped) is None) == (swapped != code)


@pytest.mark.parametrize("typed", ["", "12", "x" * 18, "1" * 19, "١" * 18, "²" * 18, "1" * 10_000])
def test_what_cannot_be_a_code_is_none(typed: str) -> None:
    assert read_code(typed) is None


def test_a_password_forgives_case_blanks_hyphens_and_misreadings() -> None:
    password = new_password(pick)
    assert len(password) == 10
    assert set(password) <= set(ALPHABET)
    assert read_password(show_password(password).lower()) == password
    assert read_password(f" {password[:3]} {password[3:]} ") == password
    assert read_password("oIl0") == "0110"


def test_what_is_typed_is_capped() -> None:
    assert len(read_password("A" * 100_000)) == 128


def test_codes_and_passwords_use_all_their_signs() -> None:
    assert set("".join(new_code(pick)[:-1] for _ in range(200))) == set("0123456789")
    assert set("".join(new_password(pick) for _ in range(200))) == set(ALPHABET)
