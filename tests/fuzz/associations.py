"""Streams of PDUs for the receiver's layer: a peer says all it has to say, closes its side, and reads the answers."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
from receiving import no_certificate
from wire import (
    ABORT,
    ACCEPT,
    APPLICATION,
    COMMAND,
    CT,
    DATA,
    EXPLICIT,
    LAST,
    REJECT,
    RELEASE,
    RELEASE_REQUEST,
    context,
    element,
    item,
    number,
    store_command,
    uid,
    user,
)

from appliance.domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from appliance.receiver import command, layer, messages, request, service
from appliance.receiver.limits import Limits, Patience
from appliance.vault import intake, keys

SECRET = b"Muster\1mann^Erika"  # no AE title may hold such a character, so it cannot get into a line that way
FAULTS = {"association failed", "instance not stored", "intake key cannot be used"}
LIMITS = Limits(instance=20_000, reserve=0, pdu=4096, patience=Patience(first=5, pdu=5, idle=5))


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBL", kind, 0, len(body)) + body


def pdv(control: int, data: bytes, context_id: int = 1) -> bytes:
    return struct.pack(">LBB", len(data) + 2, context_id, control) + data


ASK = struct.pack(">HH16s16s32x", 1, 0, b"BILDBRIEF".ljust(16), b"ALICE".ljust(16))
ODD = b"".join(item(kind, b"\0\5ABCDE\0\3123") for kind in (0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59))
PLAIN = pdu(1, ASK + item(0x10, APPLICATION) + context(1, CT, EXPLICIT) + user())
RICH = pdu(
    1,
    ASK
    + item(0x10, APPLICATION)
    + context(1, CT, "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2")
    + context(3, "1.2.840.10008.1.1", "1.2.840.10008.1.2")
    + context(5, "1.2.3.4", "1.2.840.10008.1.2.1.99")
    + context(7, PUSH_MODEL, "1.2.840.10008.1.2")
    + user(64, ODD),
)
STORE = store_command(uid(CT), b"1.2.3\0")
ECHO = store_command(b"1.2.840.10008.1.1\0", b"", field=0x30, dataset_type=0x0101)
FIND = store_command(uid(CT), b"", field=0x20)
ACTION = b"".join(
    (
        element(0x0003, uid(PUSH_MODEL)),
        element(0x0100, number(0x0130)),
        element(0x0110, number(7)),
        element(0x0800, number(1)),
        element(0x1001, uid(PUSH_MODEL_INSTANCE)),
        element(0x1008, number(1)),
    )
)
CANCEL = element(0x0100, number(0x0FFF))
INSTANCE = pdu(DATA, pdv(COMMAND | LAST, STORE)) + pdu(DATA, pdv(0, SECRET * 9) + pdv(LAST, SECRET))
LEAVE = pdu(RELEASE_REQUEST, bytes(4))
GOOD = PLAIN + INSTANCE + LEAVE
SEEDS = (
    GOOD,
    RICH + INSTANCE + pdu(DATA, pdv(COMMAND | LAST, ECHO, 3)) + LEAVE,
    PLAIN + pdu(DATA, b"".join(pdv(COMMAND, bytes([one])) for one in STORE) + pdv(COMMAND | LAST, b"") + pdv(LAST, SECRET)),
    PLAIN + pdu(DATA, pdv(COMMAND | LAST, STORE)) + pdu(DATA, pdv(0, bytes(4000))) * 6 + pdu(DATA, pdv(LAST, b"")) + INSTANCE,
    PLAIN + pdu(DATA, pdv(COMMAND | LAST, FIND) + pdv(LAST, SECRET)) + pdu(DATA, pdv(COMMAND | LAST, CANCEL)) + pdu(ABORT, bytes(4)),
    RICH + pdu(DATA, pdv(COMMAND | LAST, ACTION, 7)) + pdu(DATA, pdv(LAST, SECRET, 7)) + LEAVE,
    pdu(1, ASK.replace(b"ALICE", b"EVE  ") + item(0x10, b"1.2.3") + context(1, CT, EXPLICIT) + user()),
    PLAIN + pdu(ACCEPT, bytes(68)) + pdu(REJECT, bytes(4)) + pdu(RELEASE, bytes(4)),
)


class Associations:
    """A service with an intake of its own below `directory`."""

    modules = (layer, messages, command, request, service)

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for name in ("tmp", "new"):
            (directory / name).mkdir()
        intake.write_public(directory, intake.PublicKey("00c0ffee", keys.new_pair()[1]))
        self._service = service.Service(service.Site(directory, "BILDBRIEF", LIMITS, (), lambda: 1_700_000_000, no_certificate, {"ALICE"}))

    def seeds(self) -> tuple[bytes, ...]:
        return SEEDS

    def split(self, data: bytes) -> list[bytes]:
        """PDUs, as their lengths say."""
        pieces = []
        while data:
            end = 6 + int.from_bytes(data[2:6], "big")
            pieces.append(data[:end])
            data = data[end:]
        return pieces

    def fit(self, piece: bytes) -> bytes:
        """A PDU whose length is right; so is that of its fragment where it looks like a single one."""
        head, body = piece[:1].ljust(1, b"\4"), piece[6:]
        if head[0] == DATA and len(body) >= 6:
            body = struct.pack(">L", len(body) - 4) + body[4:]
        return pdu(head[0], body)

    def run(self, data: bytes) -> None:
        answers = self._converse(data)
        stored = list((self._directory / "new").iterdir())
        assert sum(status == 0 for status in statuses(answers)) == len(stored), "success is not what was stored"
        assert list((self._directory / "tmp").iterdir()) == [], "something half done is left"
        for path in stored:
            path.unlink()

    def check(self) -> None:
        """An honest sender is served."""
        answers = self._converse(GOOD)
        assert [kind for kind, _ in pdus(answers)] == [ACCEPT, DATA, RELEASE]
        assert list(statuses(answers)) == [0]
        for path in (self._directory / "new").iterdir():
            path.unlink()

    def _converse(self, data: bytes) -> bytes:
        with structlog.testing.capture_logs() as lines, connection() as (peer, connected):
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            association = self._service.meet(connected, tls=False)
            assert association is not None
            association.run_reactor()
            answers = b""
            with suppress(ConnectionResetError):
                while piece := peer.recv(65_536):
                    answers += piece
        assert [line for line in lines if line["event"] in FAULTS] == [], "an exception nobody expected"
        assert SECRET.decode() not in "".join(str(value) for line in lines for value in line.values()), "a line quotes the dataset"
        return answers


@contextmanager
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of one."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname(), timeout=10) as peer:
        connected, _ = listener.accept()
        with connected:
            yield peer, connected


def pdus(answers: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each PDU; all are whole and of a kind an acceptor sends."""
    while answers:
        kind, length = struct.unpack_from(">BxL", answers)
        assert kind in (ACCEPT, REJECT, DATA, RELEASE, ABORT)
        assert len(answers) >= 6 + length
        yield kind, answers[6 : 6 + length]
        answers = answers[6 + length :]


def statuses(answers: bytes) -> Iterator[int]:
    """The status of each response to C-STORE or N-ACTION, which keep what they took."""
    whole = b""
    for kind, body in pdus(answers):
        if kind == DATA:
            length, _, control = struct.unpack_from(">LBB", body)
            assert length + 4 == len(body)
            whole += body[6:]
            if control & LAST:
                if element(0x0100, number(0x8001)) in whole or element(0x0100, number(0x8130)) in whole:
                    at = whole.index(element(0x0900, b"\0\0")[:8])
                    yield int.from_bytes(whole[at + 8 : at + 10], "little")
                whole = b""
