"""The oracle says nothing of an appliance in which all is well, and of each kind of damage its sentence."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .line import CANARY, Books, Instance, Line, instances
from .oracle import judge

SENT = instances(2)
Damage = Callable[[Line], object]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path / "box")
    made.ingest.publish_key()
    made.receive(SENT, lambda _: None)
    made.take_in()
    yield made
    made.ingest.close()
    made.stack.close()


def all_of(sent: list[Instance]) -> set[str]:
    return {one.uid for one in sent}


def test_all_is_well(line: Line) -> None:
    assert judge(line, SENT, all_of(SENT)) == []


def test_unacknowledged_is_whole_or_absent(line: Line) -> None:
    assert judge(line, SENT, set()) == []
    assert judge(line, SENT + instances(1, first=3), all_of(SENT)) == []


def test_what_is_sent_again_is_there_once(line: Line) -> None:
    line.receive(SENT, lambda _: None)
    line.restart()
    assert judge(line, SENT, all_of(SENT)) == []


def test_acknowledged_and_absent_is_lost(line: Line) -> None:
    more = instances(1, first=3)
    assert judge(line, SENT + more, all_of(SENT + more)) == [f"instance {more[0].uid} was acknowledged and is lost"]


def test_other_bytes_under_its_uid_are_not_what_was_sent(line: Line) -> None:
    other = Instance(SENT[0].uid, SENT[1].dataset)
    assert f"instance {other.uid} is not what was sent" in judge(line, [other, SENT[1]], all_of(SENT))


def test_two_revisions_are_too_many(line: Line) -> None:
    line.receive(
        [Instance(SENT[0].uid, SENT[0].dataset + b"\xfc\xff\xfc\xffOB\0\0\2\0\0\0\0\0")], lambda _: None
    )  # trailing padding, PS3.10 7.2
    line.take_in()
    assert f"instance {SENT[0].uid} is there 2 times" in judge(line, SENT, all_of(SENT))


def objects(line: Line) -> list[Path]:
    return sorted(file for file in line.stack.places.objects.rglob("*") if file.is_file())


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def execute(file: Path, sql: str) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.executescript(sql)


def registry(line: Line) -> Path:
    return line.stack.places.registry / "registry.sqlite3"


def half_published(line: Line) -> None:
    """A name in `new/` before all bytes are there."""
    line.receive(instances(1, first=3), lambda _: None)
    (published,) = (line.stack.places.intake / "new").iterdir()
    cut_short(published)
    line.take_in()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda line: objects(line)[0].unlink(), "was acknowledged and is lost"),
        (lambda line: cut_short(objects(line)[0]), "was acknowledged and is lost"),
        (lambda line: cut_short(objects(line)[0]), "does not open"),
        (lambda line: (line.stack.places.intake / "tmp/1.part").touch(), "intake/tmp/1.part was left half written"),
        (lambda line: (objects(line)[0].parent / ".2.part").touch(), "was left half written"),
        (lambda line: line.receive(instances(1, first=3), lambda _: None), "a published file was not taken in"),
        (half_published, "what looked complete was set aside"),
        (lambda line: (line.stack.places.data / "core").write_bytes(b"1" + CANARY.encode()), "core holds plain text"),
        (lambda line: execute(registry(line), "UPDATE audit SET actor = 'charlie'"), "the audit log has been altered"),
        (lambda line: execute(registry(line), "DELETE FROM series"), "registry.sqlite3 has a row that points at nothing"),
        (lambda line: execute(line.stack.places.keys / "ring.sqlite3", SCHEMA_DAMAGE), "ring.sqlite3 is damaged"),
    ],
)
def test_each_damage_has_its_sentence(line: Line, damage: Damage, sentence: str) -> None:
    damage(line)
    assert any(sentence in finding for finding in judge(line, SENT, all_of(SENT)))


SCHEMA_DAMAGE = """
CREATE TABLE torn (number INTEGER NOT NULL); INSERT INTO torn VALUES (1);
PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'number', 'number, absent') WHERE name = 'torn';
"""


def test_books_keep_what_was_acknowledged(tmp_path: Path) -> None:
    books = Books(tmp_path / "books")
    assert books.acknowledged() == set()
    for one in SENT:
        books(one)
    assert Books(tmp_path / "books").acknowledged() == all_of(SENT)
