"""The measurement: all systems up at once and checked, then loaded one at a time, in rounds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import machine, wrk
from benchmarks.harness.process import Server
from benchmarks.harness.rounds import schedule
from benchmarks.harness.table import LIMIT, Row
from benchmarks.peers.check import check_answers
from benchmarks.peers.systems import ECHO, System

GRAPH = "fused graph alone, no HTTP"
CONNECTIONS = 32
WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """One system in one round; ``cpu_us`` is processor time per answer, of all its processes."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    bad: int = 0
    spread: str = ""


Samples = dict[str, list[Sample]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often: ``pairs`` rounds of ``seconds``, their order by ``seed``."""

    pairs: int
    seconds: int
    seed: int


class Bench:
    """Measures the systems; ``bad`` counts what was not answered with 200."""

    def __init__(self, systems: Sequence[System], bodies: Path, environment: Mapping[str, str], plan: Plan) -> None:
        self._systems = {system.name: system for system in systems}
        self._bodies = bodies
        self._environment = {**os.environ, **environment}
        self._plan = plan
        self._available = machine.available()
        self._servers: dict[str, Server] = {}
        self._cores: machine.Cores | None = None
        self._workers = 0
        self.bad = 0

    def run(self, workers: int, wanted: Sequence[Mapping[str, float]]) -> list[Row]:
        """Start every system with so many workers, check its answers against ``wanted``, then measure."""
        self._workers = workers
        self._cores = machine.split_cores(self._available, workers)
        print(f"{_plural(workers, 'worker')}: {_placed(self._cores)}", flush=True)
        if self._cores is not None:
            os.sched_setaffinity(0, self._cores.generator)
        with ExitStack() as stack:
            for name, system in self._systems.items():
                server = stack.enter_context(system.server(workers, self._cores and self._cores.server))
                if name != ECHO:
                    check_answers(name, server.port, system.path, self._bodies.read_bytes().splitlines(), wanted)
                self._servers[name] = server
                self._load(name, CONNECTIONS, WARM_UP)
            rows = self._throughput()
            return rows + self._latency() if workers == 1 else rows

    def _throughput(self) -> list[Row]:
        samples = self._rounds(CONNECTIONS, self._plan.seconds, self._plan.seed)
        samples[LIMIT] = [
            Sample(1 / (1 / echo.rate + 1 / graph.rate), 0, 0, echo.cpu_us + graph.cpu_us)
            for echo, graph in zip(samples[ECHO], samples[GRAPH], strict=True)
        ]
        workload = f"one row, soft vote of five, {_plural(self._workers, 'worker')}, {CONNECTIONS} connections"
        notes = {name: _note(found) for name, found in samples.items()}
        notes |= {GRAPH: _plural(self._workers, "process"), LIMIT: "echo, then graph: 1 / (1/a + 1/b)"}
        return [
            *_rows(workload, "answers", "1/s", samples, lambda sample: sample.rate, notes),
            *_rows(workload, "CPU per answer", "us", samples, lambda sample: sample.cpu_us, {LIMIT: "echo + graph"}),
        ]

    def _latency(self) -> list[Row]:
        samples = self._rounds(1, max(1, self._plan.seconds - 1), self._plan.seed + 1)
        samples[LIMIT] = [
            Sample(0, echo.p50_ms + graph.p50_ms, 0, 0)
            for echo, graph in zip(samples[ECHO], samples[GRAPH], strict=True)
        ]
        workload = "one row, soft vote of five, 1 worker, 1 connection"
        notes = {name: _note(found) for name, found in samples.items()} | {GRAPH: "mean", LIMIT: "echo + graph"}
        served = {name: samples[name] for name in self._systems}
        return [
            *_rows(workload, "p50", "ms", samples, lambda sample: sample.p50_ms, notes),
            *_rows(workload, "p99", "ms", served, lambda sample: sample.p99_ms, {}),
        ]

    def _rounds(self, connections: int, seconds: int, seed: int) -> Samples:
        found: Samples = defaultdict(list)
        for number, order in enumerate(schedule([*self._systems, GRAPH], self._plan.pairs, seed)):
            _progress(f"{_plural(connections, 'connection')}, round {number + 1} of {self._plan.pairs}")
            for name in order:
                found[name].append(self._graph() if name == GRAPH else self._load(name, connections, seconds))
        _progress("")
        return {name: found[name] for name in [*self._systems, GRAPH]}

    def _load(self, name: str, connections: int, seconds: int) -> Sample:
        server = self._servers[name]
        spread: list[int] = []

        def look() -> None:
            time.sleep(seconds / 2)  # in the middle of the load, when all connections are open
            spread.extend(sorted(server.connections().values(), reverse=True))

        before = server.cpu_seconds()
        load = wrk.drive(
            f"http://127.0.0.1:{server.port}{self._systems[name].path}",
            self._bodies,
            connections=connections,
            seconds=seconds,
            cores=self._cores and self._cores.generator,
            during=look,
        )
        cpu_us = (server.cpu_seconds() - before) * 1e6 / load.answers
        self.bad += load.bad
        return Sample(load.rate, load.p50_ms, load.p99_ms, cpu_us, load.bad, "/".join(map(str, spread)))

    def _graph(self) -> Sample:
        """The graph alone, in as many processes as there are workers, on the servers' cores."""
        seconds = str(max(1, self._plan.seconds - 1))
        command = [sys.executable, "-m", "benchmarks.peers.limit", seconds]
        processes = [
            subprocess.Popen(
                [*machine.pinned(self._cores and self._cores.server), *command],
                stdout=subprocess.PIPE,
                env=self._environment,
            )
            for _ in range(self._workers)
        ]
        rates = [[float(number) for number in process.communicate()[0].split()] for process in processes]
        by_clock, by_cpu = (sum(column) for column in zip(*rates, strict=True))
        return Sample(by_clock, 1e3 * self._workers / by_clock, 0, 1e6 * self._workers / by_cpu)


def _rows(
    workload: str, metric: str, unit: str, samples: Samples, of: Callable[[Sample], float], notes: Mapping[str, str]
) -> list[Row]:
    return [
        Row(workload, name, metric, unit, tuple(map(of, found)), notes.get(name, "")) for name, found in samples.items()
    ]


def _note(samples: Sequence[Sample]) -> str:
    return f"{sum(sample.bad for sample in samples)} not 200; connections {samples[-1].spread}"


def _placed(cores: machine.Cores | None) -> str:
    if cores is None:
        return "server and load generator share all cores: processes cannot be pinned here"
    return f"server on cores {list(cores.server)}, load generator on {list(cores.generator)}"


def _plural(count: int, noun: str) -> str:
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{ending}"


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
