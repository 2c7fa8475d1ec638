"""Tries every point of the way of an image: what a death, a failing call or a power cut there leaves, and what the oracle says to it.

Runs under the shim, with one thread; each trial is a process of its own, on a copy of the same beginning.
"""

import errno
import itertools
import os
import random
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .apart import Child, Killed, apart
from .disk import Disk, Remains
from .line import Books, Instance, Line, instances
from .oracle import judge
from .shim import CONTROL, FILES, Fault, Kind, Plan, Shim, armed

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE)
TOPS = ("data", "keys")  # of an appliance's directories, those on a disk


@dataclass
class Summary:
    """`points`: trials done. `findings`: what the oracle said, each with the point at which."""

    points: int = 0
    findings: list[str] = field(default_factory=list)


class Engine:
    """`mutate` is done first in every process: it takes a safeguard away. `enough`: findings after which it stops."""

    def __init__(self, directory: Path, mutate: Callable[[], object] = int, enough: int = 10) -> None:
        self.summary = Summary()
        self._directory = directory
        self._mutate = mutate
        self._enough = enough
        self._shim = Shim(Path(os.environ[CONTROL]))
        self._begin = directory / "begin"
        self._judging: list[tuple[str, Path, Child]] = []
        self._numbers = itertools.count()
        apart(self._prepare)

    def _prepare(self) -> None:
        line = Line(self._begin)
        line.ingest.publish_key()
        line.stack.close()

    # -- trials ----------------------------------------------------------------------------------------------------

    def kills(self, sent: Sequence[Instance]) -> None:
        """A death before each call, and in the middle of each write."""
        for fault, kinds in ((Fault.KILL, FILES), (Fault.TEAR, Kind.WRITE)):
            for at in itertools.count(1):
                if not self._kill(sent, Plan(fault, at, kinds=kinds)) or self._done():
                    break
        self._drain()

    def random_kills(self, dice: random.Random, count: int, longest: int) -> None:
        """So many deaths, each at some call on the way of some images."""
        for _ in range(count):
            sent = instances(dice.randint(1, longest))
            fault, kinds = dice.choice([(Fault.KILL, FILES), (Fault.TEAR, Kind.WRITE)])
            self._kill(sent, Plan(fault, dice.randint(1, 60 * len(sent)), kinds=kinds))
            if self._done():
                break
        self._drain()

    def errors(self, sent: Sequence[Instance]) -> None:
        """Each call fails with each error, and each write is cut short; the same process goes on, and nothing is to be seen of it."""
        plans = [(Fault.FAIL, error, FILES) for error in ERRORS] + [(Fault.CUT, 0, Kind.WRITE)]
        for fault, error, kinds in plans:
            for at in itertools.count(1):
                if not self._fail(sent, Plan(fault, at, error, kinds)) or self._done():
                    break

    def cuts(self, sent: Sequence[Instance], dice: random.Random, most: int) -> None:
        """A power cut after each call; of the states in which each may leave the disk all, or `most` at random."""
        root, books = self._place()
        disk = Disk(*(root / top for top in TOPS))
        with armed(self._shim, root, record=True):
            apart(lambda: self._run(root, sent, self._shim_books(books)))
        known: dict[int, None] = {}
        acknowledged = set[str]()
        for number, record in enumerate(self._shim.records()):
            disk.do(record)
            if record.kind is Kind.SEND:
                acknowledged.add(record.data.decode())
            for remains in disk.remains(dice, most):
                digest = hash((remains.digest(), len(acknowledged)))
                if digest not in known and not self._done():
                    known[digest] = None
                    self._cut(f"power cut after call {number}, {record.kind.name}", remains, root, sent, frozenset(acknowledged))
        self._drain()
        for top in TOPS:
            disk.same_as(root / top)
        shutil.rmtree(root)

    # -- one trial -------------------------------------------------------------------------------------------------

    def _kill(self, sent: Sequence[Instance], plan: Plan) -> bool:
        """Whether it came to that."""
        root, books = self._place()
        with armed(self._shim, root, plan):
            killed = _dies(Child(lambda: self._run(root, sent, books)))
        self._judge(f"{plan.fault.name} at call {plan.at}", root, lambda: self._verdict(root, sent, books.acknowledged()))
        return killed

    def _fail(self, sent: Sequence[Instance], plan: Plan) -> bool:
        root, books = self._place()
        reached, findings = apart(lambda: self._run_on(root, sent, books, plan))
        what = f"{plan.fault.name} {errno.errorcode.get(plan.error, '')} at call {plan.at}"
        self._note(what, findings)
        shutil.rmtree(root)
        return bool(reached)

    def _cut(self, what: str, remains: Remains, was: Path, sent: Sequence[Instance], acknowledged: frozenset[str]) -> None:
        root = self._directory / f"{next(self._numbers)}"

        def verdict() -> list[str]:
            for top in TOPS:
                remains.write(was / top, root / top)
            return self._verdict(root, sent, acknowledged)

        root.mkdir()
        self._judge(what, root, verdict)

    # -- in a process of its own -----------------------------------------------------------------------------------

    def _run(self, root: Path, sent: Sequence[Instance], acknowledge: Callable[[Instance], None]) -> None:
        self._mutate()
        line = Line(root)
        line.receive(sent, acknowledge)
        line.take_in()

    def _run_on(self, root: Path, sent: Sequence[Instance], books: Books, plan: Plan) -> tuple[bool, list[str]]:
        """Whether the fault was met, and what is wrong then. Who is refused sends again, who meets trouble tries again."""
        self._mutate()
        line = Line(root)
        findings = []
        with armed(self._shim, root, plan):
            refused = 0
            for one in sent:
                while one.uid not in books.acknowledged():
                    try:
                        line.receive([one], books)
                    except OSError:
                        refused += 1
            for _ in range(3):
                try:
                    line.take_in()
                except Exception:  # noqa: BLE001 (as the ingester's loop does)
                    continue
            reached = self._shim.calls >= plan.at
        if refused > 1:
            findings.append(f"one fault refused {refused} images")
        return reached, findings + judge(line, sent, books.acknowledged())

    def _verdict(self, root: Path, sent: Sequence[Instance], acknowledged: Collection[str]) -> list[str]:
        self._mutate()
        line = Line(root)
        line.restart()
        return judge(line, sent, acknowledged)

    # -- books -----------------------------------------------------------------------------------------------------

    def _place(self) -> tuple[Path, Books]:
        number = next(self._numbers)
        root = self._directory / f"{number}"
        shutil.copytree(self._begin, root, ignore=shutil.ignore_patterns("run"))
        return root, Books(self._directory / f"{number}.acknowledged")

    def _shim_books(self, books: Books) -> Callable[[Instance], None]:
        def acknowledge(one: Instance) -> None:
            books(one)
            self._shim.mark(one.uid.encode())

        return acknowledge

    def _judge(self, what: str, root: Path, verdict: Callable[[], list[str]]) -> None:
        if len(self._judging) >= (os.cpu_count() or 1):
            self._settle()
        self._judging.append((what, root, Child(verdict)))

    def _settle(self) -> None:
        what, root, child = self._judging.pop(0)
        try:
            findings = child.result()
        except AssertionError as error:
            findings = [f"cannot be started again: {error}"]
        self._note(what, findings)
        shutil.rmtree(root)

    def _drain(self) -> None:
        while self._judging:
            self._settle()

    def _note(self, what: str, findings: Sequence[str]) -> None:
        self.summary.points += 1
        self.summary.findings += [f"{what}: {finding}" for finding in findings]

    def _done(self) -> bool:
        return len(self.summary.findings) >= self._enough


def _dies(child: Child) -> bool:
    try:
        child.result()
    except Killed:
        return True
    return False
