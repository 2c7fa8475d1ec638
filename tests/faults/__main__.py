"""Tries crashes and faults, and says what was lost.  usage: scripts/faults [NAME…] [--seed N] [--long [HOURS]] [--mutant NAME]"""

import argparse
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from . import load
from .engine import ERRORS, Engine, Summary
from .line import instances
from .mutants import MUTANTS
from .receiver import Receiving
from .shim import CONTROL, Shim

Part = Callable[[Engine, Path, random.Random], None]

ALL: Final = 10_000  # states after one call: more than there are
ROOM: Final = 4 << 30  # bytes; the receiver leaves 1 GiB free, and a box is small

SHORT: Final[dict[str, Part]] = {
    "kills": lambda engine, _, __: engine.kills(instances(1)),
    "errors": lambda engine, _, dice: engine.errors(instances(1), [dice.choice(ERRORS)]),
    "short-writes": lambda engine, _, __: engine.short_writes(instances(1)),
    "cuts": lambda engine, _, dice: engine.cuts(instances(1), dice, ALL),
    "random-kills": lambda engine, _, dice: engine.random_kills(dice, 60, 4),
    "random-cuts": lambda engine, _, dice: engine.cuts(instances(2), dice, 3),
    "receiver-kills": lambda engine, place, _: Receiving(engine, place).kills(),
    "receiver-errors": lambda engine, place, _: Receiving(engine, place).errors(),
    "receiver-cuts": lambda engine, place, dice: Receiving(engine, place).cuts(dice, 2, ALL),
    "load": lambda engine, place, dice: load.load(engine, place / "load", dice, 40),
}
LONG: Final[dict[str, Part]] = {
    **SHORT,
    "errors": lambda engine, _, __: engine.errors(instances(2)),
    "random-kills": lambda engine, _, dice: engine.random_kills(dice, 1000, 8),
    "random-cuts": lambda engine, _, dice: engine.cuts(instances(dice.randint(2, 5)), dice, 4),
    "receiver-cuts": lambda engine, place, dice: Receiving(engine, place).cuts(dice, 5, 50),
    "load": lambda engine, place, dice: load.load(engine, place / "load", dice, 200),
}


def main() -> None:
    given = _arguments()
    if CONTROL not in os.environ:
        sys.exit(_under_the_shim())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parts = LONG if given.long else SHORT
    mutants = {mutant.mutate.__name__: mutant.mutate for mutant in MUTANTS}
    seed = secrets.randbelow(1 << 32) if given.seed is None else given.seed
    deadline = time.monotonic() + 3600 * (given.long or 0)
    points, findings = Counter[str](), 0
    with suppress(KeyboardInterrupt):
        while True:
            for name in given.names or parts:
                summary = Summary()
                try:
                    _run(name, parts[name], seed, mutants.get(given.mutant), summary)
                finally:
                    points[name] += summary.points
                    findings += len(summary.findings)
            seed += 1
            if time.monotonic() >= deadline:
                break
    if given.long:
        print("\n".join(f"{name}: {count} points" for name, count in points.items()))
    print(f"in all: {points.total()} points, {findings} findings", flush=True)
    sys.exit(1 if findings else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/faults", description="Kill, fail, cut the power, and see what is lost.")
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"{', '.join(SHORT)}; without: all")
    parser.add_argument("--seed", type=int, help="of what is random; without: a fresh one, which is printed")
    parser.add_argument("--long", metavar="HOURS", nargs="?", type=float, const=1e6, help="again and again, until stopped or for so long")
    parser.add_argument("--mutant", choices=[mutant.mutate.__name__ for mutant in MUTANTS], help="with this safeguard left out")
    given = parser.parse_args()
    if unknown := set(given.names) - set(SHORT):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    return given


def _under_the_shim() -> int:
    """The same command again, with the shim loaded. In memory where there is room: a model of a disk needs no disk."""
    memory = Path("/dev/shm")
    found = os.statvfs(memory) if memory.is_dir() else None
    roomy = found is not None and found.f_bavail * found.f_frsize > ROOM
    with tempfile.TemporaryDirectory(prefix="faults-", dir=memory if roomy else None, ignore_cleanup_errors=True) as directory:
        environment = Shim(Path(directory, "control")).environment({**os.environ, "TMPDIR": directory})
        with subprocess.Popen([sys.executable, "-m", "faults", *sys.argv[1:]], env=environment) as process:
            signal.signal(signal.SIGTERM, lambda *_: process.terminate())
            with suppress(KeyboardInterrupt):
                return process.wait()
            return process.wait()


def _run(name: str, part: Part, seed: int, mutate: Callable[[], object] | None, summary: Summary) -> None:
    """Each part has the seed to itself, so that it can be repeated alone. What is done when it is interrupted is in the summary."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        engine = Engine(Path(directory), summary, mutate, enough=1) if mutate else Engine(Path(directory), summary)
        part(engine, Path(directory), random.Random(seed))
    print(f"{name}: {summary.points} points, {len(summary.findings)} findings, seed {seed}, {time.monotonic() - began:.0f} s", flush=True)
    print("".join(f"  {finding}\n" for finding in summary.findings), end="", flush=True)


if __name__ == "__main__":
    main()
