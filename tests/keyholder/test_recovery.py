"""Recovery shares: enough of them give the key back however they are typed; anything else is refused in words."""

import os
from itertools import combinations

import pytest
from shamir_mnemonic import combine_mnemonics
from shamir_mnemonic.wordlist import WORDLIST

from appliance.domain.errors import Code, Problem
from appliance.keyholder.recovery import WORDS, Gathering, Sheet, split

KEY = os.urandom(32)


def gathered(*texts: str) -> Gathering:
    gathering = Gathering()
    for text in texts:
        gathering.add(text)
    return gathering


def words(sheet: Sheet) -> str:
    return " ".join(sheet.words)


def refused(*texts: str) -> Problem:
    with pytest.raises(Problem) as problem:
        gathered(*texts).key()
    return problem.value


def test_any_two_of_three_give_the_key_back() -> None:
    sheets = split(KEY, "2-of-3")
    assert [(sheet.number, sheet.count, sheet.needed, len(sheet.words)) for sheet in sheets] == [(n, 3, 2, WORDS) for n in (1, 2, 3)]
    for pair in combinations(sheets, 2):
        gathering = gathered(*map(words, pair))
        assert gathering.missing == 0
        assert gathering.key() == KEY
        assert combine_mnemonics([*map(words, pair)]) == KEY, "as any program for SLIP-0039 reads them"


def test_five_of_eight() -> None:
    sheets = split(KEY, "5-of-8")
    gathering = Gathering()
    for missing, sheet in zip((4, 3, 2, 1, 0), sheets[3:], strict=True):
        gathering.add(words(sheet))
        assert gathering.missing == missing
    assert gathering.key() == KEY


@pytest.mark.parametrize(
    "typed",
    [
        lambda sheet: words(sheet).upper(),
        lambda sheet: " ".join(word[:4] for word in sheet.words),
        lambda sheet: "  ".join(f"{number}. {word}," for number, word in enumerate(sheet.words, 1)),
        lambda sheet: "\t" + "\n".join(word.capitalize() for word in sheet.words) + "\n",
    ],
    ids=["capitals", "four letters", "numbered", "lines"],
)
def test_how_the_words_are_typed_does_not_matter(typed: object) -> None:
    assert callable(typed)
    assert gathered(*(typed(sheet) for sheet in split(KEY, "2-of-2"))).key() == KEY


def test_a_wrong_word_is_named() -> None:
    sheet = split(KEY, "2-of-3")[0]
    for wrong, shown in (("xylophone", "xylophone"), ("abc", "abc")):
        problem = refused(" ".join((*sheet.words[:6], wrong, *sheet.words[7:])))
        assert (problem.code, problem.values) == (Code.INVALID, {"number": 7, "word": shown})


def test_a_word_of_the_list_in_the_wrong_place_is_noticed() -> None:
    sheet = split(KEY, "2-of-3")[0]
    other = next(word for word in WORDLIST if word != sheet.words[9])
    for changed in ((*sheet.words[:9], other, *sheet.words[10:]), (*sheet.words[:8], sheet.words[9], sheet.words[8], *sheet.words[10:])):
        if changed != sheet.words:
            assert "word by word" in str(refused(" ".join(changed)))


@pytest.mark.parametrize("count", [0, 1, 32, 34, 20])
def test_too_few_and_too_many_words(count: int) -> None:
    sheet = split(KEY, "2-of-3")[0]
    problem = refused(" ".join((*sheet.words, "academic")[:count]))
    assert (problem.code, problem.values) == (Code.INVALID, {"all": 33, "count": count})


def test_shares_that_do_not_belong_together() -> None:
    one, two, _ = split(KEY, "2-of-3")
    other = split(KEY, "2-of-3")[1]
    assert one.mark == two.mark != other.mark
    assert refused(words(one), words(other)).code is Code.CONFLICT
    assert "already" in str(refused(words(one), words(one)))


def test_too_few_shares_give_nothing() -> None:
    assert refused(words(split(KEY, "3-of-4")[0]), words(split(KEY, "2-of-2")[0])).code is Code.CONFLICT
    sheets = split(KEY, "3-of-4")
    assert refused(words(sheets[0]), words(sheets[1])).code is Code.INVALID


@pytest.mark.parametrize("plan", ["1-of-3", "4-of-3", "2-of-17", "2of3", "two-of-three", "", "0-of-0", "-1-of-2", "2-of-3 ", "1-of-1"])
def test_plans_that_make_no_sense(plan: str) -> None:
    with pytest.raises(Problem) as problem:
        split(KEY, plan)
    assert problem.value.code is Code.INVALID


def test_a_sheet_does_not_show_its_words_by_accident() -> None:
    sheet = split(KEY, "2-of-3")[0]
    assert not any(word in repr(sheet) for word in sheet.words)
