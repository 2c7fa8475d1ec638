"""What the benchmark's sender sends is DICOM, byte for byte what it should be, and no answer but success passes for one."""

import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from benches.receiving import pdus
from benches.receiving.network import LOOPBACK, cable, inside
from benches.receiving.pdus import Context, Disagreement
from benches.receiving.receivers import RECEIVERS, Receiver, running
from benches.receiving.sending import Instance, Sender
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, build_context, evt
from pynetdicom.events import Event

CT = Context(str(CTImageStorage), str(ExplicitVRLittleEndian))


def instance(content: bytes, uid: str = "1.2.3", **more: int) -> Instance:
    return Instance(Path(f"{uid}.dcm"), uid, CT, memoryview(content), **more)


@contextmanager
def scp(handler: Callable[[Event], int], *, maximum: int = 16384) -> Iterator[tuple[str, int]]:
    """pynetdicom listens for CT images."""
    entity = AE()
    entity.maximum_pdu_size = maximum
    entity.add_supported_context(CT.sop_class, CT.transfer_syntax)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handler)])
    try:
        yield server.server_address
    finally:
        server.shutdown()


@pytest.mark.parametrize("maximum", [0, 4096, 16384, 1 << 20])
def test_another_reads_what_was_to_be_sent(maximum: int) -> None:
    ours = [instance(bytes(range(256)) * 700), instance(b"\0\1" * 5, "1.2.34"), instance(b"headtail" * 900, "1.2.5", tail=4, repeated=3)]
    received = {}

    def store(event: Event) -> int:
        received[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return 0x0000

    with scp(store, maximum=maximum) as address:
        sender = Sender(address, ours)
        with sender.associate() as association:
            assert association.maximum == maximum
            for one in ours:
                association.store(sender.lay_out(one, association.maximum))
            association.release()
    assert received == {"1.2.3": ours[0].dataset, "1.2.34": ours[1].dataset, "1.2.5": bytes(ours[2].dataset) + b"tail" * 3}
    assert [len(content) for content in received.values()] == [one.size for one in ours]


def test_no_pdu_is_longer_than_the_receiver_takes() -> None:
    one = instance(bytes(100_000))
    stream = b"".join(Sender(("127.0.0.1", 1), [one]).lay_out(one, 4096))
    lengths = []
    while stream:
        (length,) = struct.unpack(">L", stream[2:6])
        lengths.append(length)
        stream = stream[6 + length :]
    assert max(lengths) == 4096
    assert len(lengths) == 1 + -(-100_000 // (4096 - 6))


def test_a_failure_is_told() -> None:
    one = instance(bytes(100))
    with scp(lambda _: 0xA700) as address, Sender(address, [one]).associate() as association:
        with pytest.raises(Disagreement, match="A700H"):
            association.store(Sender(address, [one]).lay_out(one, association.maximum))
        association.release()


def test_a_context_that_is_not_accepted_is_told() -> None:
    other = Instance(Path("mr.dcm"), "1.2.3", Context(str(MRImageStorage), CT.transfer_syntax), memoryview(b""))
    with scp(lambda _: 0) as address, pytest.raises(Disagreement, match="transfer syntax"):
        Sender(address, [instance(b""), other]).associate()


def test_a_receiver_that_goes_away_is_told() -> None:
    one = instance(bytes(100))

    def leave(event: Event) -> int:
        event.assoc.abort()
        return 0

    with scp(leave) as address, Sender(address, [one]).associate() as association, pytest.raises((Disagreement, OSError)):
        association.store(Sender(address, [one]).lay_out(one, association.maximum))


@pytest.mark.parametrize("sink", [one for one in RECEIVERS if not one.keeps], ids=lambda one: one.name)
def test_the_sinks_answer_another_sender(tmp_path: Path, sink: Receiver) -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.PatientName = CTImageStorage, "1.2.3", "Muster^Alice"
    dataset.add_new("PixelData", "OW", bytes(300_000))
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with running(sink, tmp_path / "sink", LOOPBACK, [instance(b"")]) as there:
        association = AE().associate(*there.address, contexts=[build_context(*CT)])
        assert [association.send_c_store(dataset).Status for _ in range(3)] == [0, 0, 0]
        association.release()
        assert association.is_released


def test_a_command_set_is_read_as_it_is_written() -> None:
    answer = pdus.store_response(pdus.store_request(CT.sop_class, "1.2.3", 7))
    assert pdus.status(answer) == 0
    assert pdus.status(answer.replace(struct.pack("<HHLH", 0, 0x0900, 2, 0), struct.pack("<HHLH", 0, 0x0900, 2, 0xA700))) == 0xA700


def test_sender_and_receiver_meet_over_the_cable() -> None:
    with cable() as network:
        with inside(network.receiver):
            listener = socket.create_server((network.host, 0))
        with closing(listener):
            connect = f"import socket; socket.create_connection({listener.getsockname()!r}, 10)"
            with inside(network.sender):
                subprocess.run([sys.executable, "-c", connect], check=True)
            listener.accept()[0].close()
            if network.sender is not None:  # and from nowhere else
                assert subprocess.run([sys.executable, "-c", connect.replace("10)", "0.2)")], capture_output=True, check=False).returncode
