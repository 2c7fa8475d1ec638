"""Sending on: a study goes to the PACS as it was received, and the audit log says so before it goes and after."""

from pathlib import Path

import pytest
from nodes import archive, dataset_of, free_port, orthanc, storescp
from pydicom.filereader import read_file_meta_info
from stack import Stack, dicom_file
from structlog.testing import capture_logs

from appliance.deeds.sending import Sending
from appliance.domain.audit import Action
from appliance.domain.errors import Code, Problem
from appliance.domain.node import Node
from appliance.domain.study import StudyState
from appliance.registry import StudyRow
from appliance.scu.reasons import Reason
from appliance.scu.storage import Result

CT, MR, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.2.1"
FILES = [dicom_file("Muster^Alice", 1, "CT", "Thorax", number, {}) for number in (1, 2, 3)]


@pytest.fixture
def sending(stack: Stack) -> Sending:
    return Sending(stack.registry, stack.objects, stack.keyholder("desk"), stack.now, "BILDBRIEF")


def told(stack: Stack, study_id: str) -> list[tuple[str, str, str | None]]:
    rows = stack.registry.audit(study_id=study_id)
    return [(row.actor, row.action, row.detail) for row in rows if row.action in (Action.SENDING_STARTED, Action.SENDING_ENDED)]


def test_every_byte_arrives(stack: Stack, sending: Sending, tmp_path: Path) -> None:
    study_id = stack.put_files(*FILES)
    with storescp(tmp_path / "pacs") as node, capture_logs() as logs:
        sent = sending.send("alma", study_id, node)
    assert [each.outcome.result for each in sent] == [Result.SENT] * 3
    assert [each.object_id for each in sent] == [row.object_id for row in stack.registry.instances(study_id)]
    assert {dataset_of(path.read_bytes()) for path in (tmp_path / "pacs").iterdir()} == {dataset_of(file) for file in FILES}
    assert told(stack, study_id) == [
        ("alma", Action.SENDING_STARTED, '{"ae":"PACS","count":3}'),
        ("alma", Action.SENDING_ENDED, '{"ae":"PACS","count":3,"sent":3}'),
    ]
    assert [entry for entry in logs if entry["event"] == "study sent"] == [
        {"event": "study sent", "log_level": "info", "study_id": study_id, "sent": 3}
    ]
    assert "Alice" not in str(logs)


def test_a_pacs_shows_the_study(stack: Stack, sending: Sending, tmp_path: Path) -> None:
    study_id = stack.put_files(*FILES)
    with orthanc(tmp_path / "orthanc") as pacs:
        sending.send("alma", study_id, pacs.node)
        (orthanc_id,) = pacs.get("/studies")
        assert pacs.get(f"/studies/{orthanc_id}")["PatientMainDicomTags"]["PatientName"] == "Muster^Alice"
        assert pacs.get("/statistics")["CountInstances"] == 3
        first = tmp_path / "first.dcm"
        first.write_bytes(pacs.bytes(f"/instances/{pacs.get('/instances')[0]}/file"))
        assert read_file_meta_info(first).TransferSyntaxUID == EXPLICIT


def test_some_instances(stack: Stack, sending: Sending) -> None:
    study_id = stack.put_files(*FILES)
    chosen = stack.registry.instances(study_id)[1].object_id
    with archive([(CT, [EXPLICIT])]) as (node, peer):
        (sent,) = sending.send("alma", study_id, node, only={chosen})
    assert (sent.object_id, sent.outcome.result) == (chosen, Result.SENT)
    assert len(peer.kept) == 1


def test_what_is_not_taken_is_told(stack: Stack, sending: Sending) -> None:
    study_id = stack.put_study(series=(("CT", "Thorax", 2), ("MR", "Thorax", 1)))
    with archive([(MR, [EXPLICIT])]) as (node, _):
        sent = sending.send("alma", study_id, node)
    assert sorted(each.outcome.result for each in sent) == [Result.NOT_ACCEPTED, Result.NOT_ACCEPTED, Result.SENT]
    assert told(stack, study_id)[1][2] == '{"ae":"PACS","count":3,"sent":1}'


def test_a_damaged_object_is_told_and_the_others_arrive(stack: Stack, sending: Sending) -> None:
    study_id = stack.put_files(*FILES)
    damaged = stack.registry.instances(study_id)[1].object_id
    path = stack.objects.path(damaged)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with archive([(CT, [EXPLICIT])]) as (node, peer):
        sent = sending.send("alma", study_id, node)
    assert {each.object_id for each in sent if each.outcome.reason is Reason.UNREADABLE} == {damaged}
    assert len(peer.kept) == 2


def test_nobody_there(stack: Stack, sending: Sending) -> None:
    study_id = stack.put_files(*FILES)
    sent = sending.send("alma", study_id, Node("PACS", "127.0.0.1", free_port()))
    assert {each.outcome.reason for each in sent} == {Reason.NO_CONNECTION}
    assert told(stack, study_id)[1][2] == '{"ae":"PACS","count":3,"sent":0}'


def test_there_is_something_to_send(stack: Stack, sending: Sending) -> None:
    node = Node("PACS", "127.0.0.1", free_port())
    with pytest.raises(Problem) as unknown:
        sending.send("alma", "0" * 32, node)
    arriving = stack.put_study(complete=False, pictures=False)
    with pytest.raises(Problem) as early:
        sending.send("alma", arriving, node)
    with stack.registry.change(stack.now(), "clock") as change:
        change.update(StudyRow, arriving, state=StudyState.FORGOTTEN)
        change.note(Action.STUDY_FORGOTTEN, study_id=arriving)
    with pytest.raises(Problem) as gone:
        sending.send("alma", arriving, node)
    assert [caught.value.code for caught in (unknown, early, gone)] == [Code.NOT_FOUND, Code.CONFLICT, Code.NOT_FOUND]
    assert told(stack, arriving) == []
