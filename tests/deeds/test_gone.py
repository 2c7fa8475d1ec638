"""Mirrored, and gone: ciphertext goes to the mirror and comes off it; when the last share closes nothing is left that opens."""

import time
from collections.abc import Iterable

import pytest
from stack import Stack

from appliance.deeds.checking import Checking
from appliance.deeds.journal import Journal
from appliance.deeds.manifest import mirror_name
from appliance.deeds.mirroring import Mirroring
from appliance.deeds.retention import Retention
from appliance.domain.errors import Code, Problem
from appliance.domain.retention import Terms
from appliance.domain.share import DAY, ShareState
from appliance.keyholder.client import Opened, Wrong
from appliance.vault.blobs import Local, Memory

TERMS = Terms(grace=14 * DAY, unshared=30 * DAY)
HOME = "192.0.2.0/24"


class Clockwork:
    """The clock's deeds over one stack and a mirror in memory."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.mirror = Memory()
        self.quarantine = Local(stack.places.quarantine)
        keyholder = stack.keyholder("clock")
        self.retention = Retention(stack.registry, stack.objects, self.quarantine, keyholder, stack.now, TERMS, mirrored=True)
        self.mirroring = Mirroring(stack.registry, stack.objects, self.mirror, stack.now)
        self.journal = Journal(stack.registry, keyholder, stack.now)
        self.checking = Checking(stack.registry, stack.objects, self.quarantine, stack.keyholder("desk"))

    def put_study(self, name: str = "Muster^Alice") -> str:
        study_id = self.stack.put_study(name)
        key = self.stack.keyholder("desk").study_keys([study_id])[study_id]
        assert key is not None
        self.stack.manifests.write(study_id, key, "ingester")
        return study_id

    def everything(self) -> None:
        self.retention.run_once()
        self.mirroring.run_once()


@pytest.fixture
def clock(stack: Stack) -> Clockwork:
    return Clockwork(stack)


def test_the_mirror_holds_the_same_ciphertext(clock: Clockwork) -> None:
    study_id = clock.put_study()
    clock.mirroring.run_once()
    registry, objects = clock.stack.registry, clock.stack.objects
    # The registry of this test's study sends its instances; the pictures have no outbox entry of their own there.
    sent = {row.object_id for row in registry.objects(study_id) if row.kind == 1}
    assert set(clock.mirror.names()) == sent | {mirror_name(study_id)}
    for name in sent:
        with objects.open(name) as here, clock.mirror.open(name) as there:
            assert here.read_at(0, here.size) == there.read_at(0, there.size)
    assert all(row.mirrored_at for row in registry.objects(study_id) if row.kind == 1)
    assert registry.outbox_backlog() == (0, 0)


def test_a_mirror_that_gives_back_other_bytes_is_not_believed(clock: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id = clock.put_study()
    honest = clock.mirror.put

    def flip(name: str, pieces: Iterable[bytes]) -> None:
        content = b"".join(pieces)
        honest(name, [content[:-1] + bytes([content[-1] ^ 1])])

    with monkeypatch.context() as patch:
        patch.setattr(clock.mirror, "put", flip)
        assert clock.mirroring.run_once() == 0
    waiting, failed = clock.stack.registry.outbox_backlog()
    assert failed == 1
    assert not any(row.mirrored_at for row in clock.stack.registry.objects(study_id))

    assert clock.mirroring.run_once() == waiting - 1  # the failed one has to wait for its turn
    clock.stack.now.pass_by(60)
    clock.mirroring.run_once()
    assert clock.stack.registry.outbox_backlog() == (0, 0)


def test_a_mirror_that_is_away_for_hours_catches_up_within_minutes(clock: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    clock.put_study()

    def away(*_: object) -> None:
        raise Problem(Code.UNAVAILABLE, "The mirror does not answer. It is tried again by itself.")

    with monkeypatch.context() as patch:
        patch.setattr(clock.mirror, "put", away)
        for _ in range(60):
            clock.mirroring.run_once()
            clock.stack.now.pass_by(60)
    assert clock.stack.registry.outbox_backlog()[0] > 0
    for _ in range(15):
        clock.mirroring.run_once()
        clock.stack.now.pass_by(60)
    assert clock.stack.registry.outbox_backlog() == (0, 0)


def test_alices_letter_from_the_first_day_to_the_last(clock: Clockwork) -> None:
    stack = clock.stack
    study_id = clock.put_study()
    record, given = stack.share(study_id)
    clock.everything()
    portal = stack.keyholder("portal")
    assert isinstance(portal.open_share(given.code, given.password, HOME, None), Opened)

    stack.now.pass_by(90 * DAY)
    clock.everything()
    assert stack.sharing.view(record.share_id).state is ShareState.EXPIRED
    assert isinstance(portal.open_share(given.code, given.password, HOME, None), Opened), "its reader may be told when it ended"

    stack.now.pass_by(14 * DAY)
    clock.everything()
    clock.everything()
    assert isinstance(portal.open_share(given.code, given.password, HOME, None), Wrong)
    assert stack.sharing.view(record.share_id).state is ShareState.GONE
    assert stack.registry.study(study_id) is None
    assert list(stack.objects.names()) == []
    assert list(clock.mirror.names()) == []
    assert stack.keyholder("desk").study_keys([study_id]) == {study_id: None}
    assert stack.registry.outbox_backlog() == (0, 0)
    assert clock.checking.run().problems == []


def test_a_reactivated_letter_keeps_its_study(clock: Clockwork) -> None:
    study_id = clock.put_study()
    record, given = clock.stack.share(study_id)
    clock.stack.now.pass_by(100 * DAY)
    clock.everything()
    clock.stack.sharing.extend("alice's desk", record.share_id, 30)
    clock.stack.now.pass_by(20 * DAY)
    clock.everything()
    opened = clock.stack.keyholder("portal").open_share(given.code, given.password, HOME, None)
    assert isinstance(opened, Opened)
    assert set(opened.study_keys) == {study_id}


def test_a_revoked_letter_opens_nothing_but_tells_its_reader(clock: Clockwork) -> None:
    study_id = clock.put_study()
    record, given = clock.stack.share(study_id)
    clock.stack.sharing.revoke("alice's desk", record.share_id)
    opened = clock.stack.keyholder("portal").open_share(given.code, given.password, HOME, None)
    assert isinstance(opened, Opened)
    assert opened.study_keys == {}
    clock.stack.now.pass_by(14 * DAY)
    clock.everything()
    assert isinstance(clock.stack.keyholder("portal").open_share(given.code, given.password, HOME, None), Wrong)
    assert clock.stack.registry.study(study_id) is not None


def test_an_unshared_study_goes_after_its_own_deadline(clock: Clockwork) -> None:
    shared, unshared = clock.put_study("Muster^Alice"), clock.put_study("Beispiel^Charlie")
    clock.stack.share(shared)
    clock.stack.now.pass_by(30 * DAY)
    clock.everything()
    clock.everything()
    assert clock.stack.registry.study(unshared) is None
    assert clock.stack.registry.study(shared) is not None


@pytest.mark.parametrize("step", ["keyholder", "objects", "registry"])
def test_forgetting_goes_on_after_a_crash_at_any_step(clock: Clockwork, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    study_id = clock.put_study()
    clock.everything()
    clock.stack.now.pass_by(31 * DAY)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        match step:
            case "keyholder":
                patch.setattr(clock.stack.keyholder("clock"), "forget_study", crash)
            case "objects":
                patch.setattr(clock.stack.objects, "delete", crash)
            case "registry":
                patch.setattr(clock.stack.registry, "reports", crash)
        with pytest.raises(KeyboardInterrupt):
            clock.retention.run_once()
    clock.everything()
    assert clock.stack.registry.study(study_id) is None
    assert (list(clock.stack.objects.names()), list(clock.mirror.names())) == ([], [])
    assert clock.stack.keyholder("desk").study_keys([study_id]) == {study_id: None}


def test_without_a_mirror_nothing_waits_for_one(clock: Clockwork) -> None:
    stack = clock.stack
    clock.retention = Retention(stack.registry, stack.objects, clock.quarantine, stack.keyholder("clock"), stack.now, TERMS, mirrored=False)
    clock.put_study()
    clock.stack.now.pass_by(31 * DAY)
    clock.retention.run_once()
    assert clock.stack.registry.outbox_backlog() == (0, 0)


def test_quarantine_goes_too(clock: Clockwork) -> None:
    object_id = clock.stack.put_aside("This is not a DICOM file.")
    clock.stack.now.pass_by(30 * DAY)
    clock.everything()
    assert clock.stack.registry.quarantine() == []
    assert clock.stack.keyholder("desk").study_keys([object_id]) == {object_id: None}


def test_what_readers_did_is_collected_once(clock: Clockwork) -> None:
    study_id = clock.put_study()
    record, given = clock.stack.share(study_id)
    portal = clock.stack.keyholder("portal")
    portal.open_share(given.code, "WRONGWRONG", HOME, None)
    clock.stack.now.pass_by(5)
    portal.open_share(given.code, given.password, HOME, None)
    portal.note("download-ended", record.share_id, None, {"bytes": 4711})
    assert clock.journal.run_once() >= 3
    assert clock.journal.run_once() == 0
    actions = [row.action for row in clock.stack.registry.audit(share_id=record.share_id) if row.action != "keys-changed"]
    assert actions == ["share-created", "share-refused", "share-opened", "download-ended"]
    assert clock.stack.sharing.view(record.share_id).opened_at == clock.stack.now()
    assert clock.stack.registry.audit_is_whole()


def test_a_damaged_object_is_found(clock: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id = clock.put_study()
    assert clock.checking.run().problems == []
    name = clock.stack.registry.instances(study_id)[0].object_id
    file = clock.stack.objects.path(name)
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)
    clock.stack.objects.put("f" * 32, [b"nobody's"])
    later = time.time() + 3 * DAY  # what is young may be under way
    monkeypatch.setattr(time, "time", lambda: later)
    assert [problem.split()[1] for problem in clock.checking.run().problems] == [name, "f" * 32]
