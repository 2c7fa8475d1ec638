"""Tries every point of the way of an image: what a death, a failing call or a power cut there leaves, and what the oracle says to it.

Runs under the shim, with one thread; each trial is a process of its own, on a copy of the same beginning.
"""

import errno
import itertools
import os
import random
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .apart import Child, Killed, apart
from .disk import Disk, Remains
from .line import Books, Instance, Line, instances
from .oracle import judge
from .shim import FILES, Fault, Kind, Plan, Shim, armed

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE)
TOPS = ("data", "keys")  # of an appliance's directories, those on a disk
TRIES = 3  # of the ingester, after a fault that does not come again
CALLS = 150  # on the way of one image; a random death later than that meets nobody

Trial = Callable[[Path], tuple[bool, list[str]]]
"""Gets a directory that does not exist. Returns whether its point was reached, and what is wrong."""

Told = Callable[[bytes], set[str]]
"""Who is acknowledged by what was sent to the world: SOP Instance UIDs."""


def _marked(data: bytes) -> set[str]:
    return set(data.decode().split())


@dataclass
class Summary:
    """`points`: trials in which something was done to the appliance. `findings`: what the oracle said, each with the point at which."""

    points: int = 0
    findings: list[str] = field(default_factory=list)


class Engine:
    """`mutate` is done first in every process: it takes a safeguard away. `enough`: findings after which it stops."""

    def __init__(self, directory: Path, summary: Summary, mutate: Callable[[], object] = int, enough: int = 10) -> None:
        self.summary = summary
        self._directory = directory
        self._mutate = mutate
        self._enough = enough
        self._begin = directory / "begin"
        self._numbers = itertools.count()
        apart(self._prepare)

    def _prepare(self) -> None:
        line = Line(self._begin)
        line.ingest.publish_key()
        line.stack.close()

    # -- what is tried ---------------------------------------------------------------------------------------------

    def kills(self, sent: Sequence[Instance]) -> None:
        """A death before each call, and in the middle of each write."""
        for fault, kinds in ((Fault.KILL, FILES), (Fault.TEAR, Kind.WRITE)):
            self._try((self._kill(sent, Plan(fault, at, kinds=kinds)) for at in itertools.count(1)), to_the_end=False)

    def random_kills(self, dice: random.Random, count: int, longest: int) -> None:
        """So many deaths, each at some call on the way of some images."""

        def some() -> tuple[str, Trial]:
            sent = instances(dice.randint(1, longest))
            fault, kinds = dice.choice([(Fault.KILL, FILES), (Fault.TEAR, Kind.WRITE)])
            return self._kill(sent, Plan(fault, dice.randint(1, CALLS + 20 * len(sent)), kinds=kinds))

        self._try(some() for _ in range(count))

    def errors(self, sent: Sequence[Instance], errors: Sequence[int] = ERRORS) -> None:
        """Each call fails with each of the errors; the same processes go on, and nothing is to be seen of it."""
        for error in errors:
            self._try((self._fail(sent, Plan(Fault.FAIL, at, error, FILES)) for at in itertools.count(1)), to_the_end=False)

    def short_writes(self, sent: Sequence[Instance]) -> None:
        """Of each write the disk takes only the first half."""
        self._try((self._fail(sent, Plan(Fault.CUT, at, kinds=Kind.WRITE)) for at in itertools.count(1)), to_the_end=False)

    def cuts(self, sent: Sequence[Instance], dice: random.Random, most: int) -> None:
        """A power cut after each call; of the states in which each may leave the disk all, or `most` at random."""
        root = self.copy(self._directory / "recorded")
        disk = Disk(*(root / top for top in TOPS))
        shim = Shim(self._directory / "recording")
        apart(lambda: self._record(root, sent, shim))
        self.cut(root, disk, shim, sent, dice, most)
        shutil.rmtree(root)

    def cut(
        self, root: Path, disk: Disk, shim: Shim, sent: Sequence[Instance], dice: random.Random, most: int, told: Told = _marked
    ) -> None:
        """The same for what was recorded below `root`, from where something was told to the world for the first time."""
        self._try(self._states(root, disk, shim, sent, dice, most, told))
        if not self._done():
            for top in TOPS:
                disk.same_as(root / top)

    def judged(self, what: str, root: Path, sent: Sequence[Instance], acknowledged: Collection[str]) -> None:
        """What the oracle says of an appliance that others maltreated."""
        self._settle(what, root, Child(lambda: (True, self._verdict(root, sent, acknowledged))))

    def note(self, what: str, *findings: str) -> None:
        """A point that others tried."""
        self.summary.points += 1
        self.summary.findings += [f"{what}: {finding}" for finding in findings]

    # -- trials ----------------------------------------------------------------------------------------------------

    def _kill(self, sent: Sequence[Instance], plan: Plan) -> tuple[str, Trial]:
        def trial(root: Path) -> tuple[bool, list[str]]:
            books = Books(root.with_name("acknowledged"))
            self.copy(root)
            killed = _dies(lambda: self._run(root, sent, books, plan))
            return killed, self._verdict(root, sent, books.acknowledged())

        return f"{plan.fault.name} at call {plan.at}", trial

    def _fail(self, sent: Sequence[Instance], plan: Plan) -> tuple[str, Trial]:
        def trial(root: Path) -> tuple[bool, list[str]]:
            return self._run_on(self.copy(root), sent, plan)

        return f"{plan.fault.name} {errno.errorcode.get(plan.error, 'short')} at call {plan.at}", trial

    def _states(
        self, was: Path, disk: Disk, shim: Shim, sent: Sequence[Instance], dice: random.Random, most: int, told: Told
    ) -> Iterator[tuple[str, Trial]]:
        known = set[int]()
        acknowledged = frozenset[str]()
        begun = False
        for number, record in enumerate(shim.records()):
            disk.do(record)
            if record.kind is Kind.SEND:
                begun = True
                acknowledged |= told(record.data)
            for remains in disk.remains(dice, most) if begun else ():
                digest = hash((remains.digest(), acknowledged))
                if digest not in known:
                    known.add(digest)
                    yield f"power cut after call {number}, {record.kind.name}", self._state(was, remains, sent, acknowledged)

    def _state(self, was: Path, remains: Remains, sent: Sequence[Instance], acknowledged: Collection[str]) -> Trial:
        def trial(root: Path) -> tuple[bool, list[str]]:
            root.mkdir()
            for top in TOPS:
                remains.write(was / top, root / top)
            return True, self._verdict(root, sent, acknowledged)

        return trial

    # -- each in a process of its own ------------------------------------------------------------------------------

    def _run(self, root: Path, sent: Sequence[Instance], books: Books, plan: Plan) -> None:
        self._mutate()
        line = Line(root)
        with armed(_own_shim(root), root, plan):
            line.receive(sent, books)
            line.take_in()

    def _run_on(self, root: Path, sent: Sequence[Instance], plan: Plan) -> tuple[bool, list[str]]:
        """Who is refused sends again, who meets trouble tries again."""
        self._mutate()
        line = Line(root)
        shim = _own_shim(root)
        books = Books(root.with_name("acknowledged"))
        findings = []
        with armed(shim, root, plan):
            for one in sent:
                findings += self._send(line, one, books, plan, shim)
            for _ in range(TRIES):
                try:
                    line.take_in()
                except Exception:  # noqa: BLE001, S112 (as the ingester's loop does)
                    continue
            reached = shim.calls >= plan.at
        return reached, findings + judge(line, sent, books.acknowledged())

    def _send(self, line: Line, one: Instance, books: Books, plan: Plan, shim: Shim) -> list[str]:
        """Until it is acknowledged: at once, or at the second time if the fault was met at the first."""
        before = shim.calls
        try:
            line.receive([one], books)
        except OSError:
            line.receive([one], books)
            return []
        failed = plan.fault is Fault.FAIL and before < plan.at <= shim.calls
        return [f"instance {one.uid} was acknowledged although a call failed"] if failed else []

    def _record(self, root: Path, sent: Sequence[Instance], shim: Shim) -> None:
        """The record begins with the line's own start, up to the first mark; the other marks are who was acknowledged."""
        self._mutate()
        shim.obey()
        with armed(shim, root, record=True):
            line = Line(root)
            shim.mark(b"")
            line.receive(sent, lambda one: shim.mark(one.uid.encode()))
            line.take_in()

    def _verdict(self, root: Path, sent: Sequence[Instance], acknowledged: Collection[str]) -> list[str]:
        self._mutate()
        line = Line(root)
        line.restart()
        return judge(line, sent, acknowledged)

    # -- how -------------------------------------------------------------------------------------------------------

    def _try(self, trials: Iterator[tuple[str, Trial]], *, to_the_end: bool = True) -> None:
        """As many at a time as there are processors. Without `to_the_end`: until one does not reach its point."""
        running: list[tuple[str, Path, Child]] = []
        for what, trial in trials:
            place = self._directory / f"{next(self._numbers)}"
            place.mkdir()
            running.append((what, place, Child(lambda trial=trial, place=place: trial(place / "box"))))  # type: ignore[misc]
            if len(running) >= (os.cpu_count() or 1) and not (self._settle(*running.pop(0)) or to_the_end):
                break
            if self._done():
                break
        for one in running:
            self._settle(*one)

    def _settle(self, what: str, place: Path, child: Child) -> bool:
        """Wait for a trial, and note what it found. Returns whether it reached its point."""
        try:
            reached, findings = child.result()
        except AssertionError as error:
            reached, findings = True, [f"does not start again: {error}"]
        shutil.rmtree(place)
        self.summary.points += reached
        self.summary.findings += [f"{what}: {finding}" for finding in findings]
        return bool(reached)

    def _done(self) -> bool:
        return len(self.summary.findings) >= self._enough

    def copy(self, root: Path) -> Path:
        shutil.copytree(self._begin, root, ignore=shutil.ignore_patterns("run"))
        return root


def _own_shim(root: Path) -> Shim:
    shim = Shim(root.with_name("control"))
    shim.obey()
    return shim


def _dies(work: Callable[[], object]) -> bool:
    try:
        apart(work)
    except Killed:
        return True
    return False
