"""Storage commitment at the receiver: it takes requests unread, durable before it answers, from those who can be told, if it is to."""

from collections.abc import Callable
from functools import partial

import pytest
from asking import CT, TITLE, ask, wish
from nodes import Node
from receiving import Running
from wire import COMMAND, LAST, Peer, element, number, uid

from appliance.domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from appliance.receiver import messages
from appliance.receiver.limits import Limits
from appliance.receiver.service import Site
from appliance.vault import intake, keys
from appliance.vault.sealed import Kind, Reader

IMPLICIT = "1.2.840.10008.1.2"


@pytest.fixture
def taking(start: Callable[[Limits], Running], monkeypatch: pytest.MonkeyPatch) -> Running:
    """A receiver that offers storage commitment to CT1."""
    monkeypatch.setattr("receiving.Site", partial(Site, committed_to={TITLE}))
    return start(Limits(reserve=0))


def node(receiver: Running) -> Node:
    return Node("BILDBRIEF", "127.0.0.1", receiver.port)


def requests(receiver: Running) -> list[bytes]:
    found = []
    for arrived in intake.requests(receiver.directory):
        key = keys.object_key(keys.open_envelope(receiver.private, arrived.envelope, keys.INTAKE_INFO), bytes.fromhex(arrived.object_id))
        with intake.opened(arrived) as source:
            found.append(Reader(source, object_id=bytes.fromhex(arrived.object_id), key=key, kind=Kind.DICOM).read_all(1 << 24))
    return found


def test_it_is_off_unless_it_is_set(receiver: Running) -> None:
    assert ask(node(receiver), wish("1.2.3")) is None
    assert list((receiver.directory / "new").iterdir()) == []


def test_a_request_is_kept_sealed_and_is_no_instance(taking: Running) -> None:
    information = wish("1.2.3", "1.2.4")
    status = ask(node(taking), information)
    assert status is not None
    assert status.Status == 0
    assert list(intake.waiting(taking.directory)) == []
    (file,) = requests(taking)
    assert information.TransactionUID.encode() in file
    assert information.TransactionUID.encode() not in b"".join(path.read_bytes() for path in (taking.directory / "new").iterdir())
    assert taking.left_over() == []


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"title": "STRANGER"}, 0x0124),
        ({"action": 2}, 0x0123),
        ({"instance": "1.2.840.10008.1.20.1.2"}, 0x0112),
        ({"klass": CT}, 0x0211),
    ],
)
def test_what_is_refused(taking: Running, given: dict[str, object], status: int) -> None:
    said = ask(node(taking), wish("1.2.3"), **given)  # type: ignore[arg-type]
    assert said is not None
    assert said.Status == status
    assert requests(taking) == []


def test_a_request_that_is_too_large(taking: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "ACTION_LIMIT", 1000)
    said = ask(node(taking), wish(*(f"1.2.3.{last}" for last in range(100))))
    assert said is not None
    assert said.Status == 0x0213
    assert requests(taking) == []
    assert taking.left_over() == []


@pytest.mark.parametrize(("context", "dataset_type", "status"), [(PUSH_MODEL, 0x0101, 0x0115), (CT, 1, 0x0211), (PUSH_MODEL, 1, 0)])
def test_a_request_by_hand(taking: Running, context: str, dataset_type: int, status: int) -> None:
    with Peer(taking.port) as peer:
        peer.associate([(context, (IMPLICIT,))], calling=TITLE.encode())
        peer.fragment(1, COMMAND | LAST, action(dataset_type))
        if dataset_type == 1:
            peer.dataset(b"12345678")
        response = peer.response()
    assert int.from_bytes(response[0x0900], "little") == status
    assert (response[0x0100], response[0x0120], response[0x1008]) == (number(0x8130), number(7), number(1))
    assert len(requests(taking)) == (status == 0)


def test_a_context_for_requests_takes_no_instance(taking: Running) -> None:
    with Peer(taking.port) as peer:
        peer.associate([(PUSH_MODEL, (IMPLICIT,))], calling=TITLE.encode())
        assert peer.store(PUSH_MODEL_INSTANCE, b"12345678", sop_class=PUSH_MODEL) == 0x0122
        assert peer.store("1.2.3", b"12345678") == 0x0122
    assert requests(taking) == []
    assert list(intake.waiting(taking.directory)) == []


def action(dataset_type: int) -> bytes:
    body = b"".join(
        (
            element(0x0003, uid(PUSH_MODEL)),
            element(0x0100, number(0x0130)),
            element(0x0110, number(7)),
            element(0x0800, number(dataset_type)),
            element(0x1001, uid(PUSH_MODEL_INSTANCE)),
            element(0x1008, number(1)),
        )
    )
    return element(0x0000, len(body).to_bytes(4, "little")) + body
