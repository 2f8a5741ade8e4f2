"""``make bench-peers``: the same work answered by Quorate, by its peers and at the limit, in one table.

a  digits, five scikit-learn members, soft vote, one JSON row     b  the same with 32 rows
c  MobileNetV2 from a JPEG body                                    d  five convolutional networks, stacking
e  the Open Inference Protocol: REST binary and gRPC               f  50 endpoints over 200 models
g  added latency at 70 % load                          h  five slow members, five quick ones, against the cores
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.harness import interrupt, parts
from benchmarks.harness.found import Found
from benchmarks.peers.workloads import added, lanes, many, photographs, protocol, rows
from benchmarks.peers.workloads.asked import Asked

WORKLOADS: dict[str, Callable[[Asked], Found]] = {
    "a": rows.one,
    "b": rows.many,
    "c": photographs.mobilenet,
    "d": photographs.networks,
    "e": protocol.measure,
    "f": many.measure,
    "g": added.measure,
    "h": lanes.measure,
}
LEVELS = (0.5, 0.7, 0.9, 1.2)


def options(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), help="which (all)")
    parser.add_argument("--pairs", type=int, default=2, help="rounds; each measures every system once (%(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement, whole (%(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", help="worker processes (a: 1 3; c, d: as many as it can pin)")
    parser.add_argument("--connections", type=int, nargs="+", help="of the closed loop (a: 1 8 32 128)")
    parser.add_argument(
        "--levels", type=float, nargs="*", default=LEVELS, help="of the open loop, as shares of capacity; none: no loop"
    )
    parser.add_argument("--only", nargs="+", default=(), help="systems whose name contains one of these")
    parser.add_argument("--photographs", type=int, default=0, help="whose labels c compares; 0: all (%(default)s)")
    parser.add_argument("--shared", action="store_true", help="server and generator share all cores: not pinned")
    parser.add_argument("--seed", type=int, default=1, help="of orders and arrivals (%(default)s)")
    parser.add_argument("--name", default="peers", help="of the file in build/bench (%(default)s)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Measure, print, save; 1 if any answer was not a 200."""
    given = options(argv)
    asked = Asked(
        pairs=given.pairs,
        seconds=given.seconds,
        seed=given.seed,
        workers=tuple(given.workers) if given.workers else None,
        connections=tuple(given.connections) if given.connections else None,
        levels=tuple(given.levels),
        only=tuple(given.only),
        photographs=given.photographs,
        shared=given.shared,
    )
    found = {key: partial(WORKLOADS[key], asked) for key in given.workload}
    return parts.run(found, given.name)


if __name__ == "__main__":
    sys.exit(interrupt.run(lambda: main(sys.argv[1:])))
