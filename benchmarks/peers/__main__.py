"""``make bench-peers``: one JSON row, soft vote of five members, answered by Quorate, by its peers and at the limit."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import digits, machine, wrk
from benchmarks.harness.table import FOLDER, render, save
from benchmarks.peers.bench import Bench, Plan
from benchmarks.peers.check import expected, post
from benchmarks.peers.export import BODIES, POOL, export
from benchmarks.peers.limit import ANSWER_BYTES
from benchmarks.peers.pool import VARIABLE
from benchmarks.peers.systems import System, systems
from quorate.home import Home

MODELS = FOLDER / "run" / "models"


def options(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--pairs", type=int, default=6, help="rounds; each measures every system once (%(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement, whole (%(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 3], help="worker processes (1 3)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the systems in each round (%(default)s)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Measure, print, save; 1 if any answer was not a 200."""
    asked = options(argv)
    wrk.ensure()
    about = machine.describe()
    quorate = digits.project("quorate")
    without_journal = digits.project("without-journal", journal={"durability": "none"})
    pool, instances = export(Home(quorate), MODELS)
    wanted = [expected(pool, [row])[0] for row in instances]
    environment = {
        VARIABLE: str((MODELS / POOL).resolve()),
        ANSWER_BYTES: str(_answer_bytes(quorate, MODELS / BODIES)),
    }
    bench = Bench(
        systems(quorate, without_journal, environment),
        MODELS / BODIES,
        environment,
        Plan(asked.pairs, asked.seconds, asked.seed),
    )
    rows = [row for workers in asked.workers for row in bench.run(workers, wanted)]
    print(about)
    print(render(rows))
    print(f"\nWritten to {save(rows, 'peers')}.")
    shutil.rmtree(FOLDER / "run")
    return 1 if bench.bad else 0


def _answer_bytes(project: Path, bodies: Path) -> int:
    """The length of Quorate's answer, which the echo imitates."""
    with System("size", project=project).server(1, None) as server:
        return len(post(server.port, digits.PREDICT, bodies.read_bytes().splitlines()[0])[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
