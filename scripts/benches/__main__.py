"""Runs the benchmarks that are named.  usage: scripts/bench NAME…"""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from . import ingest, opening, sealed

BENCHES: Final[dict[str, Callable[[], str]]] = {"opening": opening.table, "sealed": sealed.table}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure side by side on this machine.")
    parser.add_argument("names", metavar="NAME", nargs="+", choices=[*BENCHES, "ingest"], help=", ".join([*BENCHES, "ingest"]))
    parser.add_argument("--quick", action="store_true", help="ingest: small and once, to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="ingest: also write every single round there")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped, too
    benches = BENCHES | {"ingest": lambda: ingest.table(quick=given.quick, into=given.json)}
    for name in given.names:
        print(benches[name]())


if __name__ == "__main__":
    main()
