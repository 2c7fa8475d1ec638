"""The ring is lost and an old backup put back: what was forgotten since is dead, what came since is told and can be sent again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import Stack, dicom_file

from appliance.deeds import facts
from appliance.deeds.checking import Checking
from appliance.deeds.completing import Completing
from appliance.deeds.ingest import Ingest
from appliance.deeds.journal import Journal
from appliance.deeds.reburying import Reburying
from appliance.deeds.retention import Retention
from appliance.dicom.cage import Cage
from appliance.domain.errors import Code, Problem
from appliance.domain.retention import Terms
from appliance.domain.share import DAY
from appliance.keyholder import backup
from appliance.keyholder.client import Opened, Wrong
from appliance.keyholder.master.file import FileKey
from appliance.vault import intake
from appliance.vault.blobs import Local

HOME = "192.0.2.0/24"


class Practice:
    """One stack, its clock, and what an operator does with backups."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        clock, quarantine = stack.keyholder("clock"), Local(stack.places.quarantine)
        self.retention = Retention(stack.registry, stack.objects, quarantine, clock, stack.now, Terms(14 * DAY, 30 * DAY), mirrored=False)
        self.reburying = Reburying(stack.registry, clock)
        self.journal = Journal(stack.registry, clock, stack.now)
        self.checking = Checking(stack.registry, stack.objects, quarantine, stack.keyholder("desk"))

    def back_up(self) -> Path:
        target = self.stack.places.data.parent / "backup"
        backup.copy(self.stack.places.keys / "ring.sqlite3", target, self.stack.now())
        self.stack.now.pass_by(60)
        return target

    def lose_the_ring_and_restore(self, copy: Path) -> None:
        stack = self.stack
        stack.stop_keyholder()
        (stack.places.keys / "ring.sqlite3").unlink()
        backup.restore(stack.places.keys, FileKey.load(stack.places.keys / "master.key"), copy, stack.now)
        stack.start_keyholder()

    def opens(self, code: str, password: str) -> object:
        return self.stack.keyholder("portal").open_share(code, password, HOME, None)

    def key(self, study_id: str) -> bytes | None:
        return self.stack.keyholder("desk").study_keys([study_id])[study_id]


@pytest.fixture
def practice(stack: Stack) -> Practice:
    return Practice(stack)


def test_a_study_erased_after_the_backup_is_dead_after_the_restore(practice: Practice) -> None:
    stack = practice.stack
    study_id, kept = stack.put_study("Muster^Alice"), stack.put_study("Beispiel^Charlie")
    _, given = stack.share(study_id)
    _, of_charlie = stack.share(kept, days=365)
    aside = stack.put_aside("This is not a DICOM file.")
    (wrapped,) = _ring(stack, "SELECT wrapped FROM studies WHERE study_id = ?", study_id)
    copy = practice.back_up()
    stack.now.pass_by(105 * DAY)
    for _ in range(2):
        practice.retention.run_once()
    assert stack.registry.study(study_id) is None

    practice.lose_the_ring_and_restore(copy)
    assert wrapped in (stack.places.keys / "ring.sqlite3").read_bytes(), "the backup brought it back"
    with pytest.raises(Problem) as refused:
        practice.opens(of_charlie.code, of_charlie.password)
    assert refused.value.code is Code.UNAVAILABLE

    assert practice.reburying.run_once() >= 3
    assert wrapped not in (stack.places.keys / "ring.sqlite3").read_bytes()
    assert (practice.key(study_id), practice.key(aside)) == (None, None)
    assert isinstance(practice.opens(given.code, given.password), Wrong)
    assert isinstance(practice.opens(of_charlie.code, of_charlie.password), Opened)
    assert practice.reburying.run_once() == 0

    practice.journal.run_once()
    proofs = [row for row in stack.registry.audit(study_id=study_id) if row.action == "key-destroyed"]
    assert len(proofs) == 1, "of the key that the backup had brought back; the first one's was in the ring that is lost"
    assert proofs[0].actor == "clock"
    assert stack.registry.audit_is_whole()


def test_a_revoked_share_and_a_replaced_password_stay_so(practice: Practice) -> None:
    stack = practice.stack
    study_id = stack.put_study()
    (ended, of_ended), (lost, of_lost), (_, of_kept) = (stack.share(study_id) for _ in range(3))
    early = stack.sharing.new_password("desk", lost.share_id)
    copy = practice.back_up()
    stack.sharing.revoke("desk", ended.share_id)
    stack.sharing.new_password("desk", lost.share_id)
    practice.lose_the_ring_and_restore(copy)
    practice.reburying.run_once()
    opened = practice.opens(of_ended.code, of_ended.password)
    assert isinstance(opened, Opened)
    assert opened.study_keys == {}
    for password in (of_lost.password, early.password):
        assert isinstance(practice.opens(of_lost.code, password), Wrong)
    assert isinstance(practice.opens(of_kept.code, of_kept.password), Opened)
    anew = stack.sharing.new_password("desk", lost.share_id)
    assert isinstance(practice.opens(anew.code, anew.password), Opened)


def test_a_password_replaced_before_the_backup_still_opens(practice: Practice) -> None:
    record, _ = practice.stack.share(practice.stack.put_study())
    given = practice.stack.sharing.new_password("desk", record.share_id)
    practice.stack.now.pass_by(60)
    practice.lose_the_ring_and_restore(practice.back_up())
    practice.reburying.run_once()
    assert isinstance(practice.opens(given.code, given.password), Opened)


def test_reburying_broken_off_goes_on_and_nobody_is_answered_before(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = practice.stack
    record, given = stack.share(stack.put_study())
    copy = practice.back_up()
    stack.sharing.revoke("desk", record.share_id)
    practice.lose_the_ring_and_restore(copy)

    def crash() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stack.keyholder("clock"), "rebury_done", crash)
        with pytest.raises(KeyboardInterrupt):
            practice.reburying.run_once()
    with pytest.raises(Problem):
        practice.opens(given.code, given.password)
    monkeypatch.setattr("appliance.deeds.reburying.PORTION", 1)
    assert practice.reburying.run_once() == 1
    assert isinstance(practice.opens(given.code, given.password), Opened)


def test_a_ring_put_back_by_other_means_is_noticed(practice: Practice) -> None:
    """A copied volume, a snapshot: the audit log has collected more than this ring ever counted."""
    stack = practice.stack
    study_id = stack.put_study()
    record, given = stack.share(study_id)
    practice.journal.run_once()
    stack.stop_keyholder()
    ring = stack.places.keys / "ring.sqlite3"
    snapshot = ring.read_bytes()
    stack.start_keyholder()
    practice.journal.run_once()
    stack.sharing.revoke("desk", record.share_id)
    practice.journal.run_once()
    stack.stop_keyholder()
    ring.write_bytes(snapshot)
    stack.start_keyholder()
    for _ in range(2):
        practice.journal.run_once()
    with pytest.raises(Problem) as refused:
        practice.opens(given.code, given.password)
    assert refused.value.code is Code.UNAVAILABLE
    assert practice.reburying.run_once() > 0
    opened = practice.opens(given.code, given.password)
    assert isinstance(opened, Opened)
    assert opened.study_keys == {}
    practice.journal.run_once()
    assert practice.reburying.run_once() == 0
    actions = [row.action for row in stack.registry.audit(share_id=record.share_id)]
    assert actions[-1] == "share-refused", "what happens from now on is collected"


@pytest.fixture
def ingest(stack: Stack) -> Iterator[Ingest]:
    with Cage(workers=1, memory=1 << 30, seconds=30) as cage:
        made = Ingest(
            stack.places.intake,
            stack.objects,
            Local(stack.places.quarantine),
            stack.registry,
            stack.keyholder("ingester"),
            cage,
            stack.now,
            1,
        )
        made.publish_key()
        yield made
        made.close()


def _receive(stack: Stack, ingest: Ingest, *files: bytes) -> None:
    ingest.publish_key()
    public = intake.read_public(stack.places.intake)
    assert public is not None
    association = intake.Association(stack.places.intake, public, stack.now)
    for file in files:
        incoming = association.begin()
        incoming.writer.write(file)
        incoming.publish()
    ingest.run_once()


def test_what_came_after_the_backup_is_told_by_check_and_can_be_sent_again(practice: Practice, ingest: Ingest) -> None:
    stack = practice.stack
    early = stack.put_study("Beispiel^Charlie")
    changed, _ = stack.share(early)
    copy = practice.back_up()
    files = [dicom_file("Muster^Alice", 1, "CT", "Thorax", number, {}) for number in (1, 2)]
    _receive(stack, ingest, *files)
    (late,) = [study.study_id for study in stack.registry.studies() if study.study_id != early]
    stack.sharing.extend("desk", changed.share_id, 30)
    made, _ = stack.share(early)
    assert practice.checking.run().problems == []

    practice.lose_the_ring_and_restore(copy)
    practice.reburying.run_once()
    problems = practice.checking.run().problems
    assert sorted(problem[:38] for problem in problems) == sorted(
        [f"study {late}", f"share {changed.share_id}", f"share {made.share_id}"],
    )
    told = "\n".join(problems)
    assert f"study {late} has no key, its 2 objects never open: send it again" in told
    assert f"share {made.share_id} opens nothing: make a new letter" in told
    assert f"share {changed.share_id} opens nothing: extend it once" in told

    stack.sharing.extend("desk", changed.share_id, 30)
    _receive(stack, ingest, *files)
    again = [study for study in stack.registry.studies() if study.study_id not in (early, late)]
    assert len(again) == 1
    key = practice.key(again[0].study_id)
    assert key is not None
    assert facts.study(again[0], key).patient_name == "Muster^Alice"
    assert len(stack.registry.instances(again[0].study_id)) == 2
    _receive(stack, ingest, *files)
    assert len(stack.registry.studies()) == 3, "it is one study however often it is sent"


def test_a_lost_study_goes_after_its_deadline_although_it_never_completed(practice: Practice, ingest: Ingest) -> None:
    stack = practice.stack
    copy = practice.back_up()
    _receive(stack, ingest, dicom_file("Muster^Alice", 1, "CT", "Thorax", 1, {}))
    practice.lose_the_ring_and_restore(copy)
    practice.reburying.run_once()
    with Cage(workers=1, memory=1 << 30, seconds=30) as cage:
        completing = Completing(stack.registry, stack.objects, stack.keyholder("ingester"), cage, stack.manifests, stack.now, 30)
        stack.now.pass_by(31 * DAY)
        completing.run_once()
    for _ in range(2):
        practice.retention.run_once()
    assert stack.registry.studies() == []
    assert list(stack.objects.names()) == []


def _ring(stack: Stack, sql: str, *values: str) -> tuple[bytes, ...]:
    from appliance.disk.sqlite import connect

    db = connect(stack.places.keys / "ring.sqlite3", read_only=True)
    try:
        found: tuple[bytes, ...] = db.execute(sql, list(values)).fetchone()
        return found
    finally:
        db.close()
