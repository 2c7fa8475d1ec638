"""Success means durable. What goes wrong on the way is answered, and leaves nothing; the next instance is stored."""

import errno
import gc
import os
import threading
import time
from collections.abc import Callable

import pytest
from receiving import Running
from wire import COMMAND, CT, LAST, Peer, store_command, uid

from appliance.receiver.limits import Limits
from appliance.vault import intake

DATASET = bytes(range(256)) * 1000
STEPS = ("fdatasync", "rename", "fsync")  # of publishing, in this order; fsync is that of the directory


@pytest.mark.parametrize("step", STEPS)
def test_no_success_before_it_is_durable(receiver: Running, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    reached, go_on = threading.Event(), threading.Event()
    real = getattr(os, step)

    def held(*arguments: object) -> object:
        reached.set()
        assert go_on.wait(10)
        return real(*arguments)

    with Peer(receiver.port) as peer:
        peer.associate()
        monkeypatch.setattr(os, step, held)
        peer.fragment(1, COMMAND | LAST, store_command(uid(CT), b"1.2.3\0"))
        peer.dataset(DATASET)
        assert reached.wait(10)
        peer.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            peer.receive()
        peer.socket.settimeout(10)
        go_on.set()
        assert peer.status() == 0


def test_the_steps_are_all_there_are_and_in_order(receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def noting(step: str) -> Callable[..., object]:
        real = getattr(os, step)
        return lambda *arguments: (taken.append(step), real(*arguments))[1]

    for step in STEPS:
        monkeypatch.setattr(os, step, noting(step))
    with Peer(receiver.port) as peer:
        peer.associate()
        assert peer.store("1.2.3", DATASET) == 0
    assert tuple(taken) == STEPS


@pytest.mark.parametrize("step", ["open", *STEPS])
@pytest.mark.parametrize(("fault", "status"), [(errno.EIO, 0x0110), (errno.EMFILE, 0x0110), (errno.ENOSPC, 0xA700), (errno.EDQUOT, 0xA700)])
def test_a_fault_costs_one_instance(receiver: Running, monkeypatch: pytest.MonkeyPatch, step: str, fault: int, status: int) -> None:
    def failing(*arguments: object, **more: object) -> object:
        raise OSError(fault, "injected")

    with Peer(receiver.port) as peer:
        peer.associate()
        assert peer.store("1.2.1", DATASET) == 0
        with monkeypatch.context() as broken:
            broken.setattr(os, step, failing)
            assert peer.store("1.2.2", DATASET) == status
        assert receiver.left_over() == []
        assert peer.store("1.2.3", DATASET) == 0
        peer.release()
    assert set(receiver.stored()) == {"1.2.1", "1.2.3"}


@pytest.mark.parametrize("call", range(5))
def test_no_space_at_the_nth_write(receiver: Running, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    calls = iter(range(1000))
    real = os.write

    def full(file: int, data: memoryview) -> int:
        if next(calls) == call:
            raise OSError(errno.ENOSPC, "injected")
        return real(file, data)

    with Peer(receiver.port) as peer:
        peer.associate()
        with monkeypatch.context() as broken:
            broken.setattr(os, "write", full)
            assert peer.store("1.2.2", DATASET) == 0xA700  # 256,000 bytes: header, three whole chunks, and the last
        assert receiver.left_over() == []
        assert peer.store("1.2.3", DATASET) == 0
    assert set(receiver.stored()) == {"1.2.3"}


def test_short_writes_are_gone_on_with(receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with Peer(receiver.port) as peer:
        peer.associate()
        monkeypatch.setattr(os, "write", lambda file, data: real(file, data[: max(1, len(data) // 3)]))
        assert peer.store("1.2.3", DATASET) == 0
    assert receiver.stored()["1.2.3"].dataset == DATASET


def test_a_fault_nobody_thought_of_is_no_success(receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object) -> None:
        raise RuntimeError("injected")

    with Peer(receiver.port) as peer:
        peer.associate()
        with monkeypatch.context() as broken:
            broken.setattr(intake, "fsync_dir", failing)
            assert peer.store("1.2.2", DATASET) == 0x0110
        assert peer.store("1.2.3", DATASET) == 0
    assert set(receiver.stored()) == {"1.2.3"}


def test_a_reserve_stays_free_and_room_is_noticed(start: Callable[[Limits], Running], monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = start(Limits(reserve=1 << 30))
    with Peer(receiver.port) as peer:
        peer.associate()
        with monkeypatch.context() as full:
            full.setattr(intake, "room", lambda _: 1 << 30)
            assert peer.store("1.2.2", DATASET) == 0xA700
        assert peer.store("1.2.3", DATASET) == 0
    assert set(receiver.stored()) == {"1.2.3"}


def test_the_reserve_is_kept_also_within_a_large_instance(receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(receiver.port) as peer:
        peer.associate()
        peer.fragment(1, COMMAND | LAST, store_command(uid(CT), b"1.2.2\0"))
        peer.dataset(bytes(1000), last=False)
        wait_for(lambda: len(receiver.left_over()) == 1)
        with monkeypatch.context() as full:
            full.setattr(intake, "room", lambda _: 0)
            peer.dataset(bytes(17 << 20), last=False, step=200_000)
            wait_for(lambda: not receiver.left_over())
        peer.dataset(b"the end")
        assert peer.status() == 0xA700
        assert peer.store("1.2.3", DATASET) == 0
    assert set(receiver.stored()) == {"1.2.3"}


@pytest.mark.parametrize("end", ["abort", "reset", "stop"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_an_end_in_the_middle_leaves_nothing(receiver: Running, end: str, share: float) -> None:
    with Peer(receiver.port) as peer:
        peer.associate()
        assert peer.store("1.2.1", DATASET) == 0
        peer.fragment(1, COMMAND | LAST, store_command(uid(CT), b"1.2.2\0"))
        peer.dataset(DATASET[: int(len(DATASET) * share)], last=False)
        wait_for(lambda: len(receiver.left_over()) == 1)
        receiver.stop() if end == "stop" else getattr(peer, end)()
        wait_for(lambda: not receiver.left_over())
    assert set(receiver.stored()) == {"1.2.1"}


def test_nothing_secret_stays_when_an_association_ends(receiver: Running) -> None:
    gc.collect()  # log lines of other tests hold frames: outside of tests, they give the kind of an error only
    for end in ("release", "abort", "reset"):
        with Peer(receiver.port) as peer:
            peer.associate()
            assert peer.store(f"1.2.{len(end)}", DATASET) == 0
            getattr(peer, end)()
        wait_for(lambda: not [one for one in gc.get_objects() if isinstance(one, intake.Association | intake.Incoming)])


def test_what_a_killed_receiver_left_is_swept(start: Callable[[Limits], Running], monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = start(Limits())
    (receiver.directory / "tmp" / ("0" * 32 + ".part")).write_bytes(b"half")
    assert intake.sweep(receiver.directory) == 1
    assert receiver.left_over() == []


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
