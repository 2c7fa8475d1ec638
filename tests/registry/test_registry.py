"""The registry: one transaction a change, never without its audit event, and nothing readable in the file."""

import os
import sqlite3
from pathlib import Path

import pytest

from appliance.domain.audit import Action
from appliance.domain.study import StudyState
from appliance.registry import InstanceRow, ObjectRow, OutboxRow, QuarantineRow, Registry, SeriesRow, ShareRow, ShareStudyRow, StudyRow

NOW = 1_800_000_000
STUDY = "5" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.sqlite3"


@pytest.fixture
def registry(path: Path) -> Registry:
    return Registry(path)


def study(study_id: str = STUDY, at: int = NOW) -> StudyRow:
    return StudyRow(study_id, os.urandom(16), StudyState.RECEIVING, at, at, b"sealed")


def instance(number: int, tag: bytes, revision: int = 1) -> tuple[ObjectRow, InstanceRow]:
    object_id = f"{number:032x}"
    return (
        ObjectRow(object_id, STUDY, 1, 100, b"wrapped", NOW),
        InstanceRow(object_id, STUDY, "e" * 32, tag, os.urandom(16), revision, 7, b"sealed", NOW),
    )


def test_a_change_is_one_transaction(registry: Registry) -> None:
    with pytest.raises(ZeroDivisionError), registry.change(NOW, "alice") as change:
        change.insert(study())
        change.note(Action.INSTANCES_STORED, study_id=STUDY)
        raise ZeroDivisionError
    assert registry.study(STUDY) is None
    assert registry.audit() == []


def test_no_change_without_its_audit_event(registry: Registry) -> None:
    with pytest.raises(AssertionError), registry.change(NOW, "alice") as change:
        change.insert(study())
    assert registry.study(STUDY) is None


def test_rows_come_back_as_they_went_in(registry: Registry) -> None:
    rows = [study(), SeriesRow("e" * 32, STUDY, b"t", b"sealed")]
    with registry.change(NOW, "alice") as change:
        change.insert(*rows)
        change.note(Action.INSTANCES_STORED, study_id=STUDY)
    assert [registry.study(STUDY), *registry.series(STUDY)] == rows
    assert isinstance(registry.study(STUDY).state, StudyState)  # type: ignore[union-attr]


def test_the_latest_revision_is_the_one_shown(registry: Registry) -> None:
    with registry.change(NOW, "ingester") as change:
        change.insert(study(), SeriesRow("e" * 32, STUDY, b"t", b"sealed"))
        for number, (tag, revision) in enumerate([(b"one", 1), (b"two", 1), (b"one", 2)]):
            change.insert(*instance(number, tag, revision))
        change.note(Action.INSTANCES_STORED, study_id=STUDY, count=3)
    assert sorted((row.tag, row.revision) for row in registry.instances(STUDY)) == [(b"one", 2), (b"two", 1)]
    assert len(registry.all_instances(STUDY)) == 3
    counts = registry.counts([STUDY])[STUDY]
    assert (counts.series, counts.instances, counts.size) == (1, 2, 300)


def test_references_must_hold(registry: Registry) -> None:
    with pytest.raises(sqlite3.IntegrityError), registry.change(NOW, "ingester") as change:
        change.insert(instance(1, b"one")[0])
        change.note(Action.INSTANCES_STORED)


def test_quiet_studies_are_found(registry: Registry) -> None:
    with registry.change(NOW, "ingester") as change:
        change.insert(study("1" * 32, NOW - 31), study("2" * 32, NOW - 29))
        change.note(Action.INSTANCES_STORED)
    assert [row.study_id for row in registry.studies_quiet_since(NOW - 30)] == ["1" * 32]


def test_the_outbox_gives_what_is_due_oldest_first(registry: Registry) -> None:
    with registry.change(NOW, "ingester") as change:
        change.insert(*(OutboxRow(0, "put", name, STUDY, NOW + due) for name, due in [("a", 0), ("b", 60), ("c", -5)]))
        change.note(Action.INSTANCES_STORED)
    assert [row.name for row in registry.outbox(NOW)] == ["a", "c"]
    assert [row.name for row in registry.outbox(NOW + 60)] == ["a", "b", "c"]
    assert registry.outbox_backlog() == (3, 0)


def test_studies_that_nobody_needs_are_found(registry: Registry) -> None:
    studies = {name: name * 32 for name in "123456"}
    with registry.change(NOW, "ingester") as change:
        for name, study_id in studies.items():
            state = StudyState.RECEIVING if name == "2" else StudyState.COMPLETE
            change.insert(StudyRow(study_id, os.urandom(16), state, NOW, NOW + (name == "3"), b"sealed"))
        for name, ends in (("4", {}), ("5", {"revoked_at": NOW}), ("6", {"closed_at": NOW}), ("6", {})):
            share_id = os.urandom(16).hex()
            change.insert(ShareRow(share_id, "{}", b"", **ends), ShareStudyRow(share_id, studies[name]))
        change.note(Action.INSTANCES_STORED)
    assert {row.study_id[0] for row in registry.studies_unneeded_since(NOW)} == {"1", "5"}
    assert {row.study_id[0] for row in registry.studies_unneeded_since(NOW + 1)} == {"1", "3", "5"}


def test_stored_files_are_known_by_the_row_that_points_at_them(registry: Registry) -> None:
    with registry.change(NOW, "ingester") as change:
        change.insert(StudyRow(STUDY, os.urandom(16), StudyState.COMPLETE, NOW, NOW, b"sealed", manifest_id="b" * 32))
        change.insert(ObjectRow("a" * 32, STUDY, 1, 100, b"wrapped", NOW))
        change.insert(QuarantineRow("c" * 32, "c" * 32, "", 0, b"", NOW, b"sealed"))
        change.note(Action.INSTANCES_STORED)
    known = {letter * 32 for letter in "abc"}
    assert registry.known_blobs([*known, "d" * 32, STUDY, ".half.part"]) == known
    assert registry.known_blobs([]) == set()


def test_what_is_asked_over_and_over_never_reads_whole_tables(registry: Registry) -> None:
    """There may be a million instances. The plan is asked of SQLite itself, for every statement that these questions become."""
    connection = registry._connections.here().conn
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    registry.studies_quiet_since(NOW)
    registry.studies_unneeded_since(NOW)
    registry.studies_among([STUDY])
    registry.series_among([STUDY])
    registry.shares_among([STUDY])
    registry.counts([STUDY])
    registry.known_blobs([STUDY])
    registry.study_by_tag(b"t")
    registry.last_change()
    registry.changed_since(1)
    registry.outbox_of(STUDY)
    connection.set_trace_callback(None)
    assert len(asked) >= 11
    plans = [(row[3], statement) for statement in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert [plan for plan in plans if plan[0].startswith("SCAN") and not plan[0].startswith("SCAN json_each")] == []


def test_shares_are_found_by_study(registry: Registry) -> None:
    with registry.change(NOW, "desk") as change:
        change.insert(study(), ShareRow("a" * 32, "{}", b""), ShareStudyRow("a" * 32, STUDY), ShareRow("b" * 32, "{}", b""))
        change.note(Action.SHARE_CREATED)
    assert [row.share_id for row in registry.shares_of(STUDY)] == ["a" * 32]


def test_the_audit_log_is_a_chain(registry: Registry, path: Path) -> None:
    for number in range(5):
        with registry.change(NOW + number, "alice") as change:
            change.note(Action.USER_IN, reason="a reason", count=number)
    assert registry.audit_is_whole()
    assert registry.last_change() == 5
    with sqlite3.connect(path) as other:
        other.execute("UPDATE audit SET actor = 'charlie' WHERE seq = 3")
    assert not registry.audit_is_whole()


def test_a_reader_cannot_write(registry: Registry, path: Path) -> None:
    with registry.change(NOW, "alice") as change:
        change.note(Action.USER_IN)
    reader = Registry(path, read_only=True)
    assert reader.last_change() == 1
    with pytest.raises(sqlite3.OperationalError, match="readonly"), reader.change(NOW, "portal") as change:
        change.note(Action.USER_IN)


def test_what_is_deleted_leaves_the_file(registry: Registry, path: Path) -> None:
    canary = os.urandom(24)
    with registry.change(NOW, "ingester") as change:
        change.insert(StudyRow(STUDY, canary, StudyState.RECEIVING, NOW, NOW, canary))
        change.note(Action.INSTANCES_STORED)
    assert canary in b"".join(file.read_bytes() for file in path.parent.iterdir())
    with registry.change(NOW, "clock") as change:
        change.delete(StudyRow, "study_id", [STUDY])
        change.note(Action.STUDY_REMOVED)
    registry.close()
    assert canary not in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_a_mark_outlives_a_restart(registry: Registry, path: Path) -> None:
    assert registry.mark("events") == 0
    for value in (3, 9):
        with registry.change(NOW, "clock") as change:
            change.set_mark("events", value)
            change.note(Action.SHARE_OPENED)
    assert Registry(path).mark("events") == 9


def test_the_file_is_whole(registry: Registry) -> None:
    assert registry.is_whole()


def test_what_changed_since_an_entry_is_found_by_study_and_by_share(registry: Registry) -> None:
    other = "6" * 32
    with registry.change(NOW, "ingester") as change:
        change.insert(study(), study(other), ShareRow("a" * 32, "{}", b"sealed"), ShareStudyRow("a" * 32, other))
        change.note(Action.INSTANCES_STORED, study_id=STUDY)
        change.note(Action.INSTANCES_STORED, study_id=other)
    seq = registry.last_change()
    assert registry.changed_since(0) == {STUDY, other}
    assert registry.changed_since(seq) == set()
    with registry.change(NOW, "desk") as change:
        change.note(Action.SHARE_REVOKED, share_id="a" * 32)
    assert registry.changed_since(seq) == {other}
    assert [row.study_id for row in registry.studies_among([other, "7" * 32])] == [other]
    assert [row.share_id for row in registry.shares_among([other])] == ["a" * 32]
    assert registry.shares_among([STUDY]) == []
