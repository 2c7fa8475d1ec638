"""Results of all rounds, as tables for readers and as JSON for programs."""

import json
import statistics
from dataclasses import dataclass, field

from .loads import RATE

Figures = dict[str, float]


@dataclass(slots=True)
class Case:
    """What one case is, what each receiver did in each round, and why one did not. `rounds`: by receiver."""

    title: str
    rounds: dict[str, list[Figures]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        return list(dict.fromkeys([*self.rounds, *self.problems]))

    def median(self, receiver: str) -> Figures:
        """Of each figure; none where there was a problem, or for a receiver that the case is not for."""
        rounds = [] if receiver in self.problems else self.rounds.get(receiver, [])
        return {name: statistics.median(one[name] for one in rounds) for name in (rounds or [{}])[0]}

    def ratio(self, ours: str, peer: str) -> str:
        """How many times as fast ours is: the median of the rounds' ratios. Empty where there is nothing to compare."""
        if ours == peer or not self.median(ours) or not self.median(peer):
            return ""
        rounds = zip(self.rounds[ours], self.rounds[peer], strict=True)
        return f"{statistics.median(one[RATE] / other[RATE] for one, other in rounds):.2f} ×"


@dataclass(slots=True)
class Results:
    """Of one run of the benchmark. `missing`: receivers that are not installed, and their packages."""

    machine: dict[str, str]
    missing: dict[str, str]
    cases: dict[str, Case] = field(default_factory=dict)

    def json(self) -> str:
        cases = {name: {"what": one.title, "rounds": one.rounds, "problems": one.problems} for name, one in self.cases.items()}
        return json.dumps({"machine": self.machine, "missing": self.missing, "cases": cases}, indent=1)

    def markdown(self, ours: str) -> str:
        """The machine, how many times as fast ours is as each of the others, and the figures of each case: medians."""
        parts = [_table([("machine", ""), *self.machine.items()])]
        parts += [f"Not measured: {name} is not installed (Debian package {package})." for name, package in self.missing.items()]
        parts.append(_summary(list(self.cases.items()), ours))
        parts += [f"**{name}**: {one.title}\n\n{_rows(one, ours)}" for name, one in self.cases.items()]
        return "\n\n".join(parts)


def _summary(cases: list[tuple[str, Case]], ours: str) -> str:
    peers = [name for name in dict.fromkeys(name for _, case in cases for name in case.names()) if name != ours]
    rows = [("case", f"{ours}, {RATE}", *peers)]
    for name, case in cases:
        rate = case.median(ours).get(RATE)
        rows.append((name, "" if rate is None else _shown(rate), *(case.ratio(ours, peer) for peer in peers)))
    return f"How many times as fast {ours} is as\n\n{_table(rows)}"


def _rows(case: Case, ours: str) -> str:
    columns = list(next(filter(None, map(case.median, case.names())), {"": 0}))
    rows = [("", *columns, f"{ours} is")]
    for name in case.names():
        told = [_shown(figure) for figure in case.median(name).values()] or [case.problems[name], *[""] * (len(columns) - 1)]
        rows.append((name, *told, case.ratio(ours, name)))
    return _table(rows)


def _shown(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _table(rows: list[tuple[str, ...]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|{' --- |' * len(rows[0])}", *body])
