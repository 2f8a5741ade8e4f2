"""``make bench-faults``: members that crash, hang and lie; poisoned rows; clients that leave; overload; a broken disk.

The defaults take some three minutes. Long: ``ARGS="--requests 100000 --disk-seconds 60 --overload-seconds 20"``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.faults import disk, leaving, members, overload, poison
from benchmarks.harness import interrupt, parts

PARTS = ("members", "poison", "leaving", "overload", "disk")


def options(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="which (all)")
    parser.add_argument("--requests", type=int, default=5000, help="to failing members, of clients (%(default)s)")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second to failing members (%(default)s)")
    parser.add_argument("--overload-seconds", type=float, default=5.0, help="at three times capacity (%(default)s)")
    parser.add_argument("--disk-seconds", type=float, default=5.0, help="that the disk stalls or is full (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of faults and arrivals (%(default)s)")
    parser.add_argument("--name", default="faults", help="of the file in build/bench (%(default)s)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Measure, print, save; 1 if an answer was wrong, missing or late."""
    asked = options(argv)
    found = {
        "members": lambda: members.measure(asked.requests, asked.rate, asked.workers, asked.seed),
        "poison": lambda: poison.measure(asked.requests, asked.workers, asked.seed),
        "leaving": lambda: leaving.measure(asked.requests, asked.workers, asked.seed),
        "overload": lambda: overload.measure(asked.overload_seconds, asked.workers, asked.seed),
        "disk": lambda: disk.measure(asked.disk_seconds),
    }
    return parts.run({part: found[part] for part in asked.parts}, asked.name)


if __name__ == "__main__":
    sys.exit(interrupt.run(lambda: main(sys.argv[1:])))
