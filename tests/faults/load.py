"""Real processes killed at random moments, while modalities send."""

import random
import threading
import time
from pathlib import Path

from running import until
from wire import Peer

from .engine import Engine
from .line import Books, Instance, instances
from .processes import Processes, kill
from .shim import Shim

NAMES = ("keyholder", "receiver", "ingester", "clock")
LONGEST = 0.5  # seconds between two kills
SETTLED = 120  # seconds in which all must have come to rest once nobody kills any more


class Modality(threading.Thread):
    """Sends one image after the other until it is told to stop; one that is not acknowledged is sent again."""

    def __init__(self, port: int, study: int, books: Books) -> None:
        super().__init__()
        self.sent: list[Instance] = []
        self._port = port
        self._study = study
        self._books = books
        self._left: list[Instance] = []
        self._enough = threading.Event()

    def run(self) -> None:
        while not self._enough.is_set():
            try:
                with Peer(self._port) as peer:
                    peer.associate()
                    while not self._enough.is_set():
                        self._store(peer)
            except (AssertionError, OSError):  # the association ended, or there was none
                time.sleep(0.02)

    def stop(self) -> None:
        self._enough.set()

    def acknowledged(self) -> set[str]:
        return self._books.acknowledged()

    def _store(self, peer: Peer) -> None:
        if not self._left:
            self._left += instances(1, first=len(self.sent) + 1, study=f"{self._study}")
            self.sent += self._left
        if peer.store(self._left[0].uid, self._left[0].dataset) == 0:
            self._books(self._left.pop())


def load(engine: Engine, place: Path, dice: random.Random, kills: int, modalities: int = 2) -> None:
    """So many kills, each of a process chosen at random, at a random moment; then rest, and the oracle."""
    place.mkdir()
    box = Processes(engine.copy(place / "box"), Shim(place / "control"), NAMES)
    senders = [Modality(box.port, number, Books(place / f"acknowledged{number}")) for number in range(modalities)]
    try:
        for sender in senders:
            sender.start()
        for _ in range(kills):
            time.sleep(dice.uniform(0, LONGEST))
            kill(dice.choice(box.alive()))
            box.revive()
            engine.note("kill")
        for sender in senders:
            sender.stop()
        for sender in senders:
            sender.join(SETTLED)
        until(lambda: box.revive() or not any((box.root / "data/intake/new").iterdir()), "the intake is empty", SETTLED)
    finally:
        for sender in senders:
            sender.stop()
            sender.join()
        box.stop()
    sent = [one for sender in senders for one in sender.sent]
    known = set[str]().union(*(sender.acknowledged() for sender in senders))
    engine.judged(f"after {kills} kills", box.root, sent, known)
