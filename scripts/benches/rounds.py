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
    seconds = [{each.name: _seconds(each) for each in contenders} for _ in range(rounds + 1)][1:]
    rows = [("", "GB/s", "of its peer", "peer")]
    for each in contenders:
        speed = statistics.median(amount / one[each.name] for one in seconds) / 1e9
        ratio = f"{statistics.median(one[each.peer] / one[each.name] for one in seconds):.0%}" if each.peer else ""
        rows.append((each.name, f"{speed:.2f}", ratio, each.peer or ""))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _seconds(contender: Contender) -> float:
    before = time.process_time()
    contender.run()
    return time.process_time() - before
