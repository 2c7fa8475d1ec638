"""Peers that go silent, stop reading, or answer with what is not DICOM: we end, we say why, and we never run ahead of the socket."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from nodes import Node, accept, read_pdu, scripted

from appliance.domain import commandset
from appliance.scu.association import Patience
from appliance.scu.reasons import Reason
from appliance.scu.storage import Instance, Outcome, Result, send

CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
SHORT = Patience(connect=1, negotiation=0.3, piece=0.3, answer=0.3)

Script = Callable[[socket.socket], None]


def instance(pieces: Iterator[bytes]) -> Instance:
    @contextmanager
    def dataset() -> Iterator[Iterator[bytes]]:
        yield pieces

    return Instance(CT, "1.2.3", EXPLICIT, dataset)


def sent(node: Node, pieces: Iterator[bytes] | None = None) -> Outcome:
    (outcome,) = send(node, "BILDBRIEF", [instance(pieces or iter((b"1234",)))], patience=SHORT)
    return outcome


def until_closed(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


def with_request(connection: socket.socket) -> None:
    """Accept, and take the whole of a small C-STORE request."""
    accept(connection)
    read_pdu(connection)
    read_pdu(connection)


def response(*, field: int = 0x8001, answers: int = 1, context_id: int = 1, control: int = 3, status: int = 0) -> bytes:
    command = commandset.encode(
        {
            commandset.FIELD: field,
            commandset.RESPONDED_TO: answers,
            commandset.DATASET_TYPE: commandset.NO_DATASET,
            commandset.STATUS: status,
        }
    )
    return data(struct.pack(">LBB", len(command) + 2, context_id, control) + command)


def data(body: bytes) -> bytes:
    return struct.pack(">BxL", 4, len(body)) + body


def test_nobody_is_there() -> None:
    with scripted(lambda _: None) as node:
        pass
    assert sent(node) == Outcome(Result.LOST, Reason.NO_CONNECTION)


def test_silent_from_the_beginning() -> None:
    with scripted(until_closed) as node:
        assert sent(node) == Outcome(Result.LOST, Reason.SILENT)


def test_silent_after_the_dataset() -> None:
    def script(connection: socket.socket) -> None:
        with_request(connection)
        until_closed(connection)

    with scripted(script) as node:
        assert sent(node) == Outcome(Result.LOST, Reason.SILENT)


def test_a_slow_answer_byte_by_byte_is_no_answer() -> None:
    def script(connection: socket.socket) -> None:
        with_request(connection)
        connection.sendall(response()[:-1])
        until_closed(connection)

    with scripted(script) as node:
        assert sent(node) == Outcome(Result.LOST, Reason.SILENT)


def test_nothing_is_read_ahead_of_a_peer_that_stops_reading() -> None:
    pulled = 0

    def large() -> Iterator[bytes]:
        nonlocal pulled
        for _ in range(4096):
            pulled += 1 << 16
            yield bytes(1 << 16)

    def script(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        accept(connection)
        reading.wait()

    reading = threading.Event()
    with scripted(script) as node:
        outcome = sent(node, large())
        reading.set()
    assert outcome == Outcome(Result.LOST, Reason.SILENT)
    assert pulled < 32 << 20, "of 256 MiB only what the sockets hold"


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (lambda _: None, Reason.CLOSED),
        (lambda connection: connection.sendall(struct.pack(">BxLxxBB", 7, 4, 2, 0)), Reason.ABORTED),
        (lambda connection: connection.sendall(struct.pack(">BxLxxxx", 5, 4)), Reason.CLOSED),
        (lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Reason.NONSENSE),
        (lambda connection: connection.sendall(struct.pack(">BxL", 4, 0xFFFFFFFF)), Reason.NONSENSE),
        (lambda connection: connection.sendall(data(b"")), Reason.SILENT),
        (lambda connection: connection.sendall(data(b"\0\0")), Reason.NONSENSE),
        (lambda connection: connection.sendall(data(struct.pack(">LBB", 100, 1, 3))), Reason.NONSENSE),
        (lambda connection: connection.sendall(data(struct.pack(">LBB", 2, 1, 3))), Reason.NONSENSE),
        (lambda connection: connection.sendall(data(struct.pack(">LBB", 6, 1, 3) + b"\1\2\3\4")), Reason.NONSENSE),
        (lambda connection: connection.sendall(response(answers=2)), Reason.NONSENSE),
        (lambda connection: connection.sendall(response(field=0x8030)), Reason.NONSENSE),
        (lambda connection: connection.sendall(response(context_id=3)), Reason.NONSENSE),
        (lambda connection: connection.sendall(2000 * response(control=1)), Reason.NONSENSE),
    ],
)
def test_other_answers_to_an_instance(then: Script, reason: Reason) -> None:
    def script(connection: socket.socket) -> None:
        with_request(connection)
        then(connection)
        if reason is Reason.SILENT:
            until_closed(connection)

    with scripted(script) as node:
        assert sent(node) == Outcome(Result.LOST, reason)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", Reason.NONSENSE),
        (struct.pack(">BxL", 2, 4) + b"\0\1\0\0", Reason.NONSENSE),
        (struct.pack(">BxL", 2, 1 << 24), Reason.NONSENSE),
        (struct.pack(">BxLxBBB", 3, 4, 1, 1, 1), Reason.REJECTED),
        (struct.pack(">BxLxBBB", 3, 4, 2, 3, 1), Reason.BUSY),
        (struct.pack(">BxL", 3, 0), Reason.REJECTED),
        (struct.pack(">BxLxxBB", 7, 4, 2, 1), Reason.ABORTED),
    ],
)
def test_other_answers_to_a_proposal(answer: bytes, reason: Reason) -> None:
    def script(connection: socket.socket) -> None:
        read_pdu(connection)
        connection.sendall(answer)

    with scripted(script) as node:
        assert sent(node) == Outcome(Result.LOST, reason)


def test_a_syntax_that_was_not_proposed_is_none() -> None:
    def script(connection: socket.socket) -> None:
        accept(connection, "1.2.840.10008.1.2")
        read_pdu(connection)

    with scripted(script) as node:
        assert sent(node) == Outcome(Result.NOT_ACCEPTED, Reason.TRANSFER_SYNTAX)


def test_a_response_in_pieces_and_with_a_dataset_counts() -> None:
    def script(connection: socket.socket) -> None:
        with_request(connection)
        command = response()[12:].replace(struct.pack("<HHLH", 0, 0x0800, 2, 0x0101), struct.pack("<HHLH", 0, 0x0800, 2, 0))
        for at in range(0, len(command), 7):
            piece = command[at : at + 7]
            control = 3 if at + 7 >= len(command) else 1
            connection.sendall(data(struct.pack(">LBB", len(piece) + 2, 1, control) + piece))
        connection.sendall(data(struct.pack(">LBB", 6, 1, 0) + b"1234" + struct.pack(">LBB", 4, 1, 2) + b"56"))
        assert read_pdu(connection)[0] == 5, "we release"
        connection.sendall(struct.pack(">BxLxxxx", 6, 4))

    with scripted(script) as node:
        assert sent(node) == Outcome(Result.SENT, None, 0)
