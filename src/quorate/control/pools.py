"""How workers run their pools now: threads and lanes, and whether these were measured or declared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quorate.codecs.snapshot import PoolRoute, PoolRun, Routing
from quorate.telemetry.counters import Series, workers
from quorate.telemetry.metrics import OTHER

_PREFIX = "quorate_pool_"
Cells = dict[str, dict[str, float]]
"""Readings of one pool in one worker: metric without its prefix -> number of threads, or nothing -> value."""


@dataclass(frozen=True, slots=True)
class PoolInWorker:
    """A pool in one worker; ``threads`` and ``lanes`` are 0 and ``memory_bytes`` None while it is not ``resident``.

    ``tried_ms`` is milliseconds of one row by the number of threads, as measured when the pool was loaded.
    """

    process: str
    resident: bool
    threads: int
    lanes: int
    memory_bytes: int | None
    tried_ms: dict[int, float]


@dataclass(frozen=True, slots=True)
class RunningPool:
    """A pool in all workers that run now.

    Threads are ``declared`` for the pool or by a member, or ``measured``; there are ``none`` to choose where the
    members run in processes of their own, or nothing is in memory. Lanes are ``declared``, or as the ``cores`` allow.
    """

    name: str
    threads_from: Literal["declared", "measured", "none"]
    lanes_from: Literal["declared", "cores"]
    workers: tuple[PoolInWorker, ...]


def running(routing: Routing, folder: Path) -> list[RunningPool]:
    """All pools of a manifest, by the telemetry files in ``folder``; a worker that has not told yet is left out."""
    found: dict[str, list[PoolInWorker]] = defaultdict(list)
    for process, series, alive in workers(folder):
        if alive:
            for name, cells in _readings(series).items():
                found[name].append(_in_worker(process, cells))
    return [_pool(route, routing.runs.get(route.name, PoolRun()), tuple(found[route.name])) for route in routing.pools]


def _readings(series: Iterable[Series]) -> dict[str, Cells]:
    pools: dict[str, Cells] = defaultdict(lambda: defaultdict(dict))
    for metric, labels, cells in series:
        if metric.startswith(_PREFIX) and OTHER not in labels.values():
            pools[labels["pool"]][metric.removeprefix(_PREFIX)][labels.get("threads", "")] = cells[0]
    return pools


def _in_worker(process: str, cells: Cells) -> PoolInWorker:
    def one(metric: str) -> int:
        return int(cells.get(metric, {}).get("", 0))

    tried = {int(threads): seconds * 1000 for threads, seconds in cells.get("tried_seconds", {}).items()}
    memory = one("memory_bytes") if "memory_bytes" in cells else None
    return PoolInWorker(
        process, bool(one("resident")), one("threads"), one("lanes"), memory, dict(sorted(tried.items()))
    )


def _pool(route: PoolRoute, run: PoolRun, found: tuple[PoolInWorker, ...]) -> RunningPool:
    measured = any(worker.tried_ms for worker in found)
    declared = run.threads is not None or (not measured and any(m.threads is not None for m in route.members))
    return RunningPool(
        name=route.name,
        threads_from="declared" if declared else "measured" if measured else "none",
        lanes_from="cores" if run.lanes is None else "declared",
        workers=found,
    )
