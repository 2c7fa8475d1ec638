"""Every sentence a person can meet has a German translation that fits it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import appliance.language

HOUSE = Path(appliance.language.__file__).parents[1]
CATALOGUES = sorted(HOUSE.glob("language/de/*.po"))
KEYWORDS = {"_": None, "gettext": None, "lazy_gettext": None, "N_": None, "ngettext": (1, 2)}
METHODS = [("**.py", "python"), ("**.html", "jinja2"), ("**.txt.j2", "jinja2")]

Text = str | tuple[str, ...]


def refusals(source: str) -> Iterator[tuple[int, str]]:
    """The line and sentence of each call that gives a `Code.…` and then a text: `Problem(Code.X, "…")` and its kin."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        for code, text in zip(node.args, node.args[1:], strict=False):
            if isinstance(code, ast.Attribute) and isinstance(code.value, ast.Name) and code.value.id == "Code":
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.lineno, text.value
                elif isinstance(text, ast.JoinedStr | ast.BinOp):
                    yield text.lineno, f"{ast.unparse(text)} (make it one literal with %(name)s places)"


def messages(house: Path) -> Iterator[tuple[str, int, Text]]:
    """File, line and text of all that is shown to people. A text in singular and plural is a pair."""
    for file, line, text, _, _ in extract_from_dir(house, METHODS, keywords=KEYWORDS, comment_tags=()):
        yield file, line, text
    for path in sorted(house.rglob("*.py")):
        for line, text in refusals(path.read_text()):
            yield str(path.relative_to(house)), line, text


def read(path: Path) -> Catalog:
    with path.open("rb") as po:
        return read_po(po, locale="de", abort_invalid=True)


def places(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)[sd]", text))


def test_every_text_is_translated() -> None:
    done = {message.id for path in CATALOGUES for message in read(path) if message.id and _complete(message.string)}
    missing: dict[str, list[str]] = {}
    for file, line, text in messages(HOUSE):
        if text not in done:
            missing.setdefault(file, []).append(f"  {line}: {text!r}")
    assert not missing, "\n" + "\n".join(f"{file}\n" + "\n".join(lines) for file, lines in sorted(missing.items()))


def _complete(string: str | tuple[str, ...]) -> bool:
    return all(string) if isinstance(string, tuple) else bool(string)


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.name)
def test_a_catalogue_is_sound(path: Path) -> None:
    for message in read(path):
        if not message.id:
            continue
        assert not message.fuzzy, message.id
        originals = message.id if isinstance(message.id, tuple) else (message.id,)
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        expected = set().union(*map(places, originals))
        for string in strings:
            assert places(string) == expected, f"{message.id!r}: {string!r} must have the places {expected or 'none'}"


def test_no_two_parts_disagree() -> None:
    said: dict[Text, tuple[str, Text]] = {}
    for path in CATALOGUES:
        for message in read(path):
            if message.id:
                name, string = said.setdefault(message.id, (path.name, message.string))
                assert string == message.string, f"{message.id!r}: {name} and {path.name} translate it differently"


def test_the_search_finds_each_kind(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(
        'gettext("one"); _("two"); N_("three"); ngettext("a four", "%(n)d fours", 4)\n'
        'raise Problem(Code.INVALID, "five, "\n "continued", n=1)\n'
        'super().__init__(Code.DAMAGED, "six")\n'
        'self.where = ("header", "seven")\n'
    )
    (tmp_path / "page.html").write_text("<p>{{ _('eight') }}</p>{% trans name=x %}nine {{ name }}{% endtrans %}")
    found = {text for _, _, text in messages(tmp_path)}
    assert found == {"one", "two", "three", ("a four", "%(n)d fours"), "five, continued", "six", "eight", "nine %(name)s"}
