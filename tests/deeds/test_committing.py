"""Storage commitment from the intake to the modality: kept is only what can be proved, and it is told once, whatever happens in between."""

from collections.abc import Callable, Iterator
from io import BytesIO

import pytest
from asking import CT, TITLE, Listening, Told, listening, wish
from nodes import free_port
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode
from stack import Stack
from test_ingest import QUIET, Line, alice

from appliance.deeds import committing, facts
from appliance.deeds.committing import AGAIN, GIVE_UP, PATIENCE, Committing
from appliance.deeds.mirroring import Mirroring
from appliance.deeds.proving import ARRIVAL, SAFETY, Proving
from appliance.dicom.cage import Cage
from appliance.dicom.encode import part10
from appliance.dicom.scan import scan
from appliance.domain.audit import Action
from appliance.domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, Verdict
from appliance.domain.node import Node
from appliance.keyholder.backup import copy
from appliance.receiver.part10 import head
from appliance.scu.commitment import report
from appliance.vault import intake
from appliance.vault.blobs import Memory


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage(workers=1, memory=1 << 30, seconds=30) as cage:
        yield cage


class House(Line):
    """The line of images, a mirror, and the line of questions."""

    def __init__(self, stack: Stack, cage: Cage, *, mirrored: bool = False) -> None:
        super().__init__(stack, cage)
        self.nodes: dict[str, Node] = {}
        self.report: Callable[[Node, str, Verdict], str | None] = report
        self.mirroring = Mirroring(stack.registry, stack.objects, Memory(), stack.now)
        self.mirrored = mirrored
        self.committing = self.new_committing()

    def new_committing(self) -> Committing:
        """As after a restart."""
        stack = self.stack
        keyholder = stack.keyholder("ingester")
        proving = Proving(stack.registry, stack.objects, keyholder, stack.now, mirrored=self.mirrored)
        return Committing(
            stack.places.intake,
            stack.registry,
            keyholder,
            self.cage,
            proving,
            stack.now,
            lambda *given: self.report(*given),
            self.nodes,
            "BILDBRIEF",
        )

    def ask(self, information: Dataset | bytes, *, calling: str = TITLE) -> None:
        """What the receiver does with a request."""
        key = intake.read_public(self.stack.places.intake)
        assert key is not None
        incoming = intake.Association(self.stack.places.intake, key, self.stack.now).begin(request=True)
        incoming.writer.write(head(PUSH_MODEL, PUSH_MODEL_INSTANCE, "1.2.840.10008.1.2", calling=calling, called="BILDBRIEF"))
        incoming.writer.write(information if isinstance(information, bytes) else encode(information, True, True) or b"")
        incoming.publish()

    def back_up(self) -> None:
        """A copy of the ring, as the operator makes it."""
        self.stack.now.pass_by(1)
        keys = self.stack.places.keys
        copy(keys / "ring.sqlite3", keys / f"copy-{self.stack.now()}", self.stack.now())

    def store(self, *files: bytes) -> list[str]:
        """Received, complete, their key backed up. Their SOP Instance UIDs."""
        self.receive(*files)
        self.take_in()
        self.stack.now.pass_by(QUIET)
        self.completing.run_once()
        self.back_up()
        return [uid_of(file) for file in files]

    def work(self) -> None:
        for _ in range(3):
            self.committing.run_once()

    def actions(self) -> list[str]:
        return [row.action for row in self.stack.registry.audit() if row.action.startswith("commitment")]

    def waiting(self) -> int:  # type: ignore[override]
        return len(list(intake.requests(self.stack.places.intake))) + len(self.stack.registry.commitments_due(1 << 60))


def uid_of(file: bytes) -> str:
    return str(dcmread(BytesIO(file), stop_before_pixels=True).SOPInstanceUID)


@pytest.fixture
def make(stack: Stack, cage: Cage) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def house(**given: bool) -> House:
        made.append(House(stack, cage, **given))
        return made[-1]

    yield house
    for each in made:
        for ingest in each.ingests:
            ingest.close()


@pytest.fixture
def house(make: Callable[..., House]) -> House:
    return make()


@pytest.fixture
def ear(house: House) -> Iterator[Listening]:
    with listening() as (node, ear):
        house.nodes[TITLE] = node
        yield ear


def test_all_is_kept(house: House, ear: Listening) -> None:
    uids = house.store(alice(1), alice(2))
    asked = wish(*uids)
    house.ask(asked)
    house.work()
    assert ear.heard() == [Told(1, asked.TransactionUID, uids, {}, "BILDBRIEF")]
    assert house.waiting() == 0
    assert house.actions() == [Action.COMMITMENT_ASKED, Action.COMMITMENT_JUDGED, Action.COMMITMENT_REPORTED]


def test_each_reason(house: House, ear: Listening, stack: Stack) -> None:
    kept, damaged, missing, other = house.store(alice(1), alice(2), alice(3), alice(4))
    path = stack.objects.path(instances(stack)[damaged])
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    stack.objects.delete(instances(stack)[missing])
    asked = wish(kept, damaged, missing, "1.2.3.4.5")
    asked.ReferencedSOPSequence.append(wish(other, sop_class="1.2.840.10008.5.1.4.1.1.4").ReferencedSOPSequence[0])
    house.ask(asked)
    stack.now.pass_by(ARRIVAL)
    house.work()
    failed = {damaged: 0x0110, missing: 0x0110, "1.2.3.4.5": 0x0112, other: 0x0119}
    assert ear.heard() == [Told(2, asked.TransactionUID, [kept], failed, "BILDBRIEF")]


def test_other_bytes_under_a_good_seal_are_not_what_was_received(house: House, ear: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    (uid,) = house.store(alice(1))
    monkeypatch.setattr("appliance.deeds.proving.Scanner", Altered)
    house.ask(wish(uid))
    house.work()
    assert [told.failed for told in ear.heard()] == [{uid: 0x0110}]


class Altered:
    """As if the object held another file."""

    def feed(self, piece: bytes) -> None: ...

    def finish(self) -> object:
        return scan((part10(CT, "1.2.3", b""),))


def test_what_is_on_its_way_is_waited_for(house: House, ear: Listening, stack: Stack) -> None:
    (uid,) = [uid_of(alice(1))]
    house.ask(wish(uid))
    house.work()
    assert ear.heard() == []
    house.store(alice(1))
    stack.now.pass_by(AGAIN)
    house.work()
    assert [told.kept for told in ear.heard()] == [[uid]]


def test_it_is_not_looked_at_all_the_time(house: House, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(Proving, "judge", lambda *_: looks.append(stack.now()))
    house.ask(wish("1.2.3"))
    began = stack.now()
    for _ in range(AGAIN + 1):
        house.work()
        stack.now.pass_by(1)
    assert looks == [began, began + AGAIN]


def test_an_unknown_instance_is_given_its_time_and_no_more(house: House, ear: Listening, stack: Stack) -> None:
    house.ask(wish("1.2.3"))
    stack.now.pass_by(ARRIVAL - 1)
    house.work()
    assert ear.heard() == []
    stack.now.pass_by(AGAIN)
    house.work()
    assert [told.failed for told in ear.heard()] == [{"1.2.3": 0x0112}]


def test_a_key_without_a_backup_is_not_safe(house: House, ear: Listening, stack: Stack) -> None:
    house.receive(alice(1))
    house.take_in()
    house.ask(wish(uid_of(alice(1))))
    house.work()
    assert ear.heard() == []
    house.back_up()
    stack.now.pass_by(AGAIN)
    house.work()
    assert [told.event_type for told in ear.heard()] == [1]


def test_a_backup_that_never_comes(house: House, ear: Listening, stack: Stack) -> None:
    house.receive(alice(1))
    house.take_in()
    house.ask(wish(uid_of(alice(1))))
    house.work()
    stack.now.pass_by(SAFETY)
    house.work()
    assert [told.failed for told in ear.heard()] == [{uid_of(alice(1)): 0x0213}]


def test_a_mirror_must_hold_it_first(make: Callable[..., House], stack: Stack) -> None:
    house = make(mirrored=True)
    (uid,) = house.store(alice(1))
    with listening() as (node, ear):
        house.nodes[TITLE] = node
        house.ask(wish(uid))
        house.work()
        assert ear.heard() == []
        house.mirroring.run_once()
        stack.now.pass_by(AGAIN)
        house.work()
        assert [told.kept for told in ear.heard()] == [[uid]]


def test_a_forgotten_study_is_not_kept(house: House, ear: Listening, stack: Stack) -> None:
    (uid,) = house.store(alice(1))
    (study,) = stack.registry.studies()
    stack.keyholder("clock").forget_study(study.study_id)
    house.ask(wish(uid))
    stack.now.pass_by(ARRIVAL)
    house.work()
    assert [told.failed for told in ear.heard()] == [{uid: 0x0112}]


def test_the_latest_revision_counts(house: House, ear: Listening, stack: Stack) -> None:
    uids = house.store(alice(1))
    assert house.store(alice(1)[:-2] + b"\1\1") == uids
    house.ask(wish(*uids))
    house.work()
    assert [told.kept for told in ear.heard()] == [uids]


@pytest.mark.parametrize("information", [b"", b"12345678", wish(), Dataset()])
def test_what_cannot_be_understood_is_noted_and_gone(house: House, ear: Listening, information: Dataset | bytes) -> None:
    house.ask(information)
    house.work()
    assert (ear.heard(), house.waiting()) == ([], 0)
    assert house.actions() == [Action.COMMITMENT_GIVEN_UP]


def test_a_question_asked_again_is_one_question(house: House, ear: Listening) -> None:
    (uid,) = house.store(alice(1))
    asked = wish(uid)
    house.ask(asked)
    house.ask(asked)
    house.work()
    assert len(ear.heard()) == 1
    house.ask(asked)
    house.work()
    assert len(ear.heard()) == 1, "after its answer it is a new one"


def test_a_report_is_made_until_it_is_taken(house: House, stack: Stack) -> None:
    (uid,) = house.store(alice(1))
    port = free_port()
    house.nodes[TITLE] = Node(TITLE, "127.0.0.1", port)
    house.ask(wish(uid))
    house.work()
    house.work()
    assert house.actions()[2:] == [Action.COMMITMENT_DELAYED], "not again before its time"
    with listening(port=port) as (_, ear):
        ear.statuses = [0x0110]
        stack.now.pass_by(PATIENCE[0])
        house.committing.run_once()
        stack.now.pass_by(PATIENCE[1])
        house.committing.run_once()
        assert [told.kept for told in ear.heard()] == [[uid], [uid]]
    assert house.waiting() == 0


def test_who_lets_nobody_be_the_provider_is_not_told(house: House, stack: Stack) -> None:
    (uid,) = house.store(alice(1))
    with listening(provides=False) as (node, ear):
        house.nodes[TITLE] = node
        house.ask(wish(uid))
        house.work()
        assert ear.heard() == []
    assert house.waiting() == 1


def test_after_a_day_it_is_given_up(house: House, stack: Stack) -> None:
    (uid,) = house.store(alice(1))
    house.ask(wish(uid))
    house.work()
    stack.now.pass_by(GIVE_UP)
    house.work()
    assert house.waiting() == 0
    assert house.actions()[-1] == Action.COMMITMENT_GIVEN_UP


@pytest.mark.parametrize("name", ["_read", "fsync_dir", "_judge", "_sealed", "_tell"])
def test_killed_at_any_step_it_goes_on(house: House, ear: Listening, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (uid,) = house.store(alice(1))
    house.ask(wish(uid))
    where = committing if name == "fsync_dir" else Committing

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, name, die)
        with pytest.raises(KeyboardInterrupt):
            house.work()
    house.committing = house.new_committing()
    house.work()
    assert [told.kept for told in ear.heard()] == [[uid]]
    assert house.waiting() == 0


def test_killed_after_it_was_taken_it_is_told_the_same_again(house: House, ear: Listening, stack: Stack) -> None:
    (uid,) = house.store(alice(1))

    def told_and_killed(*given: object) -> str | None:
        assert report(*given) is None  # type: ignore[arg-type]
        raise KeyboardInterrupt

    house.report = told_and_killed
    house.ask(wish(uid))
    with pytest.raises(KeyboardInterrupt):
        house.work()
    stack.objects.delete(instances(stack)[uid])  # a judgement now would be another one
    house.report = report
    house.committing = house.new_committing()
    house.work()
    first, second = ear.heard()
    assert first == second
    assert house.waiting() == 0


def test_intake_keys_outlive_the_questions(house: House, ear: Listening, stack: Stack) -> None:
    (uid,) = house.store(alice(1))
    house.ask(wish(uid))
    stack.keyholder("operator").rotate_intake()
    stack.now.pass_by(3 * 86_400)
    house.ingest.retire_keys()
    house.work()
    assert [told.kept for told in ear.heard()] == [[uid]]


def instances(stack: Stack) -> dict[str, str]:
    """The object of each instance of the one study, by SOP Instance UID."""
    (study,) = stack.registry.studies()
    key = stack.keyholder("desk").study_keys([study.study_id])[study.study_id]
    assert key is not None
    return {facts.instance(row, key).sop_instance: row.object_id for row in stack.registry.instances(study.study_id)}
