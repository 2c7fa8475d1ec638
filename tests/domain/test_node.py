"""AE@HOST:PORT, and what only looks like it."""

import pytest

from appliance.domain.node import Node, node


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PACS@192.168.1.20:104", Node("PACS", "192.168.1.20", 104)),
        ("PACS ROOM 2@pacs.praxis:11112", Node("PACS ROOM 2", "pacs.praxis", 11112)),
        ("A@B@host:4242", Node("A@B", "host", 4242)),
        ("PACS@[fd00::20]:104", Node("PACS", "fd00::20", 104)),
    ],
)
def test_nodes(text: str, expected: Node) -> None:
    assert node(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    ["", "PACS", "PACS@", "PACS@host", "@host:104", "PACS@host:0", "PACS@host:65536", "PACS@host:port", "PACS@:104", "PACS@host:104/x",
     "SEVENTEEN-LETTERS@host:104", "PÄCS@host:104", "PA\\CS@host:104", " PACS@host:104", "PACS@user:104@host:x"],
)  # fmt: skip
def test_no_nodes(text: str) -> None:
    with pytest.raises(ValueError, match="give"):
        node(text)
