"""The documents hang together: what they link to is there, and every library has its reasons written down."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
DOCUMENTS = [*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")]
DECISIONS = "\n".join(path.read_text().lower() for path in (TOP / "docs/decisions").glob("0*.md"))
LIBRARIES = [line for line in (TOP / "requirements/run.in").read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    inside = [link.partition("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [link for link in inside if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_tests_that_are_named_are_there(document: Path) -> None:
    named = re.findall(r"`(tests/[\w./-]+)`", document.read_text())
    assert [path for path in named if not (TOP / path).exists()] == []


@pytest.mark.parametrize("library", [re.split(r"[<>=~!]", line)[0] for line in LIBRARIES])
def test_every_library_has_its_reasons(library: str) -> None:
    assert re.search(rf"\b{re.escape(library)}\b", DECISIONS), f"docs/decisions says nothing of {library}"


def test_no_number_is_used_twice() -> None:
    numbers = [path.name[:4] for path in (TOP / "docs/decisions").glob("0*.md")]
    assert len(numbers) == len(set(numbers))
