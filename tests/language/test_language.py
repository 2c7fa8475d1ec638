"""Texts, dates and moments as people read them, and which language they asked for."""

import pytest

from appliance.domain.errors import Code, Problem
from appliance.language import LANGUAGES, best, date, end_of, moment, sentence, translations

NOON = 1_795_521_600  # 2026-11-24 12:00 UTC


def test_dates() -> None:
    assert date("de", "20261124") == "24.11.2026"
    assert date("de", "20261124", "long") == "24. November 2026"
    assert date("en", "20261124") == "24 Nov 2026"
    assert date("en", "20261124", "long") == "24 November 2026"


@pytest.mark.parametrize("odd", ["", "1956", "20261399", "2026.11.24", "2026W471", "2026111", "٢٠٢٦١١٢٤", "gestern", "20261124 bis heute"])
def test_what_is_no_date_is_shown_as_it_stands(odd: str) -> None:
    assert date("de", odd) == odd


def test_moments_are_the_practices() -> None:
    assert moment("de", NOON) == "24.11.2026, 13:00"
    assert moment("en", NOON) == "24 Nov 2026, 13:00"
    assert moment("de", NOON, zone="Europe/Lisbon") == "24.11.2026, 12:00"
    assert moment("de", NOON, time=False, length="long") == "24. November 2026"
    assert moment("de", NOON + 12 * 3600, time=False) == "25.11.2026"  # past midnight in Berlin only
    assert moment("de", 1_785_585_600) == "01.08.2026, 14:00"  # summer time


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "de"),
        ("en", "en"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("tr,de;q=0.3,en;q=0.7", "en"),
        ("tr,uk;q=0.7", "de"),
        ("en;q=0,tr", "de"),
        ("*", "de"),
        ("en;q=x, ;;,q", "de"),
        ("EN-gb", "en"),
        ("," * 100_000, "de"),
    ],
)
def test_the_language_asked_for(header: str, language: str) -> None:
    assert best(header) == language


def test_a_practice_may_have_another_default() -> None:
    assert best("tr", default="en") == "en"


def test_english_is_the_key_and_unknown_languages_get_the_default() -> None:
    assert translations("en").gettext("No such sentence.") == "No such sentence."
    assert translations("en").ngettext("image", "images", 1) == "image"
    assert translations("xx").gettext("No such sentence.") == "No such sentence."
    assert date("xx", "20261124") == date(LANGUAGES[0], "20261124")


def test_a_refusal_is_said_with_its_values() -> None:
    assert sentence("en", Problem(Code.WAIT, "Wait %(seconds)s seconds.", seconds=5)) == "Wait 5 seconds."
    assert sentence("en", Problem(Code.INVALID, "100 % wrong.")) == "100 % wrong."


def test_an_end_is_a_day_only_if_the_whole_day_counts() -> None:
    assert end_of("de", NOON + 11 * 3600) == "24. November 2026"  # midnight in Berlin
    assert end_of("de", NOON + 11 * 3600, zone="Europe/Lisbon") == "24. November 2026, 22:59"
    assert end_of("en", NOON, length="medium") == "24 Nov 2026, 12:59"
