"""Workload g: what Quorate adds to a model's own time, at 10 % and at 70 % of what it can answer."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from pathlib import Path

from benchmarks.harness import digits, machine, openloop, wrk
from benchmarks.harness.found import Found
from benchmarks.harness.process import Server
from benchmarks.harness.requests import NUMBER, Request, save
from benchmarks.harness.table import FOLDER, LIMIT, QUORATE, Row
from benchmarks.peers.export import body, export
from benchmarks.peers.latency import PARTS, breakdown, decisions
from benchmarks.peers.measured import plural
from benchmarks.peers.systems import quorate
from benchmarks.peers.workloads.asked import Asked
from quorate.home import Home

LOADS = (0.1, 0.7)
"""At the lower one hardly any request waits for another: what is added there is work, not waiting."""
ALLOWED = {50: 0.5, 99: 3.0}
CONNECTIONS = 128


def measure(asked: Asked) -> Found:
    """Capacity by a closed loop, then an open loop of Poisson arrivals, each time on a fresh journal."""
    workers = (asked.workers or (1,))[-1]
    title = f"one row, soft vote of five, {plural(workers, 'worker')}, Poisson arrivals"
    if (reason := openloop.missing()) is not None:
        return Found([Row(title, QUORATE, "added, p50", "ms", (), reason)], 0)
    project = digits.project("added")
    _, instances = export(Home(project), FOLDER / "run" / "added-models")
    file = save(
        (Request(digits.PREDICT, body([row]), headers={"X-Request-Id": NUMBER}) for row in instances),
        FOLDER / "run" / "added.requests",
    )
    available = machine.available()
    run = _Run(project, file, asked, workers, machine.split_cores(available, workers))
    rows: list[Row] = []
    try:
        for load in LOADS:
            rows += run.at(load, f"{title}, at {load:.0%} of capacity")
    finally:
        if available:
            os.sched_setaffinity(0, available)
    return Found(rows, run.bad)


class _Run:
    """Rounds at one load after another; ``bad`` counts what was not answered with 200."""

    def __init__(self, project: Path, file: Path, asked: Asked, workers: int, cores: machine.Cores | None) -> None:
        self._home = Home(project)
        self._file = file
        self._asked = asked
        self._workers = workers
        self._cores = cores
        self.bad = 0
        if cores is not None:
            os.sched_setaffinity(0, cores.generator)

    def at(self, load: float, title: str) -> list[Row]:
        found: dict[tuple[str, int], list[float]] = defaultdict(list)
        rates = []
        for number in range(self._asked.pairs):
            shutil.rmtree(self._home.journal, ignore_errors=True)
            with quorate(QUORATE, self._home.root).start(self._workers, self._cores and self._cores.server) as server:
                records = self._load(server, load, number)
            rates.append(records.rate)
            self.bad += int((~records.good).sum())
            parts = breakdown(records, decisions(self._home.journal))
            if len(parts["total"]) != records.good.sum():
                raise RuntimeError(f"{records.good.sum()} answers, but {len(parts['total'])} of their decisions")
            for part, values in parts.items():
                for q in ALLOWED:
                    found[part, q].append(openloop.percentile(values, q))
        return [*_rows(title, found), Row(title, QUORATE, "answers", "1/s", tuple(rates))]

    def _load(self, server: Server, load: float, number: int) -> openloop.Records:
        asked, pinned = self._asked, self._cores and self._cores.generator
        for _ in range(2):  # the first one warms up
            capacity = wrk.drive(server.port, self._file, connections=32, seconds=asked.seconds, cores=pinned).rate
        return openloop.drive(
            server.port,
            self._file,
            rate=load * capacity,
            seconds=asked.seconds,
            connections=CONNECTIONS,
            cores=pinned,
            seed=asked.seed + number,
        )


def _rows(title: str, found: dict[tuple[str, int], list[float]]) -> list[Row]:
    said = {
        "unsent": "no idle connection, or the generator was late",
        "sockets": "until the server read it, beyond the quickest",
        "queue": "read, but no member has started",
        "added": "total - unsent - sockets - queue - model",
        "outside": "total - latency by the server's clock",
    }
    rows = []
    for part in PARTS:
        for q, most in ALLOWED.items():
            metric = f"{part}, p{q}"
            rows.append(Row(title, QUORATE, metric, "ms", tuple(found[part, q]), said.get(part, "")))
            if part == "added":
                rows.append(Row(title, LIMIT, metric, "ms", (most,), "what the plan allows"))
    return rows
