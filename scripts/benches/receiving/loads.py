"""What is done to a receiver while it is measured: who sends, over how many associations. Each load tells what was acknowledged."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from .network import Network, inside
from .pdus import Disagreement
from .receivers import Running, found
from .sending import CALLED, Buffer, Instance, Sender

RATE: Final = "instances/s"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was acknowledged, `size` in bytes, and what to tell of it."""

    instances: int
    size: int
    figures: dict[str, float]


Load = Callable[[Running, Network, Sequence[Instance]], Outcome]


def lean(associations: int) -> Load:
    """Our sender, so many associations at once, each with its share of the instances."""

    def load(receiver: Running, _: Network, instances: Sequence[Instance]) -> Outcome:
        sender = Sender(receiver.address, instances)
        shares = [_laid_out(sender, instances[at::associations], receiver) for at in range(associations)]
        return _all(instances, _at_once([lambda share=share: _send(sender, share) for share in shares]))

    return load


def streamed(receiver: Running, _: Network, instances: Sequence[Instance]) -> Outcome:
    """Our sender with instances too large to be laid out before."""
    sender = Sender(receiver.address, instances)
    return _all(instances, _at_once([lambda: _send(sender, (sender.lay_out(one, receiver.maximum) for one in instances))]))


def one_each(receiver: Running, _: Network, instances: Sequence[Instance]) -> Outcome:
    """Our sender, one instance after the other, an association for each."""
    sender = Sender(receiver.address, instances)
    messages = _laid_out(sender, instances, receiver)
    return _all(instances, _at_once([lambda: [_send(sender, [message]) for message in messages]]))


def beside(receiver: Running, _: Network, instances: Sequence[Instance]) -> Outcome:
    """Our sender alone with a part of the instances, then with as many while another one sends what is left until the first is done."""
    sender = Sender(receiver.address, instances)
    share = len(instances) // 6
    messages = _laid_out(sender, instances, receiver)
    alone = _at_once([lambda: _send(sender, messages[:share])])
    acknowledged: list[Instance] = []
    finished = threading.Event()
    seconds, meanwhile = 0.0, 0

    def first() -> None:
        nonlocal seconds, meanwhile
        try:
            seconds = _timed(lambda: _send(sender, messages[share : 2 * share]))
            meanwhile = len(acknowledged)
        finally:
            finished.set()

    def second() -> None:
        with sender.associate() as association:
            for instance, message in zip(instances[2 * share :], messages[2 * share :], strict=True):
                if finished.is_set():
                    break
                association.store(message)
                acknowledged.append(instance)
            association.release()

    _at_once([first, second])
    sent = [*instances[: 2 * share], *acknowledged]
    figures = {RATE: share / seconds, "alone": share / alone, "keeps %": 100 * alone / seconds, "the second's": meanwhile / seconds}
    return Outcome(len(sent), _size(sent), figures)


def storescu(associations: int) -> Load:
    """DCMTK's sender, so many processes at once, for what is not compressed. Their start is part of it."""

    def load(receiver: Running, network: Network, instances: Sequence[Instance]) -> Outcome:
        host, port = receiver.address
        program = found("storescu")
        if program is None:
            raise Disagreement("not measured: storescu is missing (package dcmtk)")
        command = [program, "--call", CALLED, host, str(port)]
        with ExitStack() as stack:
            before = time.perf_counter()
            senders = []
            for at in range(associations):
                files = [str(one.path) for one in instances[at::associations]]
                with inside(network.sender):
                    senders.append(subprocess.Popen([*command, *files], env=os.environ | network.environment, stderr=subprocess.DEVNULL))
                stack.callback(senders[-1].kill)
            codes = [sender.wait() for sender in senders]
            seconds = time.perf_counter() - before
        if any(codes):
            raise Disagreement(f"storescu failed with {max(codes)}")
        return _all(instances, seconds)

    return load


def _laid_out(sender: Sender, instances: Iterable[Instance], receiver: Running) -> list[list[Buffer]]:
    return [list(sender.lay_out(one, receiver.maximum)) for one in instances]


def _send(sender: Sender, messages: Iterable[Iterable[Buffer]]) -> None:
    with sender.associate() as association:
        for message in messages:
            association.store(message)
        association.release()


def _all(instances: Sequence[Instance], seconds: float) -> Outcome:
    size = _size(instances)
    return Outcome(len(instances), size, {RATE: len(instances) / seconds, "MB/s": size / seconds / 1e6})


def _size(instances: Iterable[Instance]) -> int:
    return sum(one.size for one in instances)


def _timed(job: Callable[[], object]) -> float:
    before = time.perf_counter()
    job()
    return time.perf_counter() - before


def _at_once(jobs: Sequence[Callable[[], object]]) -> float:
    """Seconds until all are done, each in a thread: it is the kernel that works, and Python waits. Raises what one of them did."""
    problems: list[Exception] = []

    def run(job: Callable[[], object]) -> None:
        try:
            job()
        except (OSError, Disagreement) as problem:
            problems.append(problem)

    # Daemons: after ^C nobody waits for them; they end when the receiver does.
    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]

    def all_of_them() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    seconds = _timed(all_of_them)
    if problems:
        raise problems[0]
    return seconds
