"""All that is promised of decisions, in one table.

python -m benchmarks.decisions [--parts NAME …] [--quick]
"""

from __future__ import annotations

import argparse
from importlib import import_module

from benchmarks.harness.table import Row, render, save

PARTS = {
    "audit": "benchmarks.decisions.audit",
    "calibration": "benchmarks.decisions.calibration",
    "conformal": "benchmarks.decisions.conformal",
    "cascade": "benchmarks.decisions.cascade",
    "cascade_calibration": "benchmarks.decisions.cascade_calibration",
    "dynamic": "benchmarks.decisions.dynamic",
    "draw": "benchmarks.decisions.draw",
    "errors": "benchmarks.decisions.errors",
    "experiments": "benchmarks.decisions.experiments",
    "greedy": "benchmarks.decisions.greedy",
    "ingest": "benchmarks.decisions.ingest",
    "ladder": "benchmarks.decisions.ladder",
    "learned": "benchmarks.decisions.learned",
    "online": "benchmarks.decisions.online",
    "off_policy": "benchmarks.decisions.off_policy",
    "progressive": "benchmarks.decisions.progressive",
    "quantiles": "benchmarks.decisions.quantiles",
    "regret": "benchmarks.decisions.regret",
    "replay": "benchmarks.decisions.replay",
    "srm": "benchmarks.decisions.srm",
    "swap": "benchmarks.decisions.swap",
}
"""Modules with ``rows(*, quick)``; each is imported only when it runs."""


def main() -> None:
    """Run the parts, print the table and write ``build/bench/decisions.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=sorted(PARTS), default=sorted(PARTS))
    parser.add_argument("--quick", action="store_true", help="smaller, to see that all runs; the figures mean nothing")
    options = parser.parse_args()
    found: list[Row] = []
    for part in options.parts:
        found += import_module(PARTS[part]).rows(quick=options.quick)
    print(render(found))
    print(f"\n{save(found, 'decisions')}")


if __name__ == "__main__":
    main()
