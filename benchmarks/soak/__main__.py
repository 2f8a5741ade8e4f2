"""``make bench-soak``: resident memory over many requests and load/unload cycles; 100 hot swaps under load.

The defaults take about five minutes. ``ARGS="--requests 1000000 --cycles 1000 --swaps 100"`` is the long form.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from benchmarks.harness import interrupt, parts
from benchmarks.soak import cycles, requests, swaps

PARTS = ("requests", "cycles", "swaps")


def options(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="which (all)")
    parser.add_argument("--requests", type=int, default=100_000, help="answers to get (%(default)s)")
    parser.add_argument("--cycles", type=int, default=40, help="times a pool is loaded and unloaded (%(default)s)")
    parser.add_argument("--swaps", type=int, default=100, help="revisions under load (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (%(default)s)")
    parser.add_argument("--journal", type=json.loads, default={}, help='the section "journal" of quorate.yaml, as JSON')
    parser.add_argument("--name", default="soak", help="of the file in build/bench (%(default)s)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Measure, print, save; 1 if an answer was wrong or missing."""
    asked = options(argv)
    found = {
        "requests": lambda: requests.measure(asked.requests, asked.workers, asked.journal),
        "cycles": lambda: cycles.measure(asked.cycles, asked.workers),
        "swaps": lambda: swaps.measure(asked.swaps, asked.workers),
    }
    return parts.run({part: found[part] for part in asked.parts}, asked.name)


if __name__ == "__main__":
    sys.exit(interrupt.run(lambda: main(sys.argv[1:])))
