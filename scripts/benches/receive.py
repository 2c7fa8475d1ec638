"""Receiving, beside other receivers: the same instances from the same senders, one receiver after the other, in alternating order.

Every run starts its receiver anew in an empty directory, measures from the first connection to the last answer, counts what was stored,
and takes all away. The receivers sync to the disk or do not, as they please; before each run everything else is written out, so that
nobody pays for another's.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from .receiving import loads, machine, report, studies
from .receiving.loads import RATE, Load
from .receiving.network import LOOPBACK, Network, cable
from .receiving.pdus import Disagreement
from .receiving.receivers import OURS, RECEIVERS, Receiver, running, versions
from .receiving.report import Results
from .receiving.sending import Instance
from .receiving.studies import Study
from .receiving.usage import Watch

_TOP: Final = Path(__file__).parents[2]
_ROUNDS: Final = 5
_QUICK: Final = 10
_LARGE: Final = 4.0  # GiB


@dataclass(frozen=True, slots=True)
class Case:
    """`limit`: so many instances of the study at most. `many`: several associations at once. `ceiling`: beside sinks, too."""

    name: str
    kind: str
    load: Load
    sender: str
    limit: int = sys.maxsize
    many: bool = False
    ceiling: bool = True
    cable: bool = False


def _cases() -> Iterator[Case]:
    for kind in ("ct", "mr", "mammography", "ultrasound", "jpeg2000"):
        for associations in (1,) if kind == "ultrasound" else (1, 4):
            over = f"over {associations} association{'s' * (associations > 1)}"
            many = associations > 1
            yield Case(f"{kind}-{associations}", kind, loads.lean(associations), f"lean sender {over}", many=many)
            if kind in ("ct", "mr"):
                yield Case(f"{kind}-storescu-{associations}", kind, loads.storescu(associations), f"storescu {over}", many=many)
        if kind == "ct":
            yield Case("ct-beside", kind, loads.beside, "lean sender, alone and then beside another", many=True, ceiling=False)
        if kind == "mr":
            yield Case("mr-one-each", kind, loads.one_each, "lean sender, an association for each instance", limit=500, ceiling=False)
            yield Case("mr-nagle", kind, loads.storescu(1), "storescu", limit=100, ceiling=False, cable=True)


LARGE: Final = Case("large", "large", loads.streamed, "lean sender", ceiling=False)
CASES: Final = (*_cases(), LARGE)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(table=table)
    parser.add_argument("--rounds", type=int, help=f"how often each is measured (default: {_ROUNDS}, or 1 with --quick)")
    parser.add_argument("--only", metavar="CASE", action="append", choices=[case.name for case in CASES], help="one case; may be repeated")
    parser.add_argument("--quick", action="store_true", help=f"one in {_QUICK} of the instances: to see that it works")
    parser.add_argument(
        "--large", metavar="GIB", type=float, nargs="?", const=_LARGE, help=f"also send one instance of so many GiB (default: {_LARGE:g})"
    )
    parser.add_argument("--dir", type=Path, default=_TOP / ".bench", help="a directory on a disk, for what is sent and received")
    parser.add_argument("--json", type=Path, help="write all figures of all rounds to this file")


def table(options: argparse.Namespace) -> str:
    """Measures all that is asked for. Raises SystemExit with a sentence when that makes no sense."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    options.dir = options.dir.absolute()
    options.dir.mkdir(parents=True, exist_ok=True)
    if machine.in_memory(options.dir):
        sys.exit(f"{options.dir} is in memory: nothing is made durable there. Give a directory on a disk with --dir.")
    with tempfile.TemporaryDirectory(prefix="receive-", dir=options.dir) as made:
        directory = Path(made)
        rounds = options.rounds or (1 if options.quick else _ROUNDS)
        missing = {one.name: one.package for one in RECEIVERS if one.missing}
        results = Results(machine.described(directory) | versions(), missing)
        for kind, cases in groupby(_chosen(options), key=lambda case: case.kind):
            _say(f"making {kind}")
            study = _study(kind, directory / "studies", options)
            for case in cases:
                results.cases[case.name] = measured(case, study, directory, rounds=1 if case is LARGE else rounds)
    if options.json:
        options.json.write_text(results.json())
    return results.markdown(OURS.name)


def _chosen(options: argparse.Namespace) -> list[Case]:
    if options.only:
        return [case for case in CASES if case.name in options.only]
    return [case for case in CASES if case is not LARGE or options.large]


def _study(kind: str, directory: Path, options: argparse.Namespace) -> Study:
    if kind == LARGE.kind:
        return studies.large(directory / kind, options.large or _LARGE)
    return studies.made(kind, directory, _QUICK if options.quick else 1)


def measured(case: Case, study: Study, directory: Path, rounds: int) -> report.Case:
    """All receivers that the case is for, once a round; who fails is not tried again."""
    instances = study.instances[: case.limit]
    contenders = [one for one in RECEIVERS if not one.missing and (case.many or not one.many) and (case.ceiling or one.keeps)]
    with ExitStack() as stack:
        network = stack.enter_context(cable()) if case.cable else LOOPBACK
        found = report.Case(f"{Study(study.what, instances)}; {case.sender}; {network.what}", {one.name: [] for one in contenders})
        for number in range(rounds):
            for receiver in contenders[:: -1 if number % 2 else 1]:
                if receiver.name in found.problems:
                    continue
                try:
                    figures = _once(case, receiver, instances, directory, network)
                    found.rounds[receiver.name].append(figures)
                    told = f"{figures[RATE]:.1f} {RATE}"
                except (Disagreement, OSError) as problem:
                    told = found.problems[receiver.name] = str(problem)
                _say(f"{case.name}, round {number + 1} of {rounds}, {receiver.name}: {told}")
    return found


def _once(case: Case, receiver: Receiver, instances: Sequence[Instance], directory: Path, network: Network) -> dict[str, float]:
    os.sync()
    with running(receiver, directory / "receiver", network, instances) as process:
        with Watch(process.pid) as used:
            outcome = case.load(process, network, instances)
        stored = process.stored()
    if receiver.keeps and stored != outcome.instances:
        raise Disagreement(f"acknowledged {outcome.instances} instances and stored {stored}")
    return outcome.figures | {"CPU s/GB": used.seconds / outcome.size * 1e9, "peak MB": used.peak / 1e6}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
