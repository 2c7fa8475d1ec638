"""Runs the benchmark that is named.  usage: scripts/bench NAME [OPTION…]"""

import argparse

from . import ingest, opening, pack, receive, sealed


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure side by side on this machine.")
    benches = parser.add_subparsers(required=True)
    benches.add_parser("opening").set_defaults(table=lambda _: opening.table())
    benches.add_parser("pack").set_defaults(table=lambda _: pack.table())
    benches.add_parser("sealed").set_defaults(table=lambda _: sealed.table())
    receive.add_options(benches.add_parser("receive"))
    ingest.add_options(benches.add_parser("ingest"))
    options = parser.parse_args()
    print(options.table(options))


if __name__ == "__main__":
    main()
