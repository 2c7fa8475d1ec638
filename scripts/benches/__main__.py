"""Runs the benchmarks that are named.  usage: scripts/bench NAME…"""

import argparse
from collections.abc import Callable
from typing import Final

from . import sealed

BENCHES: Final[dict[str, Callable[[], str]]] = {"sealed": sealed.table}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure side by side on this machine.")
    parser.add_argument("names", metavar="NAME", nargs="+", choices=BENCHES, help=", ".join(BENCHES))
    for name in parser.parse_args().names:
        print(BENCHES[name]())


if __name__ == "__main__":
    main()
