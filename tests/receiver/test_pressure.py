"""Peers that send as much as they can of what costs most: what each takes of the receiver's memory, and that others are served."""

import itertools
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from test_guard import children, proportional, running, store_one
from test_request import HOSTILE, stretched
from wire import COMMAND, CT, DATA, LAST, Peer, store_command, uid

PEERS = 3
EACH = 16 << 20  # bytes of the receiver's memory
ENOUGH = 2 << 20  # bytes one peer sends at most
PDU = 256 << 10


class Target(NamedTuple):
    port: int
    pids: list[int]

    def memory(self) -> int:
        return sum(map(proportional, self.pids))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with running(tmp_path_factory.mktemp("receiver") / "intake", "*@127.0.0.0/8") as (process, port):
        for warm in range(10):
            store_one(port, f"1.1.{warm}")
        yield Target(port, [process.pid, *children(process)])


def fragment(control: int, data: bytes) -> bytes:
    return struct.pack(">LBB", len(data) + 2, 1, control) + data


def pdu(body: bytes) -> bytes:
    return struct.pack(">BBL", DATA, 0, len(body)) + body


COMMAND_SET = store_command(uid(CT), b"1.2.3\0")
ECHO = pdu(fragment(COMMAND | LAST, store_command(b"1.2.840.10008.1.1\0", b"", field=0x30, dataset_type=0x0101)))
BEGUN = pdu(fragment(COMMAND | LAST, COMMAND_SET))
IN_BYTES = b"".join(
    fragment(COMMAND | (LAST if at + 1 == len(COMMAND_SET) else 0), COMMAND_SET[at : at + 1]) for at in range(len(COMMAND_SET))
)

# What is sent once there is an association, and what then again and again.
FLOODS = {
    "PDUs of zero length": (b"", pdu(b"")),
    "fragments of zero length": (BEGUN, pdu(fragment(0, b"") * (PDU // 6))),
    "fragments of one byte": (BEGUN, pdu(fragment(0, b"x") * (PDU // 7))),
    "fragments of one byte, each in a PDU": (BEGUN, pdu(fragment(0, b"x"))),
    "an instance without end": (BEGUN, pdu(fragment(0, bytes(PDU - 6)))),
    "commands of zero length": (b"", pdu(fragment(COMMAND, b""))),
    "commands in bytes": (b"", pdu(IN_BYTES) + pdu(fragment(LAST, b"x"))),
    "echoes": (b"", ECHO),
    "instances of nothing": (b"", BEGUN + pdu(fragment(LAST, b""))),
    "commands that do not end": (b"", pdu(fragment(COMMAND, bytes(16_000)))),
}


def flood(peer: Peer, kind: str, stop: threading.Event) -> None:
    first, more = FLOODS[kind]
    peer.associate()
    peer.socket.sendall(first)
    block = more * (1 + 65_536 // len(more))
    answers = threading.Thread(target=swallow, args=(peer,))
    answers.start()
    for sent in itertools.count(0, len(block)):
        if sent > ENOUGH or stop.is_set():
            break
        peer.socket.sendall(block)
    stop.wait()
    peer.socket.shutdown(socket.SHUT_RDWR)
    answers.join()


def swallow(peer: Peer) -> None:
    with suppress(OSError):
        while peer.socket.recv(65_536):
            pass


def ask(peer: Peer, kind: str, stop: threading.Event) -> None:
    peer.socket.sendall(stretched(kind))
    peer.receive()
    stop.wait()


def ask_almost(peer: Peer, kind: str, stop: threading.Event) -> None:
    peer.socket.sendall(stretched(kind)[:-1])
    stop.wait()


@pytest.mark.parametrize(
    ("attack", "kind"),
    [*((flood, kind) for kind in FLOODS), *((ask, kind) for kind in HOSTILE), (ask_almost, "many user informations")],
)
def test_no_peer_takes_much_memory_or_the_place_of_others(target: Target, attack: Callable[..., None], kind: str) -> None:
    stop = threading.Event()

    def press(source: str) -> None:
        with suppress(OSError), Peer(target.port, source=source) as peer:
            attack(peer, kind, stop)

    before = target.memory()
    threads = [threading.Thread(target=press, args=(f"127.0.2.{number + 1}",)) for number in range(PEERS)]
    for thread in threads:
        thread.start()
    try:
        most = max((store_one(target.port, f"1.2.{attempt}"), target.memory())[1] for attempt in range(6))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert most - before < PEERS * EACH
    assert all(Path(f"/proc/{pid}").exists() for pid in target.pids)
