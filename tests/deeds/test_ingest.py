"""What the receiver published becomes a study, once, whatever happens in between."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from stack import Stack, dicom_file

from appliance.deeds import facts, sealing
from appliance.deeds.completing import Completing
from appliance.deeds.ingest import Ingest
from appliance.deeds.retention import Retention
from appliance.dicom.cage import Cage
from appliance.dicom.reasons import Reason
from appliance.domain.errors import Code, Problem
from appliance.domain.retention import Terms
from appliance.domain.share import DAY
from appliance.domain.study import StudyState
from appliance.vault import intake
from appliance.vault.blobs import Local

QUIET = 30


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage(workers=1, memory=1 << 30, seconds=30) as cage:
        yield cage


class Line:
    """From the receiver's last step to the complete study."""

    def __init__(self, stack: Stack, cage: Cage) -> None:
        self.stack = stack
        self.quarantine = Local(stack.places.quarantine)
        self.cage = cage
        self.ingests: list[Ingest] = []
        self.ingest = self.new_ingest()
        keyholder = stack.keyholder("ingester")
        self.completing = Completing(stack.registry, stack.objects, keyholder, cage, stack.manifests, stack.now, QUIET)
        self.ingest.publish_key()

    def new_ingest(self) -> Ingest:
        """As after a restart."""
        stack = self.stack
        made = Ingest(
            stack.places.intake, stack.objects, self.quarantine, stack.registry, stack.keyholder("ingester"), self.cage, stack.now, 1
        )
        self.ingests.append(made)
        return made

    def receive(self, *files: bytes) -> None:
        """What the receiver does with the files of one association."""
        key = intake.read_public(self.stack.places.intake)
        assert key is not None
        association = intake.Association(self.stack.places.intake, key, self.stack.now)
        for file in files:
            incoming = association.begin()
            incoming.writer.write(file)
            incoming.publish()

    def take_in(self) -> None:
        while self.ingest.run_once():
            pass

    def waiting(self) -> list[Path]:
        return sorted((self.stack.places.intake / "new").iterdir())

    def contents(self, study_id: str) -> list[bytes]:
        """The plain bytes of a study's latest instances."""
        registry = self.stack.registry
        key = self.stack.keyholder("ingester").study_keys([study_id])[study_id]
        assert key is not None
        found = []
        for row in registry.instances(study_id):
            stored = registry.object(row.object_id)
            assert stored is not None
            with sealing.opened(self.stack.objects, stored, key) as reader:
                found.append(b"".join(reader.read()))
        return found


@pytest.fixture
def line(stack: Stack, cage: Cage) -> Iterator[Line]:
    made = Line(stack, cage)
    yield made
    for ingest in made.ingests:
        ingest.close()


def alice(number: int = 1, **elements: object) -> bytes:
    return dicom_file("Muster^Alice", 1, "CT", "Thorax", number, dict(elements))


def test_published_files_become_a_study(line: Line) -> None:
    files = [alice(number) for number in range(1, 4)]
    line.receive(*files)
    line.take_in()
    (study,) = line.stack.registry.studies()
    assert study.state is StudyState.RECEIVING
    assert sorted(line.contents(study.study_id)) == sorted(files)
    assert line.waiting() == []
    key = line.stack.keyholder("desk").study_keys([study.study_id])[study.study_id]
    assert key is not None
    assert facts.study(study, key).patient_name == "Muster^Alice"


def test_a_quiet_study_is_complete_with_pictures_and_a_manifest(line: Line) -> None:
    line.receive(alice(1), alice(2))
    line.take_in()
    assert line.completing.run_once() == 0
    line.stack.now.pass_by(QUIET)
    assert line.completing.run_once() == 1
    (study,) = line.stack.registry.studies()
    (series,) = line.stack.registry.series(study.study_id)
    assert study.state is StudyState.COMPLETE
    assert (study.generation, series.picture_note) == (1, None)
    assert all(name and line.stack.objects.exists(name) for name in (study.manifest_id, series.thumb_id, series.picture_id))
    waiting = {row.name for row in line.stack.registry.outbox_of(study.study_id)}
    assert waiting == {row.object_id for row in line.stack.registry.objects(study.study_id)} | {f"manifests/{study.study_id}"}


def test_a_late_image_joins_and_the_study_completes_again(line: Line) -> None:
    line.receive(alice(1))
    line.take_in()
    line.stack.now.pass_by(QUIET)
    line.completing.run_once()
    line.receive(alice(2))
    line.take_in()
    (study,) = line.stack.registry.studies()
    assert study.state is StudyState.RECEIVING
    old = study.manifest_id
    line.stack.now.pass_by(QUIET)
    line.completing.run_once()
    (study,) = line.stack.registry.studies()
    assert (study.state, study.generation) == (StudyState.COMPLETE, 2)
    assert len(line.contents(study.study_id)) == 2
    assert old is not None
    assert not line.stack.objects.exists(old)


def test_a_study_is_not_complete_while_more_of_it_waits(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a pause: everything is older than the quiet time, and only a part of it is taken in at once."""
    monkeypatch.setattr("appliance.deeds.ingest.BATCH", 2)
    line.receive(*(alice(number) for number in range(1, 6)))
    line.stack.now.pass_by(QUIET)
    while line.ingest.run_once():
        waiting = len(line.waiting())
        assert line.completing.run_once(line.ingest.waits_since()) == (waiting == 0)
    (study,) = line.stack.registry.studies()
    assert (study.state, study.generation) == (StudyState.COMPLETE, 1)
    assert len(line.contents(study.study_id)) == 5


def test_a_quiet_study_completes_while_later_ones_wait(line: Line) -> None:
    line.receive(alice())
    line.take_in()
    line.stack.now.pass_by(QUIET)
    line.receive(alice(2).replace(b"4711", b"4712"))
    assert line.completing.run_once(line.ingest.waits_since()) == 1


def test_the_same_again_changes_nothing(line: Line) -> None:
    for _ in range(3):
        line.receive(alice())
        line.take_in()
    (study,) = line.stack.registry.studies()
    assert line.contents(study.study_id) == [alice()]
    assert len(list(line.stack.objects.names())) == 1


def test_other_bytes_under_the_same_uid_are_a_revision(line: Line) -> None:
    line.receive(alice(ImageComments="first"))
    line.take_in()
    first = alice(ImageComments="first")
    second = first.replace(b"first ", b"second"[:6].ljust(6))
    assert second != first
    line.receive(second)
    line.take_in()
    (study,) = line.stack.registry.studies()
    assert line.contents(study.study_id) == [second]
    assert [row.revision for row in line.stack.registry.all_instances(study.study_id)] in ([1, 2], [2, 1])


def test_the_same_study_uid_under_another_patient_is_another_study(line: Line) -> None:
    charlie = alice().replace(b"4711", b"4712")
    line.receive(alice(), charlie)
    line.take_in()
    assert len(line.stack.registry.studies()) == 2


@pytest.mark.parametrize("step", ["_link", "_register", "unlink"])
def test_a_crash_at_any_step_is_made_up_for(line: Line, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    files = [alice(1), alice(2), b"no DICOM at all"]

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "unlink":
            patch.setattr(Path, "unlink", crash)
        else:
            patch.setattr(line.ingest, step, crash)
        line.receive(*files)
        with pytest.raises(KeyboardInterrupt):
            line.ingest.run_once()
    assert len(line.waiting()) == 3

    line.ingest = line.new_ingest()
    line.take_in()
    (study,) = line.stack.registry.studies()
    assert sorted(line.contents(study.study_id)) == sorted(files[:2])
    assert len(line.stack.registry.quarantine()) == 1
    assert line.waiting() == []
    assert len(list(line.stack.objects.names())) == 2


def test_without_the_keyholder_everything_waits(line: Line) -> None:
    line.receive(alice())
    line.stack.stop_keyholder()
    with pytest.raises(Problem):
        line.ingest.run_once()
    assert len(line.waiting()) == 1
    line.stack.start_keyholder()
    line.take_in()
    (study,) = line.stack.registry.studies()
    assert line.contents(study.study_id) == [alice()]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", Reason.NOT_DICOM),
        (b"GIF89a" * 100, Reason.NOT_DICOM),
        (alice()[:-100], Reason.TRUNCATED),
    ],
)
def test_what_cannot_be_understood_is_kept_aside_with_its_reason(line: Line, file: bytes, reason: Reason) -> None:
    line.receive(file, alice())
    line.take_in()
    (aside,) = line.stack.registry.quarantine()
    assert aside.reason == reason
    assert line.quarantine.exists(aside.object_id)
    assert len(line.stack.registry.studies()) == 1


def test_who_sent_what_could_not_be_understood_is_told(line: Line) -> None:
    line.receive(alice()[:-100])
    line.take_in()
    (aside,) = line.stack.registry.quarantine()
    key = line.stack.keyholder("desk").study_keys([aside.study_id])[aside.study_id]
    assert key is not None
    assert facts.quarantine(aside, key) == {"source_ae": "SCANNER"}


def test_a_file_tampered_with_in_the_intake_is_set_aside(line: Line) -> None:
    line.receive(alice())
    (file,) = line.waiting()
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    line.take_in()
    assert [row.reason for row in line.stack.registry.quarantine()] == [Reason.UNREADABLE]
    assert line.stack.registry.studies() == []


def test_no_name_lies_readable(line: Line) -> None:
    line.receive(alice(), b"PN Muster^Alice in something that is no DICOM file")
    line.take_in()
    line.stack.now.pass_by(QUIET)
    line.completing.run_once()
    line.stack.registry.close()
    files = [file for file in line.stack.places.data.rglob("*") if file.is_file()]
    assert len(files) > 4
    assert [file for file in files if b"Muster" in file.read_bytes() or "Muster" in file.name] == []


@pytest.mark.parametrize("gone", [False, True], ids=["given up", "gone"])
def test_an_image_that_meets_the_end_of_its_study_begins_a_new_one(line: Line, monkeypatch: pytest.MonkeyPatch, gone: bool) -> None:
    """The clock forgets a study between the moment a late image finds it and the moment it is registered."""
    line.receive(alice(1))
    line.take_in()
    line.stack.now.pass_by(QUIET)
    assert line.completing.run_once() == 1
    (old,) = line.stack.registry.studies()
    line.stack.now.pass_by(30 * DAY)
    late = alice(2)
    line.receive(late)
    keyholder = line.stack.keyholder("clock")
    retention = Retention(line.stack.registry, line.stack.objects, line.quarantine, keyholder, line.stack.now, Terms(), mirrored=False)
    adopt = line.stack.objects.adopt

    def away(*_: object) -> None:
        raise Problem(Code.UNAVAILABLE, "The keyholder does not answer.")

    def adopt_too_late(*given: Any) -> None:
        adopt(*given)
        with monkeypatch.context() as patch, suppress(Problem):
            if not gone:
                patch.setattr(keyholder, "forget_study", away)
            retention.run_once()

    with monkeypatch.context() as patch:
        patch.setattr(line.stack.objects, "adopt", adopt_too_late)
        with pytest.raises(Problem) as refused:
            line.ingest.run_once()
    assert refused.value.code is Code.CONFLICT
    assert len(line.waiting()) == 1
    line.take_in()
    (new,) = line.stack.registry.studies()
    assert new.study_id != old.study_id
    assert line.contents(new.study_id) == [late]
    assert line.waiting() == []
