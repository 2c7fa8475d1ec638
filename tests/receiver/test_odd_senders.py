"""Senders with habits of their own, all within the standard: nothing of it changes what arrives."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
from pynetdicom import AE, _config, build_context, evt
from pynetdicom.pdu import A_ASSOCIATE_AC, A_RELEASE_RP, P_DATA_TF
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation
from receiving import Running, Sample
from senders import UNKNOWN_TO_DCMTK, as_they_are, contexts, run
from specimens import write_encapsulated
from wire import CT, EXPLICIT, Peer

from appliance.receiver.syntaxes import TRANSFER_SYNTAXES

WORKLIST = "1.2.840.10008.5.1.4.31"
JPEG, DEFLATED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1.99"
NAGLE = {"TCP_NODELAY": "0"}  # what DCMTK reads at run time


@pytest.fixture
def known(specimens: list[Sample]) -> list[Sample]:
    """What DCMTK can send."""
    return [specimen for specimen in specimens if specimen.transfer_syntax not in UNKNOWN_TO_DCMTK]


def check(receiver: Running, sent: Sequence[Sample]) -> None:
    stored = receiver.stored()
    assert {uid: one.meta.TransferSyntaxUID for uid, one in stored.items()} == {each.sop_instance: each.transfer_syntax for each in sent}
    assert [each.transfer_syntax for each in sent if stored[each.sop_instance].dataset != each.dataset] == []
    assert receiver.left_over() == []


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        (NAGLE, ()),
        ({}, ("--max-pdu", "4096", "--max-send-pdu", "4096")),
        ({}, ("--max-pdu", "131072", "--max-send-pdu", "131072")),
        (NAGLE, ("--max-send-pdu", "5000")),
        ({}, ("--user", "alice", "--empty-password")),
    ],
    ids=["Nagle", "small PDUs", "large PDUs", "Nagle and PDUs of no round size", "user identity"],
)
def test_storescu(receiver: Running, known: list[Sample], tmp_path: Path, environment: dict[str, str], options: tuple[str, ...]) -> None:
    files = [sample.path for sample in known]
    run("storescu", *options, *as_they_are(tmp_path, known), "127.0.0.1", str(receiver.port), *files, **environment)
    check(receiver, known)


def test_an_association_for_each_instance(receiver: Running, known: list[Sample], tmp_path: Path) -> None:
    profile = as_they_are(tmp_path, known)
    for sample in known:
        run("storescu", *profile, "127.0.0.1", str(receiver.port), sample.path, **NAGLE)
    check(receiver, known)


@pytest.mark.parametrize("maximum", [0, 4096, 1 << 20])
def test_longest_pdu_a_sender_takes(receiver: Running, specimens: list[Sample], monkeypatch: pytest.MonkeyPatch, maximum: int) -> None:
    """0 is without limit (PS3.8 D.1). An answer fits into one PDU of each."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    answers: list[object] = []
    association = AE().associate(
        "127.0.0.1",
        receiver.port,
        contexts=[build_context(*pair) for pair in contexts(specimens)],
        max_pdu=maximum,
        evt_handlers=[(evt.EVT_PDU_RECV, lambda event: answers.append(event.pdu))],
    )
    for specimen in specimens:
        assert association.send_c_store(specimen.path).Status == 0
    association.release()
    assert [type(pdu) for pdu in answers] == [A_ASSOCIATE_AC, *[P_DATA_TF] * len(specimens), A_RELEASE_RP]
    check(receiver, specimens)


def test_one_class_in_many_contexts_with_one_syntax_each(receiver: Running) -> None:
    """Also twice the same: each answer is told by the context's number and nothing else."""
    proposed = [(CT, (syntax,)) for syntax in (*TRANSFER_SYNTAXES, *TRANSFER_SYNTAXES[:3])]
    with Peer(receiver.port) as peer:
        peer.associate(proposed)
        assert peer.accepted == {2 * place + 1: syntax for place, (_, (syntax,)) in enumerate(proposed)}
        for context_id, syntax in peer.accepted.items():
            assert peer.store(f"1.2.{context_id}", syntax.encode(), context_id=context_id) == 0
        peer.release()
    stored = receiver.stored()
    assert len(stored) == len(proposed)
    for context_id, syntax in peer.accepted.items():
        assert (stored[f"1.2.{context_id}"].meta.TransferSyntaxUID, stored[f"1.2.{context_id}"].dataset) == (syntax, syntax.encode())


def test_whoever_would_not_wait_for_answers_is_told_to(receiver: Running, known: list[Sample]) -> None:
    """Without an item in the answer one operation at a time is agreed on (PS3.7 D.3.3.3)."""
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked, window.maximum_number_operations_performed = 8, 8
    association = AE().associate("127.0.0.1", receiver.port, contexts=[build_context(CT, EXPLICIT)], ext_neg=[window])
    assert association.is_established
    assert association.acceptor.asynchronous_operations == (1, 1)
    assert association.send_c_store(known[0].path).Status == 0
    association.release()
    assert list(receiver.stored()) == [known[0].sop_instance]


# -- what is not taken, in the midst of what is ------------------------------------------------------------------------


def test_each_context_that_is_not_taken_says_why(receiver: Running) -> None:
    """PS3.8 9.3.3.2: 3 the SOP class is not supported, 4 none of the transfer syntaxes."""
    proposed = [(CT, EXPLICIT), (WORKLIST, EXPLICIT), (CT, DEFLATED), (CT, [DEFLATED, JPEG])]
    association = AE().associate("127.0.0.1", receiver.port, contexts=[build_context(*pair) for pair in proposed])
    assert {context.context_id: context.result for context in association.rejected_contexts} == {3: 3, 5: 4}
    assert [(context.context_id, context.transfer_syntax) for context in association.accepted_contexts] == [(1, [EXPLICIT]), (7, [JPEG])]
    association.release()
    association = AE().associate("127.0.0.1", receiver.port, contexts=[build_context(CT, DEFLATED)])
    assert [context.result for context in association.rejected_contexts] == [4]


@pytest.fixture
def mixed(known: list[Sample], tmp_path: Path) -> list[Sample]:
    """Files, one of which in the midst is of a SOP class that is not stored."""
    path = tmp_path / "worklist.dcm"
    write_encapsulated(path, JPEG, "2.25.2000", WORKLIST)
    return [*known[:5], Sample(path, WORKLIST, "2.25.2000", JPEG), *known[5:]]


def test_a_class_that_is_not_stored_is_answered_and_the_rest_arrives(
    receiver: Running, mixed: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request for it can come only in a context for something else: here JPEG's of CT, which the sender takes for worklists'."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    proposed = [(CT, JPEG), *(pair for pair in contexts(mixed) if pair[0] != WORKLIST)]
    association = AE().associate("127.0.0.1", receiver.port, contexts=[build_context(*pair) for pair in proposed])
    association.accepted_contexts[0].abstract_syntax = WORKLIST
    assert [association.send_c_store(sample.path).Status for sample in mixed] == [0x0122 if x.sop_class == WORKLIST else 0 for x in mixed]
    association.release()
    check(receiver, [sample for sample in mixed if sample.sop_class != WORKLIST])


@pytest.mark.parametrize(("options", "arrive"), [(["--no-halt"], None), ([], 5)], ids=["goes on", "stops"])
def test_storescu_without_a_context_for_one_file(
    receiver: Running, mixed: list[Sample], tmp_path: Path, options: list[str], arrive: int | None
) -> None:
    """It goes on or fails there, as it is told. What it has sent until then is here."""
    files = [sample.path for sample in mixed]
    with nullcontext() if options else pytest.raises(AssertionError, match="No presentation context for"):
        run("storescu", *options, *as_they_are(tmp_path, mixed), "127.0.0.1", str(receiver.port), *files)
    check(receiver, [sample for sample in mixed if sample.sop_class != WORKLIST][:arrive])
