"""The page on hostile senders: each row names a test that is there."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
_, _, *ROWS = [line for line in (TOP / "docs/hostile-senders.md").read_text().splitlines() if line.startswith("|")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_each_threat_has_its_tests(row: str) -> None:
    named = re.findall(r"`([\w/.]+)::(\w+)`", row.split("|")[3])
    assert named
    assert [name for path, name in named if f"def {name}(" not in (TOP / path).read_text()] == []
