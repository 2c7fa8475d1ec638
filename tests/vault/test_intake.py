"""The intake: what is published is found, whole, by its name alone; what is not leaves nothing."""

import os
from pathlib import Path

import pytest

from appliance.domain.errors import Problem
from appliance.vault import intake, keys
from appliance.vault.sealed import Kind, Reader

NOW = 1_700_000_000
KEY_ID = "00c0ffee"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "new").mkdir()
    return tmp_path


def test_what_is_published_opens_with_the_private_key(directory: Path) -> None:
    private, public = keys.new_pair()
    association = intake.Association(directory, intake.PublicKey(KEY_ID, public), lambda: NOW)
    contents = {}
    for number in range(3):
        incoming = association.begin()
        contents[incoming.object_id] = bytes([number]) * (70_000 * number)
        incoming.writer.write(contents[incoming.object_id])
        assert len(list(intake.waiting(directory))) == number
        assert incoming.publish() == len(contents[incoming.object_id])
    found = {}
    for arrived in intake.waiting(directory):
        assert (arrived.key_id, arrived.arrived_at) == (KEY_ID, NOW)
        object_id = bytes.fromhex(arrived.object_id)
        key = keys.object_key(keys.open_envelope(private, arrived.envelope, keys.INTAKE_INFO), object_id)
        with intake.opened(arrived) as source:
            found[arrived.object_id] = Reader(source, object_id=object_id, key=key, kind=Kind.DICOM).read_all(1 << 20)
    assert found == contents
    assert list((directory / "tmp").iterdir()) == []


def test_each_association_has_a_key_and_an_envelope_of_its_own(directory: Path) -> None:
    private, public = keys.new_pair()
    for _ in range(2):
        intake.Association(directory, intake.PublicKey(KEY_ID, public), lambda: NOW).begin().publish()
    one, other = (arrived.envelope for arrived in intake.waiting(directory))
    assert one != other
    assert keys.open_envelope(private, one, keys.INTAKE_INFO) != keys.open_envelope(private, other, keys.INTAKE_INFO)


def test_oldest_first(directory: Path) -> None:
    times = [NOW + 5, NOW, NOW + 70_000, NOW + 1]
    clock = iter(times)
    association = intake.Association(directory, intake.PublicKey(KEY_ID, keys.new_pair()[1]), lambda: next(clock))
    for _ in times:
        association.begin().publish()
    assert [arrived.arrived_at for arrived in intake.waiting(directory)] == sorted(times)


def test_what_is_discarded_or_half_written_is_not_waiting(directory: Path) -> None:
    association = intake.Association(directory, intake.PublicKey(KEY_ID, keys.new_pair()[1]), lambda: NOW)
    discarded, half = association.begin(), association.begin()
    discarded.writer.write(bytes(100_000))
    discarded.discard()
    half.writer.write(bytes(100_000))
    assert list(intake.waiting(directory)) == []
    assert len(list((directory / "tmp").iterdir())) == 1
    half.discard()


def test_sweep_deletes_what_is_half_written_and_nothing_else(directory: Path) -> None:
    association = intake.Association(directory, intake.PublicKey(KEY_ID, keys.new_pair()[1]), lambda: NOW)
    association.begin().publish()
    half = association.begin()
    assert intake.sweep(directory) == 1
    assert intake.sweep(directory) == 0
    assert list((directory / "tmp").iterdir()) == []
    assert len(list(intake.waiting(directory))) == 1
    half.discard()  # and no harm in it


def test_foreign_names_are_passed_over(directory: Path) -> None:
    for name in ("lost+found", "x.part", f"{NOW:08x}.{'0' * 32}.{KEY_ID}.short", f"{NOW:08x}.{'0' * 32}.{KEY_ID}.{'A' * 107}.bak"):
        (directory / "new" / name).write_bytes(b"")
    assert list(intake.waiting(directory)) == []


def test_a_hundred_thousand_waiting_are_listed_without_a_look_at_any(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    envelope = "A" * 107
    for number in range(100_000):
        os.close(os.open(directory / "new" / f"{NOW + number % 9:08x}.{number:032x}.{KEY_ID}.{envelope}", os.O_CREAT))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a file was looked at")

    for call in ("stat", "open", "lstat"):
        monkeypatch.setattr(os, call, never)
    first = next(intake.waiting(directory))
    monkeypatch.undo()
    assert (first.arrived_at, first.object_id) == (NOW, f"{0:032x}")


def test_a_missing_file_is_a_refusal(directory: Path) -> None:
    intake.Association(directory, intake.PublicKey(KEY_ID, keys.new_pair()[1]), lambda: NOW).begin().publish()
    (arrived,) = intake.waiting(directory)
    arrived.path.unlink()
    with pytest.raises(Problem), intake.opened(arrived):
        pass


def test_the_public_key_is_read_as_written_and_nothing_else_is_one(directory: Path) -> None:
    assert intake.read_public(directory) is None
    key = intake.PublicKey(KEY_ID, keys.new_pair()[1])
    intake.write_public(directory, key)
    assert intake.read_public(directory) == key
    other = intake.PublicKey("0000beef", keys.new_pair()[1])
    intake.write_public(directory, other)
    assert intake.read_public(directory) == other
    assert [path.name for path in directory.iterdir() if path.is_file()] == ["public.json"]
    for content in (
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"key_id": "00c0ffee", "public": "AAAA"}',
        b'{"key_id": "../x", "public": "' + b"A" * 43 + b'"}',
    ):
        (directory / "public.json").write_bytes(content)
        assert intake.read_public(directory) is None


def test_there_is_room(directory: Path) -> None:
    assert 0 < intake.room(directory) < 1 << 60
