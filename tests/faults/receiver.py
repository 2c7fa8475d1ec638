"""The real receiver, from outside: each call on its way to an answer interrupted, failed, cut short, and the power cut after it."""

import errno
import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from running import until
from wire import Peer

from .disk import Disk
from .engine import ERRORS, TOPS, Engine
from .line import Books, Instance, instances
from .processes import Processes
from .shim import ALL, FILES, Fault, Kind, Plan, Shim, armed

SUCCESS, NO_SPACE, FAILED = 0x0000, 0xA700, 0x0110  # PS3.4 B.2.3, PS3.7 9.1.1.1.9
STATUS = {errno.ENOSPC: NO_SPACE, errno.EDQUOT: NO_SPACE, errno.EIO: FAILED, errno.EMFILE: FAILED}


class Receiving:
    """One receiver, and a sender that sends one image after the other, each until it is acknowledged."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        self._directory = directory
        self._numbers = itertools.count(1)

    def kills(self) -> None:
        """It dies at each call, at sending its answer too: whoever sent sends again, and is acknowledged."""
        with self._box("kills") as (box, shim, sent, books):
            for fault, kinds in ((Fault.KILL, ALL), (Fault.TEAR, Kind.WRITE)):
                for at in itertools.count(1):
                    one = self._next(sent)
                    reached, status = _try(box, shim, one, Plan(fault, at, kinds=kinds))
                    if status == SUCCESS:
                        books(one)
                    _until_acknowledged(box, one, books)
                    if not reached:
                        break
                    self._engine.note(f"{fault.name} at call {at} of the receiver")

    def errors(self) -> None:
        """Each call fails: the sender hears of it, nothing half done stays, and the same image is taken the next time."""
        with self._box("errors") as (box, shim, sent, books):
            for fault, error, kinds in [(Fault.CUT, 0, Kind.WRITE), *((Fault.FAIL, error, FILES) for error in ERRORS)]:
                for at in itertools.count(1):
                    one = self._next(sent)
                    reached, status = _try(box, shim, one, Plan(fault, at, error, kinds))
                    expected = STATUS[error] if reached and fault is Fault.FAIL else SUCCESS
                    left = [path.name for path in (box.root / "data/intake/tmp").iterdir()]
                    if status == SUCCESS:
                        books(one)
                    _until_acknowledged(box, one, books)
                    if not reached:
                        break
                    wrong = [*([f"status {status}, not {expected}"] if status != expected else []), *(f"{name} is left" for name in left)]
                    self._engine.note(f"{fault.name} {errno.errorcode.get(error, 'short')} at call {at} of the receiver", *wrong)

    def cuts(self, dice: random.Random, count: int, most: int) -> None:
        """The power is cut after each call; what was sent as an answer before counts as acknowledged."""
        with self._box("cuts", judged=False) as (box, shim, sent, _), Peer(box.port) as peer:
            peer.associate()
            disk = Disk(*(box.root / top for top in TOPS))
            with armed(shim, box.root, record=True):
                for _ in range(count):
                    one = self._next(sent)
                    assert peer.store(one.uid, one.dataset) == SUCCESS
        told = {uid for record in shim.records() for uid in acknowledged(record.data)}
        assert told == {one.uid for one in sent}, "the shim did not see the answers"
        self._engine.cut(box.root, disk, shim, sent, dice, most, acknowledged)

    @contextmanager
    def _box(self, name: str, *, judged: bool = True) -> Iterator[tuple[Processes, Shim, list[Instance], Books]]:
        place = self._directory / f"receiver-{name}"
        place.mkdir()
        shim = Shim(place / "control")
        box = Processes(self._engine.copy(place / "box"), shim, ["receiver"])
        sent, books = list[Instance](), Books(place / "acknowledged")
        try:
            yield box, shim, sent, books
        finally:
            box.stop()
        if judged:
            self._engine.judged(f"after the receiver's {name}", box.root, sent, books.acknowledged())

    def _next(self, sent: list[Instance]) -> Instance:
        sent += instances(1, first=next(self._numbers))
        return sent[-1]


def _try(box: Processes, shim: Shim, one: Instance, plan: Plan) -> tuple[bool, int | None]:
    """Whether the fault was met, and the status; None when there was no answer."""
    with Peer(box.port) as peer:
        peer.associate()
        with armed(shim, box.root, plan):
            status = _store(peer, one)
        return shim.calls >= plan.at, status


def _store(peer: Peer, one: Instance) -> int | None:
    try:
        return peer.store(one.uid, one.dataset)
    except (AssertionError, OSError):  # the association ended
        return None


def _until_acknowledged(box: Processes, one: Instance, books: Books) -> None:
    """By a receiver that may just be dying, or starting."""

    def sent() -> bool:
        box.revive()
        try:
            with Peer(box.port) as peer:
                peer.associate()
                return _store(peer, one) == SUCCESS
        except OSError:
            return False

    if one.uid not in books.acknowledged():
        until(sent, "what was refused once is taken", 30, every=0.02)
        books(one)


def acknowledged(data: bytes) -> set[str]:
    """Of a P-DATA-TF PDU with one C-STORE response that says success: the SOP Instance UID (PS3.8 9.3.5, PS3.7 9.3.1.2)."""
    if data[:1] != b"\x04":
        return set()
    response = Peer._elements(data[12:])
    return {response[0x1000].rstrip(b"\0").decode()} if response[0x0900] == bytes(2) else set()
