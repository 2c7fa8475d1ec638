"""Results of all rounds, as tables for readers and as JSON for programs."""

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass, field

from .loads import RATE

Figures = dict[str, float]


@dataclass(slots=True)
class Case:
    """What one case is, what each receiver did in each round, and why one did not. `rounds`: by receiver."""

    title: str
    rounds: dict[str, list[Figures]] = field(default_factory=lambda: defaultdict(list))
    problems: dict[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        return list(dict.fromkeys([*self.rounds, *self.problems]))

    def median(self, receiver: str) -> Figures:
        rounds = self.rounds[receiver]
        return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}

    def ratio(self, ours: str, peer: str) -> float:
        """How many times as fast ours is: the median of the rounds' ratios."""
        return statistics.median(one[RATE] / other[RATE] for one, other in zip(self.rounds[ours], self.rounds[peer], strict=True))


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
        """Medians; what is ours is compared with each of the others."""
        parts = [_table([("machine", ""), *self.machine.items()])]
        parts += [f"Not measured: {name} is not installed (Debian package {package})." for name, package in self.missing.items()]
        parts += [f"**{name}**: {one.title}\n\n{_rows(one, ours)}" for name, one in self.cases.items()]
        return "\n\n".join(parts)


def _rows(case: Case, ours: str) -> str:
    columns = next((list(case.median(name)) for name in case.names() if name not in case.problems), [])
    rows = [("", *columns, f"{ours} is")]
    for name in case.names():
        if name in case.problems:
            rows.append((name, case.problems[name], *[""] * len(columns)))
            continue
        compared = f"{case.ratio(ours, name):.2f} ×" if name != ours and ours not in case.problems else ""
        rows.append((name, *(_shown(figure) for figure in case.median(name).values()), compared))
    return _table(rows)


def _shown(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _table(rows: list[tuple[str, ...]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|{' --- |' * len(rows[0])}", *body])
