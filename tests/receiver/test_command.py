"""Our command sets against pynetdicom's: it reads what we write, and we read what it writes."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode as pynetdicom_decode

from appliance.receiver.command import C_ECHO, Abuse, Command, decode, respond
from appliance.receiver.statuses import Status

CT = "1.2.840.10008.5.1.4.1.1.2"


def request(sop_instance: str) -> bytes:
    primitive = C_STORE()
    primitive.MessageID = 65535
    primitive.AffectedSOPClassUID = CT
    primitive.AffectedSOPInstanceUID = sop_instance
    primitive.Priority = 2
    primitive.MoveOriginatorApplicationEntityTitle = "CHARLIE"
    primitive.MoveOriginatorMessageID = 3
    primitive.DataSet = BytesIO(b"dataset")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    (_, command), *_ = (pdata.presentation_data_value_list[0] for pdata in message.encode_msg(1, 0))
    return command[1:]


@pytest.mark.parametrize("sop_instance", ["1.2.3", "1.2.34", "0", "1" * 64])
def test_reads_what_pynetdicom_writes(sop_instance: str) -> None:
    assert decode(request(sop_instance)) == Command(0x0001, 65535, True, CT, sop_instance)


def test_leading_zeros_pass_because_senders_write_them() -> None:
    assert decode(request("1.22.3").replace(b"1.22.3", b"1.02.3")).sop_instance == "1.02.3"


@pytest.mark.parametrize("status", Status)
def test_pynetdicom_reads_what_we_write(status: Status) -> None:
    read = pynetdicom_decode(BytesIO(respond(Command(0x0001, 7, True, CT, "1.2.34"), status)), True, True)
    assert read.CommandGroupLength == len(respond(Command(0x0001, 7, True, CT, "1.2.34"), status)) - 12
    assert (read.CommandField, read.MessageIDBeingRespondedTo, read.CommandDataSetType) == (0x8001, 7, 0x0101)
    assert (read.AffectedSOPClassUID, read.AffectedSOPInstanceUID) == (CT, "1.2.34")
    assert (read.Status, read.get("ErrorComment", "")) == status.value
    assert [element.tag.element for element in read] == sorted(element.tag.element for element in read)


def test_a_response_names_no_uid_that_made_no_sense() -> None:
    read = pynetdicom_decode(BytesIO(respond(Command(C_ECHO, 1, False, "", ""), Status.SUCCESS)), True, True)
    assert "AffectedSOPClassUID" not in read
    assert "AffectedSOPInstanceUID" not in read


def test_the_table_of_statuses_is_sound() -> None:
    codes = [status.code for status in Status]
    assert len(set(codes)) == len(codes)
    assert all(len(status.comment) <= 64 and status.comment.isascii() for status in Status)  # VR LO


@given(some.binary(max_size=300))
def test_any_bytes_are_a_command_or_abuse(data: bytes) -> None:
    try:
        command = decode(data)
    except Abuse:
        return
    assert command.field < 0x8000


@given(some.integers(0, 250), some.integers(0, 255))
def test_an_altered_command_is_a_command_or_abuse(at: int, value: int) -> None:
    data = bytearray(request("1.2.3"))
    data[at % len(data)] = value
    try:
        command = decode(bytes(data))
    except Abuse:
        return
    assert set(command.sop_instance) <= set("0123456789.")
