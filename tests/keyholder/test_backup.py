"""Backups of the ring: what is in them and what is not, what is refused, and that no restore brings back what was forgotten."""

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from keyhouse import House

from appliance.domain.errors import Code, Problem
from appliance.domain.share import DAY
from appliance.keyholder import backup
from appliance.keyholder.client import Opened, Wrong
from appliance.keyholder.master.file import FileKey
from appliance.keyholder.ring import Ring
from appliance.keyholder.rotation import move
from appliance.keyholder.verify import Content, verify


def master(house: House) -> FileKey:
    return FileKey.load(house.key_dir / "master.key")


def copied(house: House, name: str = "copy.sqlite3") -> Path:
    target = house.key_dir.parent / name
    backup.copy(house.key_dir / "ring.sqlite3", target, house.clock())
    return target


def restored(house: House, copy: Path) -> Content:
    return backup.restore(house.key_dir, master(house), copy, house.clock)


def settled(house: House) -> None:
    """The clock had nothing to tell."""
    house.start()
    house.tick.rebury_done()


def altered(copy: Path, *statements: str) -> Path:
    copy.chmod(0o600)
    with closing(sqlite3.connect(copy)) as db, db:
        for statement in statements:
            db.execute(statement)
    return copy


def opens(house: House, code: str, password: str) -> bool:
    return isinstance(house.portal.open_share(code, password, "p", None), Opened)


# -- copying -----------------------------------------------------------------------------------------------------------


def test_a_copy_opens_and_holds_what_the_ring_holds(house: House) -> None:
    house.share()
    house.tick.forget_study(house.study())
    house.ingester.intake_public()
    copy = copied(house)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o400
    assert verify(copy, master(house)) == Content(house.clock(), studies=1, epochs=1, shares=1, intake_keys=1, tombstones=1)
    assert sorted(path.name for path in copy.parent.iterdir() if path.is_file()) == [copy.name], "nothing is left beside it"
    assert (house.key_dir / "master.key").read_bytes() not in copy.read_bytes()


def test_a_forgotten_key_is_not_in_a_copy(house: House) -> None:
    study, kept = house.study(), house.study()
    house.share(study, kept)
    wrapped = [row[0] for row in house.ring.here().execute("SELECT wrapped FROM studies WHERE study_id = ?", [study]).fetchall()]
    wrapped += [row[0] for row in house.ring.here().execute("SELECT wrapped FROM share_studies WHERE study_id = ?", [study]).fetchall()]
    assert len(wrapped) == 2
    before = copied(house, "before").read_bytes()
    assert all(key in before for key in wrapped)
    house.tick.forget_study(study)
    after = copied(house, "after").read_bytes()
    assert not any(key in after for key in wrapped)
    assert not any(key in house.file for key in wrapped)


def test_a_backup_is_remembered_and_changes_are_counted(house: House) -> None:
    assert house.desk.status()["last_backup_at"] is None
    house.share()
    assert house.desk.status()["changes_since_backup"] == 2
    copied(house)
    house.clock.after(60)
    status = house.desk.status()
    assert (status["last_backup_at"], status["last_backup_file"]) == (house.clock() - 60, "copy.sqlite3")
    assert status["changes_since_backup"] == 0
    house.study()
    assert house.desk.status()["changes_since_backup"] == 1
    assert [event.actor for event in house.tick.events(0, 100) if event.action == "keys-copied"] == ["operator"]


def test_a_backup_is_never_overwritten_nor_put_where_nothing_is(house: House, tmp_path: Path) -> None:
    copy = copied(house)
    for target, code in ((copy, Code.CONFLICT), (tmp_path / "missing" / "copy", Code.UNAVAILABLE)):
        with pytest.raises(Problem) as refused:
            backup.copy(house.key_dir / "ring.sqlite3", target, 0)
        assert refused.value.code is code
    with pytest.raises(Problem) as refused:
        backup.copy(tmp_path / "no ring", tmp_path / "copy", 0)
    assert refused.value.code is Code.NOT_FOUND
    assert house.desk.status()["last_backup_at"] == house.clock()


def test_a_backup_is_due_when_the_newest_keys_are_in_none_for_a_day_and_at_once_after_a_rotation(house: House) -> None:
    def due() -> bool:
        return bool(house.desk.status()["backup_due"])

    assert due(), "there was never one"
    house.clock.after(60)
    copied(house, "first")
    house.clock.after(10 * DAY)
    assert not due(), "nothing has changed since"
    house.share()
    assert due()
    copied(house, "second")
    house.share()
    house.clock.after(DAY)
    assert not due(), "tonight's will take it along"
    house.clock.after(1)
    assert due()
    copied(house, "third")
    house.clock.after(1)
    move(house.ring, house.ring.provider)
    assert due(), "the backup before opens nothing any more"


def test_a_backup_that_did_not_arrive_is_not_remembered(house: House, tmp_path: Path) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(Problem) as refused:
        backup.copy(house.key_dir / "ring.sqlite3", tmp_path / "copy", house.clock(), deliver=full)
    assert refused.value.code is Code.NO_SPACE
    assert house.desk.status()["last_backup_at"] is None


# -- verifying ---------------------------------------------------------------------------------------------------------


def test_what_is_no_backup_is_refused(house: House, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("These are no keys.")
    (tmp_path / "empty").touch()
    shutil.copy(house.key_dir / "ring.sqlite3", tmp_path / "ring")  # a ring as it lies there may be half written
    for name, code in (("words", Code.DAMAGED), ("empty", Code.INVALID), ("ring", Code.INVALID), ("missing", Code.NOT_FOUND)):
        with pytest.raises(Problem) as refused:
            verify(tmp_path / name, master(house))
        assert refused.value.code is code, name


def test_a_backup_of_another_master_key_is_refused(house: House, tmp_path: Path) -> None:
    copy = copied(house)
    with pytest.raises(Problem) as refused:
        verify(copy, FileKey(os.urandom(32)))
    assert (refused.value.code, refused.value.values) == (Code.CONFLICT, {"name": "copy.sqlite3"})


def test_a_backup_of_a_newer_version_is_refused(house: House) -> None:
    insert = "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('ring', 'of tomorrow', '')"
    with pytest.raises(Problem) as refused:
        verify(altered(copied(house), insert), master(house))
    assert refused.value.code is Code.CONFLICT
    assert "newer" in str(refused.value)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE studies SET wrapped = zeroblob(72)",
        "UPDATE epochs SET wrapped = zeroblob(72)",
        "UPDATE epochs SET epoch = '2026-01'",
        "DELETE FROM epochs",
        "UPDATE shares SET share_key = code WHERE record != ''",
        "UPDATE shares SET record = replace(record, '\"de\"', '\"en\"')",
        "UPDATE share_studies SET wrapped = zeroblob(72)",
        "UPDATE intake_keys SET private = zeroblob(72)",
    ],
)
def test_a_backup_in_which_anything_does_not_open_is_refused(house: House, statement: str) -> None:
    house.share()
    house.ingester.intake_public()
    with pytest.raises(Problem) as refused:
        verify(altered(copied(house), statement), master(house))
    assert refused.value.code is Code.DAMAGED


def test_a_truncated_or_overwritten_backup_is_refused(house: House, tmp_path: Path) -> None:
    for _ in range(30):
        house.share()
    whole = copied(house).read_bytes()
    for name, content in (
        ("half", whole[: len(whole) // 2]),
        ("short", whole[:-4096]),
        ("noise", whole[: len(whole) // 2] + os.urandom(4096) + whole[len(whole) // 2 + 4096 :]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Problem) as refused:
            verify(tmp_path / name, master(house))
        assert refused.value.code is Code.DAMAGED, name


# -- restoring ---------------------------------------------------------------------------------------------------------


def test_a_restored_ring_opens_what_the_backup_held(house: House) -> None:
    record, secrets = house.share()
    copy = copied(house)
    late, _ = house.share()
    house.stop()
    (house.key_dir / "ring.sqlite3").unlink()
    assert restored(house, copy).shares == 1
    settled(house)
    assert opens(house, secrets.code, secrets.password)
    digests = house.desk.share_digests([record.share_id, late.share_id])
    assert digests == {record.share_id: record.digest(), late.share_id: None}
    status = house.desk.status()
    assert (status["restored_at"], status["last_backup_file"], status["settled"]) == (house.clock(), "copy.sqlite3", True)
    assert sorted(path.name for path in house.key_dir.iterdir()) == ["master.key", "ring.sqlite3"]


def test_what_the_present_ring_has_buried_stays_buried(house: House) -> None:
    """Not even the bytes of the backup's wrapped key get into the key directory."""
    study = house.study()
    record, secrets = house.share(study)
    ended, of_ended = house.share()
    wrapped = house.ring.here().execute("SELECT wrapped FROM studies WHERE study_id = ?", [study]).fetchone()[0]
    copy = copied(house)
    house.tick.forget_study(study)
    house.tick.share_close(record.share_id)
    house.tick.share_revoke(ended.share_id)
    house.stop()
    assert wrapped in copy.read_bytes()
    restored(house, copy)
    assert wrapped not in house.file
    settled(house)
    assert house.desk.study_keys([study]) == {study: None}
    assert house.portal.open_share(secrets.code, secrets.password, "p", None) == Wrong()
    answer = house.portal.open_share(of_ended.code, of_ended.password, "q", None)
    assert isinstance(answer, Opened)
    assert answer.study_keys == {}
    with pytest.raises(Problem) as refused:
        house.ingester.create_study_key(study)
    assert refused.value.code is Code.CONFLICT


def test_a_restored_ring_answers_nobody_until_it_was_told(house: House) -> None:
    study = house.study()
    _, secrets = house.share(study)
    copy = copied(house)
    at = house.clock()
    house.stop()
    restored(house, copy)
    house.clock.after(DAY)
    for _ in range(2):  # nor after a restart
        house.start()
        for ask in (
            lambda: house.portal.open_share(secrets.code, secrets.password, "p", None),
            lambda: house.desk.study_keys([study]),
            lambda: house.ingester.create_study_key(study),
            lambda: house.desk.share_code("ab" * 16),
        ):
            with pytest.raises(Problem) as refused:
                ask()
            assert refused.value.code is Code.UNAVAILABLE
            assert "restored from a backup" in str(refused.value)
        assert house.desk.status()["settled"] is False
        assert house.tick.restored() == at
        house.stop()
    house.start()
    house.tick.rebury(studies=[study], closed=[], revoked=[], replaced=[])
    house.tick.rebury_done()
    assert house.tick.restored() is None
    answer = house.portal.open_share(secrets.code, secrets.password, "p", None)
    assert isinstance(answer, Opened)
    assert answer.study_keys == {}


def test_a_backup_of_a_ring_that_was_not_told_yet_is_as_old_as_what_it_came_from(house: House) -> None:
    at, first = house.clock(), copied(house)
    house.clock.after(DAY)
    house.stop()
    restored(house, first)
    second = copied(house, "second")
    restored(house, second)
    house.start()
    assert house.tick.restored() == at


def test_a_replaced_password_stays_replaced(house: House) -> None:
    record, secrets = house.share()
    copy = copied(house)
    house.desk.share_password(record.share_id)
    house.stop()
    restored(house, copy)
    house.start()
    house.tick.rebury(studies=[], closed=[], revoked=[], replaced=[record.share_id])
    house.tick.rebury_done()
    assert house.portal.open_share(secrets.code, secrets.password, "p", None) == Wrong()
    assert opens(house, secrets.code, house.desk.share_password(record.share_id))


def test_events_after_a_restore_are_not_taken_for_collected_ones(house: House) -> None:
    copy = copied(house)
    for _ in range(5):
        house.share()
    collected = house.tick.events(0, 1000)[-1].seq
    house.tick.events_done(collected)
    waiting = house.study()
    house.stop()
    restored(house, copy)
    settled(house)
    house.study()
    new = house.tick.events(collected, 1000)
    assert [event.action for event in new[:3]] == ["keys-changed", "keys-restored", "keys-changed"]
    assert new[0].study_id == waiting, "what the present ring had not handed over yet is not lost"


def test_nothing_is_restored_that_does_not_verify_nor_while_the_keyholder_runs(house: House) -> None:
    _, secrets = house.share()
    copy = copied(house)
    with pytest.raises(Problem) as refused:
        restored(house, copy)
    assert refused.value.code is Code.CONFLICT
    house.stop()
    before = house.file
    with pytest.raises(Problem) as refused:
        restored(house, altered(copied(house, "bad"), "UPDATE studies SET wrapped = zeroblob(72)"))
    assert refused.value.code is Code.DAMAGED
    assert sorted(path.name for path in house.key_dir.iterdir()) == ["master.key", "ring.sqlite3"]
    house.start()
    assert opens(house, secrets.code, secrets.password)
    assert len(before) > 0


@pytest.mark.parametrize("content", [b"", b"no ring at all", None], ids=["empty", "noise", "cut"])
def test_a_damaged_ring_can_be_replaced(house: House, content: bytes | None) -> None:
    _, secrets = house.share()
    copy = copied(house)
    house.stop()
    ring = house.key_dir / "ring.sqlite3"
    ring.write_bytes(ring.read_bytes()[:5000] if content is None else content)
    (house.key_dir / "ring.sqlite3-journal").write_bytes(os.urandom(2000))
    restored(house, copy)
    settled(house)
    assert opens(house, secrets.code, secrets.password)


@pytest.mark.parametrize("step", ["copyfile", "Ring", "_settle_with", "_sync", "_remove", "fsync_dir"])
def test_a_restore_broken_off_anywhere_leaves_one_ring_whole(house: House, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    _, secrets = house.share()
    copy = copied(house)
    _, late = house.share()
    house.stop()

    class Killed(BaseException):
        pass

    real = backup._remove

    def killed(*given: object, **named: object) -> None:
        if step == "_remove" and not named:
            real(*given)  # type: ignore[arg-type]
            return
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(backup.shutil if step == "copyfile" else backup, step, killed)
        with pytest.raises(Killed):
            restored(house, copy)
    house.start()
    if house.desk.status()["settled"]:
        assert opens(house, late.code, late.password), "the old one"
    else:
        house.tick.rebury_done()
    assert opens(house, secrets.code, secrets.password)
    assert sorted(path.name for path in house.key_dir.iterdir()) == ["master.key", "ring.sqlite3"]


def test_a_killed_restore_leaves_no_copy_behind(house: House) -> None:
    house.stop()
    for name in (".ring.sqlite3.part", ".ring.sqlite3.part-journal"):
        (house.key_dir / name).write_bytes(b"what was forgotten")
    with Ring.opened(house.key_dir, house.clock):
        assert sorted(path.name for path in house.key_dir.iterdir()) == ["master.key", "ring.sqlite3"]
    house.start()
