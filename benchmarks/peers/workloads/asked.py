"""What the command line asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.harness.found import Found
from benchmarks.harness.table import Row
from benchmarks.peers.bench import Bench, Workload
from benchmarks.peers.measured import Plan


@dataclass(frozen=True)
class Asked:
    """``None`` where a workload decides itself. ``only``: names (or parts) of the systems to compare."""

    pairs: int = 6
    seconds: int = 2
    seed: int = 1
    workers: tuple[int, ...] | None = None
    connections: tuple[int, ...] | None = None
    levels: tuple[float, ...] = ()
    only: tuple[str, ...] = ()
    photographs: int = 0
    shared: bool = False

    def plan(self, *, levels: bool = False) -> Plan:
        """Rounds; with the open loop where the workload has one."""
        shown = self.levels if levels else ()
        return Plan(self.pairs, self.seconds, self.seed, shown, self.connections is not None, self.shared)


def run(work: Workload, asked: Asked, workers: Sequence[int], connections: Sequence[int], *, levels: bool) -> Found:
    """One workload at each number of workers; at the last of them also the open loop, and every number of connections.

    At the others only 1 and 32 connections, where the command line does not say otherwise.
    """
    rows: list[Row] = []
    bad = 0
    wanted = asked.workers or tuple(workers)
    for count in wanted:
        bench = Bench(work, asked.plan(levels=levels and count == wanted[-1]))
        usual = connections if count == wanted[-1] else [n for n in connections if n in (1, 32)]
        rows += bench.run(count, asked.connections or tuple(usual))
        bad += bench.bad
    return Found(rows, bad)
