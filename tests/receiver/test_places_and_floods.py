"""Places: who gets one, who waits, who is sent away. And with a real flood: the practice's own modalities come in all the same."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import structlog
from receiving import NOW, Running
from wire import ABORT, ACCEPT, COMMAND, CT, EXPLICIT, LAST, REJECT, Peer, store_command, uid

from appliance.domain.modalities import parse
from appliance.receiver.guard import Guard, Refusal, Refusals, Visitor
from appliance.receiver.limits import Limits, Patience
from appliance.vault import intake, keys

MODALITIES = parse("CT1@10.0.0.1, MR@10.0.0.2:104, *@10.0.1.0/24")


def meet(guard: Guard, host: str, now: float = 0) -> Visitor:
    met = guard.meet(host, tls=False, now=now)
    assert isinstance(met, Visitor)
    return met


def test_strangers_do_not_even_wait() -> None:
    guard = Guard(Limits(), MODALITIES)
    assert guard.meet("10.0.0.3", tls=False, now=0) == Refusal.STRANGER
    assert guard.meet("::1", tls=False, now=0) == Refusal.STRANGER
    assert meet(guard, "10.0.0.1").known
    assert not meet(guard, "10.0.1.77").known


def test_one_address_waits_and_is_served_so_often_and_no_more() -> None:
    guard = Guard(Limits(per_peer=2), ())
    first, second = meet(guard, "10.0.0.1"), meet(guard, "10.0.0.1")
    assert guard.meet("10.0.0.1", tls=False, now=0) == Refusal.PEER_LIMIT
    assert meet(guard, "10.0.0.2")
    assert guard.seat(first)
    assert guard.seat(second)
    third = meet(guard, "10.0.0.1")
    assert not guard.seat(third)
    guard.leave(first.number)
    assert guard.seat(third)


def test_the_last_places_are_for_known_modalities() -> None:
    guard = Guard(Limits(connections=3, reserved=2, per_peer=9), MODALITIES)
    assert guard.seat(meet(guard, "10.0.1.1"))
    stranger = meet(guard, "10.0.1.2")
    assert not guard.seat(stranger)
    assert guard.seat(meet(guard, "10.0.0.1"))
    assert guard.seat(meet(guard, "10.0.0.2"))
    assert not guard.seat(meet(guard, "10.0.0.1"))


def test_nothing_is_reserved_where_nobody_is_known() -> None:
    guard = Guard(Limits(connections=3, reserved=2, per_peer=9), parse("*@10.0.0.0/8"))
    assert [guard.seat(meet(guard, "10.0.0.1")) for _ in range(4)] == [True, True, True, False]


def test_who_waited_longest_makes_room_and_strangers_first() -> None:
    guard = Guard(Limits(connections=1, per_peer=9), MODALITIES)
    known, stranger, later = meet(guard, "10.0.0.1"), meet(guard, "10.0.1.1"), meet(guard, "10.0.1.2")
    assert guard.surplus() is stranger
    guard.leave(stranger.number)
    assert guard.surplus() is None
    guard.leave(later.number)
    others = [meet(guard, "10.0.0.2"), meet(guard, "10.0.0.2")]
    assert guard.surplus() is known
    assert len(others) == 2


def test_patience_ends() -> None:
    guard = Guard(Limits(patience=Patience(first=5)), ())
    early, late = meet(guard, "10.0.0.1", now=0), meet(guard, "10.0.0.1", now=3)
    assert guard.overdue(4.9) == []
    assert guard.overdue(5) == [early]
    assert guard.overdue(8) == [early, late]


def test_a_refusal_is_counted_always_and_said_once_a_minute() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    with structlog.testing.capture_logs() as lines:
        for now[0] in (0, 1, 2, 59, 60, 61):
            refusals.note(Refusal.STRANGER, "10.0.0.1")
        refusals.note(Refusal.SILENT, "10.0.0.1")
        refusals.note(Refusal.STRANGER, "10.0.0.2")
    assert refusals.total == {Refusal.STRANGER: 7, Refusal.SILENT: 1}
    assert [(line["peer"], line["times"]) for line in lines] == [("10.0.0.1", 1), ("10.0.0.1", 4), ("10.0.0.1", 1), ("10.0.0.2", 1)]


def test_peers_without_number_do_not_fill_the_memory() -> None:
    refusals = Refusals(lambda: 0)
    with structlog.testing.capture_logs():
        for host in range(5000):
            refusals.note(Refusal.STRANGER, f"10.0.{host // 250}.{host % 250}")
    assert len(refusals._said) <= 1024
    assert refusals.total[Refusal.STRANGER] == 5000


# -- at a real door ----------------------------------------------------------------------------------------------------


def test_a_stranger_is_closed_and_a_wrong_title_is_told(start: Callable[..., Running]) -> None:
    receiver = start(Limits(reserve=0), parse("CT1@127.0.0.1"))
    with Peer(receiver.port, source="127.0.0.2") as charlie:
        assert charlie.receive()[0] == 0
    with Peer(receiver.port) as bob:
        assert bob.associate(calling=b"MR7") == REJECT
        assert bob.answer == bytes([0, 1, 1, 3])  # rejected-permanent, by the user, calling AE title not recognized
    with Peer(receiver.port) as alice:
        assert alice.associate(calling=b"CT1") == ACCEPT
        assert alice.store("1.2.3", b"x" * 1000) == 0
    assert receiver.refusals.total == {Refusal.STRANGER: 1}


def test_wide_open_is_loud(start: Callable[..., Running]) -> None:
    with structlog.testing.capture_logs() as lines:
        receiver = start(Limits(reserve=0), ())
        with Peer(receiver.port) as peer:
            assert peer.associate() == ACCEPT
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == [
        "receiver is wide open: anybody in this network may send; name the practice's modalities"
    ]


def test_who_finds_no_place_waits_for_one(start: Callable[..., Running]) -> None:
    receiver = start(Limits(reserve=0, connections=1, patience=Patience(first=30)))
    with Peer(receiver.port) as alice, Peer(receiver.port, seconds=20) as bob:
        assert alice.associate() == ACCEPT
        threading.Timer(0.5, lambda: (alice.release(), alice.socket.close())).start()
        assert bob.associate() == ACCEPT


@pytest.mark.parametrize(
    ("first", "refusal", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", Refusal.NOT_DICOM, ABORT),
        (b"\x16\x03\x01\x02\x00\x01\x00", Refusal.NOT_DICOM, ABORT),
        (b"\1\0\0\x10\0\1", Refusal.TOO_LONG, ABORT),
        (b"\1\0\0\0", Refusal.SILENT, 0),
        (b"\1\0\0\0\1\0" + bytes(100), Refusal.SILENT, 0),
        (b"", Refusal.SILENT, 0),
    ],
)
def test_each_refusal_is_counted(start: Callable[..., Running], first: bytes, refusal: Refusal, answer: int) -> None:
    receiver = start(Limits(reserve=0, patience=Patience(first=0.3)))
    with Peer(receiver.port, seconds=5) as peer:
        peer.socket.sendall(first)
        assert peer.receive()[0] == answer
        assert answer == 0 or peer.receive()[0] == 0
    assert receiver.refusals.total == {refusal: 1}


@pytest.mark.parametrize("sent", [0, 3, 50])
def test_who_leaves_early_is_noticed_at_once(start: Callable[..., Running], sent: int) -> None:
    receiver = start(Limits(reserve=0, patience=Patience(first=60)))
    with Peer(receiver.port) as peer:
        peer.socket.sendall((b"\1\0\0\0\1\0" + bytes(100))[:sent])
        peer.socket.shutdown(socket.SHUT_WR)
        assert peer.receive()[0] == 0
    assert receiver.refusals.total == {Refusal.LEFT: 1}


def test_a_slow_instance_is_given_up_and_a_slow_network_is_not(start: Callable[..., Running]) -> None:
    receiver = start(Limits(reserve=0, patience=Patience(pdu=0.4, rate=10_000)))
    with Peer(receiver.port) as peer:
        peer.associate()
        drip(peer, 100, 8)  # every tenth of a second: each PDU is in time, the instance is not
        assert peer.receive()[0] == ABORT
    with Peer(receiver.port) as peer:
        peer.associate()
        drip(peer, 3000, 12)
        peer.fragment(1, LAST, b"end")
        assert peer.status() == 0
    assert receiver.left_over() == []


def drip(peer: Peer, size: int, times: int) -> None:
    peer.fragment(1, COMMAND | LAST, store_command(uid(CT), b"1.2.3\0"))
    for _ in range(times):
        peer.fragment(1, 0, bytes(size))
        time.sleep(0.1)


# -- in processes of its own -------------------------------------------------------------------------------------------

RECEIVER = """
    import signal, sys, threading
    from pathlib import Path
    from appliance import log
    from appliance.domain.modalities import parse
    from appliance.receiver.limits import Limits
    from appliance.receiver.server import Address, Receiver
    from appliance.receiver.service import Site

    log.set_up("receiver")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    site = Site(Path(sys.argv[1]), "BILDBRIEF", Limits(reserve=0), parse(sys.argv[2]), lambda: int(sys.argv[3]), None)
    receiver = Receiver([Address("127.0.0.1", 0)], site, processes=2)
    print(*receiver.ports, flush=True)
    receiver.serve(stop)
"""


@contextmanager
def running(directory: Path, modalities: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    (directory / "tmp").mkdir(parents=True)
    (directory / "new").mkdir()
    intake.write_public(directory, intake.PublicKey("00c0ffee", keys.new_pair()[1]))
    command = [sys.executable, "-c", textwrap.dedent(RECEIVER), directory, modalities, str(NOW)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.terminate()


def children(process: "subprocess.Popen[bytes]") -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def proportional(pid: int) -> int:
    """Bytes of memory of a process, what it shares divided among those who share it (proc(5), smaps_rollup)."""
    return int(Path(f"/proc/{pid}/smaps_rollup").read_text().partition("\nPss:")[2].split()[0]) * 1024


@pytest.mark.parametrize("addresses", [1, 50])
def test_during_a_flood_a_known_modality_comes_in(tmp_path: Path, addresses: int) -> None:
    """500 idle connections at any time, from one address or from fifty; whichever is closed comes again."""
    with running(tmp_path, "CT1@127.0.0.1, *@127.0.0.0/8") as (process, port), ExitStack() as flood:
        stop = threading.Event()
        for attempt in range(20):
            store_one(port, f"1.1.{attempt}")
        before = sum(map(proportional, [process.pid, *children(process)]))

        def idle(who: int) -> None:
            while not stop.is_set():
                with socket.socket() as peer:
                    try:
                        peer.bind((f"127.0.1.{who % addresses + 1}", 0))
                        peer.settimeout(1)
                        peer.connect(("127.0.0.1", port))
                        peer.recv(1)
                    except OSError:
                        pass
                stop.wait(0.2)

        threads = [threading.Thread(target=idle, args=(who,)) for who in range(500)]
        for thread in threads:
            thread.start()
        flood.callback(lambda: [thread.join() for thread in threads])
        flood.callback(stop.set)
        times = [store_one(port, f"1.2.{attempt}") for attempt in range(100)]
        grown = sum(map(proportional, [process.pid, *children(process)])) - before
        assert sum(seconds < 1 for seconds in times) >= 99
        assert grown < 16 << 20
    assert len(list(intake.waiting(tmp_path))) == 120


def store_one(port: int, sop_instance: str) -> float:
    """Returns the seconds until there was an association."""
    begun = time.monotonic()
    with Peer(port) as alice:
        assert alice.associate(calling=b"CT1") == ACCEPT
        seconds = time.monotonic() - begun
        assert alice.store(sop_instance, b"x" * 1000) == 0
        alice.release()
    return seconds


def test_a_worker_that_dies_takes_only_its_own_along(tmp_path: Path) -> None:
    with running(tmp_path, "*@127.0.0.0/8") as (process, port), Peer(port) as alice, Peer(port) as bob:
        assert alice.associate() == bob.associate() == ACCEPT
        first, second = children(process)
        os.kill(first, signal.SIGKILL)
        answers = {peer: served(peer) for peer in (alice, bob)}
        assert sorted(answers.values()) == [False, True]
        deadline = time.monotonic() + 10
        while len(children(process)) < 2 or children(process) == [first, second]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for number in range(4):
            with Peer(port) as peer:
                assert peer.associate([(CT, (EXPLICIT,))]) == ACCEPT
                assert peer.store(f"1.3.{number}", b"x") == 0
                peer.release()
    assert process.returncode == 0


def served(peer: Peer) -> bool:
    try:
        return peer.store(f"1.2.{id(peer)}", b"x" * 1000) == 0
    except (OSError, AssertionError):
        return False


def test_workers_end_with_their_guard(tmp_path: Path) -> None:
    with running(tmp_path, "*@127.0.0.0/8") as (process, port), Peer(port) as alice:
        assert alice.associate() == ACCEPT
        pids = children(process)
        process.kill()
        assert alice.receive()[0] in (ABORT, 0)
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_workers_hold_nothing_of_the_guard(tmp_path: Path) -> None:
    """What a compromised worker could reach: neither the listening socket nor another worker's channel, nor waiting peers."""
    with running(tmp_path, "*@127.0.0.0/8") as (process, port), Peer(port), Peer(port) as alice:
        assert alice.associate() == ACCEPT
        for pid in children(process):
            held = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
            assert sum(name.startswith("socket:") for name in held) <= 2  # its channel, and Alice
