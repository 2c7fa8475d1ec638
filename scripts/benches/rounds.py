"""Measuring in rounds: each contender once a round, so that whatever else the machine does hits all alike; the median counts."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contender:
    """`run` handles the same number of bytes each time. `peer`: the name of the contender to be compared with."""

    name: str
    run: Callable[[], object]
    peer: str | None = None


def throughput(contenders: Sequence[Contender], amount: int, rounds: int) -> str:
    """A table of GB/s (10^9 bytes in a second of processor time, user and system) and of the ratio to the peer.

    The ratio is the median of the rounds' ratios. `amount`: bytes that each run handles. The first round is for warming up.
    """
    seconds = _rounds(contenders, rounds, time.process_time)
    return _table(contenders, seconds, "GB/s", lambda typical: f"{amount / typical / 1e9:.2f}", faster=True)


def durations(contenders: Sequence[Contender], rounds: int) -> str:
    """A table of milliseconds by the clock on the wall, and of the ratio to the peer."""
    seconds = _rounds(contenders, rounds, time.perf_counter)
    return _table(contenders, seconds, "ms", lambda typical: f"{typical * 1000:.1f}", faster=False)


def _rounds(contenders: Sequence[Contender], rounds: int, clock: Callable[[], float]) -> list[dict[str, float]]:
    return [{each.name: _seconds(each, clock) for each in contenders} for _ in range(rounds + 1)][1:]


def _table(
    contenders: Sequence[Contender], seconds: Sequence[dict[str, float]], unit: str, show: Callable[[float], str], *, faster: bool
) -> str:
    """`faster`: the ratio says how fast each is compared with its peer; else how long it takes."""
    rows = [("", unit, "of its peer", "peer")]
    for each in contenders:
        ratio = ""
        if each.peer:
            times = statistics.median(one[each.peer] / one[each.name] for one in seconds)
            ratio = f"{times if faster else 1 / times:.0%}"
        rows.append((each.name, show(statistics.median(one[each.name] for one in seconds)), ratio, each.peer or ""))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _seconds(contender: Contender, clock: Callable[[], float]) -> float:
    before = clock()
    contender.run()
    return clock() - before
