"""Sending to nodes that other people wrote: what arrives is what was sent, byte for byte, and each instance's outcome is told."""

import ssl
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from nodes import Node, archive, dataset_of, orthanc, storescp
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.events import Event
from structlog.testing import capture_logs
from tls_pair import Pair

from appliance.domain.errors import Code, Problem
from appliance.receiver.syntaxes import TRANSFER_SYNTAXES
from appliance.scu.association import FRAGMENT, Patience
from appliance.scu.negotiation import CONTEXTS
from appliance.scu.reasons import Reason
from appliance.scu.storage import Instance, Outcome, Result, send

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
SOON = Patience(connect=5, negotiation=5, piece=5, answer=5)
NOT_OF_DCMTK = {"57", "92", "93", "110", "111", "112", "201", "202", "203", *(f"10{last}.1" for last in range(7))}
"""Ends of the transfer syntaxes below 1.2.840.10008.1.2.4 that storescp 3.6.7 has no option for."""


def instance(number: int, sop_class: str = CT, syntax: str = EXPLICIT, content: Sequence[bytes] = (b"1234", b"5678")) -> Instance:
    """An instance whose dataset is any bytes: nobody on the way need understand them."""

    @contextmanager
    def dataset() -> Iterator[Iterator[bytes]]:
        yield iter(content)

    return Instance(sop_class, f"1.2.3.{number}", syntax, dataset)


def file(path: Path) -> Instance:
    """A file, read in pieces."""
    meta = read_file_meta_info(path)
    content = dataset_of(path.read_bytes())
    pieces = [content[at : at + 1000] for at in range(0, len(content), 1000)]
    made = instance(0, str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID), pieces)
    return Instance(made.sop_class, str(meta.MediaStorageSOPInstanceUID), made.transfer_syntax, made.dataset)


def sent(node: Node, *instances: Instance, tls: ssl.SSLContext | None = None) -> list[Outcome]:
    return list(send(node, "BILDBRIEF", instances, tls=tls, patience=SOON))


def results(outcomes: Sequence[Outcome]) -> list[tuple[Result, Reason | None]]:
    return [(outcome.result, outcome.reason) for outcome in outcomes]


def kept(directory: Path) -> dict[str, tuple[str, bytes]]:
    """What storescp wrote: transfer syntax and dataset, by SOP Instance UID."""
    metas = {path: read_file_meta_info(path) for path in directory.iterdir()}
    return {
        str(meta.MediaStorageSOPInstanceUID): (str(meta.TransferSyntaxUID), dataset_of(path.read_bytes())) for path, meta in metas.items()
    }


def bulk(number: int) -> bytes:
    """A dataset of one private element, of a length that fits no fragment."""
    return struct.pack("<HH2sHL", 9, 0x1010, b"OB", 0, 200_000 + 2 * number) + bytes([number]) * (200_000 + 2 * number)


def test_storescp_keeps_every_byte_in_every_syntax_it_takes(tmp_path: Path) -> None:
    syntaxes = [syntax for syntax in TRANSFER_SYNTAXES if syntax.removeprefix("1.2.840.10008.1.2.4.") not in NOT_OF_DCMTK]
    instances = [instance(number, CT, syntax, (bulk(number),)) for number, syntax in enumerate(syntaxes)]
    with storescp(tmp_path, "+xa") as node:
        outcomes = sent(node, *instances)
    assert results(outcomes) == [(Result.SENT, None)] * len(syntaxes)
    assert len(syntaxes) == 19
    assert kept(tmp_path) == {each.sop_instance: (each.transfer_syntax, bulk(number)) for number, each in enumerate(instances)}


def test_a_syntax_that_is_not_taken_is_told_and_nothing_is_recoded(tmp_path: Path) -> None:
    with storescp(tmp_path) as node:
        outcomes = sent(node, instance(1, content=(bulk(1),)), instance(2, syntax=JPEG), instance(3, content=(bulk(3),)))
    assert results(outcomes) == [(Result.SENT, None), (Result.NOT_ACCEPTED, Reason.TRANSFER_SYNTAX), (Result.SENT, None)]
    assert set(kept(tmp_path)) == {"1.2.3.1", "1.2.3.3"}


def test_orthanc_holds_the_files(tmp_path: Path, files: list[Path]) -> None:
    with orthanc(tmp_path / "orthanc") as pacs:
        outcomes = sent(pacs.node, *map(file, files))
        assert results(outcomes) == [(Result.SENT, None)] * len(files)
        assert pacs.get("/statistics")["CountInstances"] == len(files)
        came = {}
        for orthanc_id in pacs.get("/instances"):
            path = tmp_path / orthanc_id
            path.write_bytes(pacs.bytes(f"/instances/{orthanc_id}/file"))
            dataset = dcmread(path)
            came[str(dataset.SOPInstanceUID)] = (dataset.file_meta.TransferSyntaxUID, dataset)
    for path in files:
        original = dcmread(path)
        syntax, dataset = came[str(original.SOPInstanceUID)]
        assert syntax == original.file_meta.TransferSyntaxUID
        assert dataset == original, path.name


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (0x0000, Result.SENT),
        (0xB000, Result.WARNING),
        (0xB006, Result.WARNING),
        (0xB007, Result.WARNING),
        (0x0107, Result.WARNING),
        (0xA700, Result.REFUSED),
        (0xA900, Result.REFUSED),
        (0xC123, Result.REFUSED),
        (0x0122, Result.REFUSED),
        (0x0124, Result.REFUSED),
    ],
)
def test_statuses(status: int, result: Result) -> None:
    def answer(_: Event) -> Dataset:
        said = Dataset()
        said.Status, said.ErrorComment = status, "Muster^Alice is unknown"
        return said

    with archive([(CT, [EXPLICIT])], answer) as (node, _), capture_logs() as logs:
        (outcome,) = sent(node, instance(1))
    reason = Reason.STATUS if result is Result.REFUSED else None
    assert outcome == Outcome(result, reason, status, "Muster^Alice is unknown")
    assert outcome.arrived == (result is not Result.REFUSED)
    assert "Alice" not in str(logs)


def test_a_refusal_does_not_stop_the_rest() -> None:
    with archive([(CT, [EXPLICIT])], lambda event: 0xA700 if event.request.MessageID == 2 else 0) as (node, peer):
        outcomes = sent(node, *map(instance, range(4)))
        assert [outcome.result for outcome in outcomes] == [Result.SENT, Result.REFUSED, Result.SENT, Result.SENT]
    assert (peer.associations, peer.released) == (1, 1)
    assert peer.callers == {"BILDBRIEF"}
    assert peer.kept == {f"1.2.3.{number}": b"12345678" for number in range(4)}


def test_more_kinds_than_one_association_has_contexts() -> None:
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts[: CONTEXTS + 5]]
    instances = [instance(number, sop_class) for number, sop_class in enumerate(classes)]
    with archive([(sop_class, [EXPLICIT]) for sop_class in classes[:CONTEXTS]]) as (node, peer):
        outcomes = sent(node, *instances)
    assert [outcome.result for outcome in outcomes] == [Result.SENT] * CONTEXTS + [Result.NOT_ACCEPTED] * 5
    assert peer.associations == 2
    assert list(peer.kept) == [each.sop_instance for each in instances[:CONTEXTS]]


def test_a_peer_with_short_pdus_gets_short_fragments() -> None:
    with archive([(CT, [EXPLICIT])], maximum_pdu_size=4097) as (node, peer):
        assert results(sent(node, instance(1, content=(bulk(1), b"", bulk(2))))) == [(Result.SENT, None)]
    assert peer.kept["1.2.3.1"] == bulk(1) + bulk(2)
    assert peer.longest == 4096, "no longer than it takes, and even"


def test_a_peer_that_takes_pdus_of_any_length() -> None:
    with archive([(CT, [EXPLICIT])], maximum_pdu_size=0) as (node, peer):
        assert results(sent(node, instance(1, content=(bulk(1),)))) == [(Result.SENT, None)]
    assert peer.kept["1.2.3.1"] == bulk(1)
    assert peer.longest == FRAGMENT + 6


def test_no_context_is_accepted() -> None:
    with archive([(MR, [EXPLICIT])]) as (node, peer):
        assert results(sent(node, instance(1), instance(2))) == [(Result.NOT_ACCEPTED, Reason.SOP_CLASS)] * 2
    assert peer.kept == {}


@pytest.mark.parametrize(
    ("settings", "called", "reason"),
    [
        ({"require_calling_aet": ["ALICE"]}, "PACS", Reason.CALLING_UNKNOWN),
        ({"require_called_aet": True}, "ELSEWHERE", Reason.CALLED_UNKNOWN),
    ],
)
def test_the_association_is_rejected(settings: dict[str, object], called: str, reason: Reason) -> None:
    with archive([(CT, [EXPLICIT])], node=lambda node: Node(called, node.host, node.port), **settings) as (node, _):
        assert results(sent(node, instance(1), instance(2))) == [(Result.LOST, reason)] * 2


def test_the_peer_aborts_midway() -> None:
    def answer(event: Event) -> int:
        if event.request.MessageID == 2:
            event.assoc.abort()
        return 0

    with archive([(CT, [EXPLICIT])], answer) as (node, peer):
        outcomes = sent(node, *map(instance, range(4)))
    assert results(outcomes) == [(Result.SENT, None)] + [(Result.LOST, Reason.ABORTED)] * 3
    assert peer.associations == 1


@pytest.mark.parametrize("fault", [Problem(Code.DAMAGED, "A stored file is damaged (%(where)s).", where="chunk 1"), OSError("EIO")])
def test_a_file_that_cannot_be_read_costs_only_itself(fault: Exception) -> None:
    @contextmanager
    def damaged() -> Iterator[Iterator[bytes]]:
        def pieces() -> Iterator[bytes]:
            yield bulk(1)
            raise fault

        yield pieces()

    instances = [instance(1), Instance(CT, "1.2.3.2", EXPLICIT, damaged), instance(3)]
    with archive([(CT, [EXPLICIT])]) as (node, peer):
        outcomes = sent(node, *instances)
    assert results(outcomes) == [(Result.SENT, None), (Result.UNREADABLE, Reason.UNREADABLE), (Result.SENT, None)]
    assert set(peer.kept) == {"1.2.3.1", "1.2.3.3"}, "nothing half sent may pass for whole"
    assert peer.associations == 2


def test_over_tls(pair: Pair) -> None:
    with archive([(CT, [EXPLICIT])], tls=pair.server) as (node, peer):
        assert results(sent(node, instance(1), tls=pair.client)) == [(Result.SENT, None)]
        assert results(sent(node, instance(2), tls=pair.stranger)) == [(Result.LOST, Reason.NO_TLS)]
    assert set(peer.kept) == {"1.2.3.1"}
