"""Programs that other people wrote send real files; what they sent lies sealed in the intake, byte for byte."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import which
from pynetdicom import AE, _config, build_context
from receiving import NOW, Running, Sample, split
from senders import as_they_are, contexts, run
from wire import CT, EXPLICIT, Peer

from appliance.receiver.syntaxes import IMPLICIT_VR_LITTLE_ENDIAN, TRANSFER_SYNTAXES
from appliance.vault import intake


@pytest.fixture
def readable(samples: list[Sample]) -> list[Sample]:
    """Without the three that DCMTK itself cannot read."""
    return [s for s in samples if s.path.name not in ("explicit_VR-UN.dcm", "SC_rgb_jpeg.dcm", "rtdose_rle.dcm")]


@contextmanager
def storescp(directory: Path) -> Iterator[int]:
    """DCMTK's own receiver, told to keep what comes bit for bit."""
    directory.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([which("storescp"), "+B", "+xa", "-od", directory, str(port)])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def test_echoscu(receiver: Running) -> None:
    run("echoscu", "--repeat", "3", "127.0.0.1", str(receiver.port))


def test_storescu_and_storescp_agree_with_us(receiver: Running, readable: list[Sample], tmp_path: Path) -> None:
    # DCMTK writes a dataset anew before it sends it, so the file is no measure of what was sent. What its own receiver got is.
    files = [sample.path for sample in readable]
    with storescp(tmp_path / "reference") as port:
        for to in (port, receiver.port):
            run("storescu", *as_they_are(tmp_path, readable), "-aet", "ALICE", "-aec", "SHARE", "127.0.0.1", str(to), *files)
    reference = {path.name.partition(".")[2]: split(path.read_bytes())[1] for path in (tmp_path / "reference").iterdir()}
    stored = receiver.stored()
    assert len(stored) == len(readable) == len(reference) >= 15
    assert {uid: one.dataset for uid, one in stored.items()} == reference
    for sample in readable:
        meta = stored[sample.sop_instance].meta
        assert meta.MediaStorageSOPClassUID == sample.sop_class
        assert meta.TransferSyntaxUID == sample.transfer_syntax
        assert (meta.SourceApplicationEntityTitle, meta.SendingApplicationEntityTitle) == ("ALICE", "ALICE")
        assert meta.ReceivingApplicationEntityTitle == "SHARE"
    assert {arrived.arrived_at for arrived in intake.waiting(receiver.directory)} == {NOW}
    assert receiver.left_over() == []


def test_dcmsend_recodes_nothing_but_implicit_vr(receiver: Running, readable: list[Sample]) -> None:
    # It proposes the three uncompressed syntaxes together, explicit first; then no answer fits explicit and implicit files alike.
    run("dcmsend", "-nuc", "127.0.0.1", str(receiver.port), *(sample.path for sample in readable))
    stored = receiver.stored()
    assert len(stored) == len(readable)
    for sample in readable:
        expected = EXPLICIT if sample.transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN else sample.transfer_syntax
        assert stored[sample.sop_instance].meta.TransferSyntaxUID == expected


def test_pynetdicom_sends_file_bytes(receiver: Running, samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # the file's bytes, unread
    entity = AE("ALICE")
    pairs = contexts(samples)
    association = entity.associate("127.0.0.1", receiver.port, contexts=[build_context(*pair) for pair in pairs])
    assert association.is_established
    assert [context.transfer_syntax[0] for context in association.accepted_contexts] == [syntax for _, syntax in pairs]
    for sample in samples:
        assert association.send_c_store(sample.path).Status == 0
    association.release()
    stored = receiver.stored()
    assert {uid: one.dataset for uid, one in stored.items()} == {sample.sop_instance: sample.dataset for sample in samples}


def test_every_transfer_syntax_arrives_as_it_is(receiver: Running) -> None:
    # No bundled file has most of them. What matters here is the label and the bytes, and the receiver looks into none.
    with Peer(receiver.port) as peer:
        peer.associate([(CT, (syntax,)) for syntax in TRANSFER_SYNTAXES])
        for number, syntax in enumerate(TRANSFER_SYNTAXES):
            assert peer.store(f"1.2.{number}", syntax.encode() * 5000, context_id=2 * number + 1) == 0
        peer.release()
    stored = receiver.stored()
    for number, syntax in enumerate(TRANSFER_SYNTAXES):
        assert stored[f"1.2.{number}"].meta.TransferSyntaxUID == syntax
        assert stored[f"1.2.{number}"].dataset == syntax.encode() * 5000


def test_private_and_retired_classes_are_stored_and_other_services_are_not(receiver: Running) -> None:
    private, retired, worklist = "1.3.46.670589.2.3.1", "1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.31"
    with Peer(receiver.port) as peer:
        peer.associate([(sop_class, (EXPLICIT,)) for sop_class in (private, retired, worklist, CT)])
        assert set(peer.accepted) == {1, 3, 7}
        assert peer.store("1.2.1", b"private", sop_class=private, context_id=1) == 0
        assert peer.store("1.2.2", b"retired", sop_class=retired, context_id=3) == 0
        # None of these costs the files behind it, as it would with the association aborted.
        assert peer.store("1.2.3", b"worklist", sop_class=worklist, context_id=5) == 0x0122
        assert peer.store("1.2.4", b"worklist", sop_class=worklist, context_id=7) == 0x0122
        assert peer.store("1.2.5", b"in a context never proposed", context_id=99) == 0x0122
        assert peer.store("1.2.6", b"good", context_id=7) == 0
        peer.release()
    assert {uid: one.dataset for uid, one in receiver.stored().items()} == {"1.2.1": b"private", "1.2.2": b"retired", "1.2.6": b"good"}
