"""``make bench-peers``: one JSON row, soft vote of five members, answered by Quorate, by its peers and at the limit."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.harness import digits, machine, wrk
from benchmarks.harness.process import Server
from benchmarks.harness.rounds import schedule
from benchmarks.harness.table import FOLDER, LIMIT, Row, render, save
from benchmarks.peers.check import check_answers, expected, post
from benchmarks.peers.export import BODIES, POOL, export
from benchmarks.peers.limit import ANSWER_BYTES
from benchmarks.peers.pool import VARIABLE
from benchmarks.peers.systems import ECHO, System, systems
from quorate.home import Home

RUN = FOLDER / "run"
GRAPH = "fused graph alone, no HTTP"
CONNECTIONS = 32
WARM_UP = 2
Runs = dict[str, list[wrk.Load]]


class Options(argparse.Namespace):
    """The command line."""

    pairs: int
    seconds: int
    workers: list[int]
    seed: int


def options(argv: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="rounds; each measures every system once (%(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement, whole (%(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 3], help="worker processes (1 3)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the systems in each round (%(default)s)")
    return parser.parse_args(argv, Options())


class Bench:
    """Measures the systems at one number of workers."""

    def __init__(self, all_systems: Sequence[System], bodies: Path, environment: dict[str, str], asked: Options):
        self._systems = {system.name: system for system in all_systems}
        self._bodies = bodies
        self._environment = environment
        self._asked = asked
        self._cores = machine.available()
        self.bad = 0

    def run(self, workers: int, wanted: Sequence[dict[str, float]]) -> list[Row]:
        """Start every server, check every answer, then measure in rounds."""
        cores = machine.split_cores(self._cores, workers)
        print(f"{workers} worker(s): {_placed(cores)}", flush=True)
        if cores is not None:
            os.sched_setaffinity(0, cores.generator)
        with ExitStack() as stack:
            servers: dict[str, Server] = {}
            for name, system in self._systems.items():
                server = system.server(workers, cores and cores.server)
                servers[name] = stack.enter_context(server)
                if name != ECHO:
                    bodies = self._bodies.read_bytes().splitlines()
                    check_answers(name, server.port, system.path, bodies, wanted)
                self._load(system, server, cores, CONNECTIONS, WARM_UP)
            rows = self._throughput(servers, workers, cores)
            if workers == 1:
                rows += self._latency(servers, cores)
        return rows

    def _throughput(self, servers: dict[str, Server], workers: int, cores: machine.Cores | None) -> list[Row]:
        loads: Runs = defaultdict(list)
        graph: list[float] = []
        spread: dict[str, str] = {}
        for number, order in enumerate(schedule([*servers, GRAPH], self._asked.pairs, self._asked.seed)):
            _progress(f"round {number + 1} of {self._asked.pairs}")
            for name in order:
                if name == GRAPH:
                    graph.append(self._graph(workers, cores))
                    continue
                load, spread[name] = self._load(
                    self._systems[name], servers[name], cores, CONNECTIONS, self._asked.seconds
                )
                loads[name].append(load)
        _progress("")
        rates = {name: [load.rate for load in runs] for name, runs in loads.items()}
        both = [1 / (1 / a + 1 / b) for a, b in zip(rates[ECHO], graph, strict=True)]
        workload = f"one row, soft vote of five, {workers} worker{'s' * (workers > 1)}, {CONNECTIONS} connections"
        rows = [
            Row(workload, name, "answers", "1/s", tuple(values), _note(loads[name], f"connections {spread[name]}"))
            for name, values in rates.items()
        ]
        rows.sort(key=lambda row: list(self._systems).index(row.system))
        return [
            *rows,
            Row(workload, GRAPH, "answers", "1/s", tuple(graph), f"{workers} process{'es' * (workers > 1)}"),
            Row(workload, LIMIT, "answers", "1/s", tuple(both), "echo, then graph: 1 / (1/a + 1/b)"),
        ]

    def _latency(self, servers: dict[str, Server], cores: machine.Cores | None) -> list[Row]:
        loads: Runs = defaultdict(list)
        graph: list[float] = []
        for number, order in enumerate(schedule([*servers, GRAPH], self._asked.pairs, self._asked.seed + 1)):
            _progress(f"latency, round {number + 1} of {self._asked.pairs}")
            for name in order:
                if name == GRAPH:
                    graph.append(1000 / self._graph(1, cores))
                    continue
                seconds = max(1, self._asked.seconds - 1)
                loads[name].append(self._load(self._systems[name], servers[name], cores, 1, seconds)[0])
        _progress("")
        workload = "one row, soft vote of five, 1 worker, 1 connection"
        rows = []
        for name in self._systems:
            p50 = tuple(load.p50_ms for load in loads[name])
            rows.append(Row(workload, name, "p50", "ms", p50, _note(loads[name])))
        rows.append(Row(workload, GRAPH, "p50", "ms", tuple(graph), "mean"))
        both = tuple(load.p50_ms + run for load, run in zip(loads[ECHO], graph, strict=True))
        rows.append(Row(workload, LIMIT, "p50", "ms", both, "echo + graph"))
        for name in self._systems:
            rows.append(Row(workload, name, "p99", "ms", tuple(load.p99_ms for load in loads[name])))
        return rows

    def _load(
        self, system: System, server: Server, cores: machine.Cores | None, connections: int, seconds: int
    ) -> tuple[wrk.Load, str]:
        spread: list[int] = []

        def look() -> None:
            time.sleep(seconds / 2)  # in the middle of the load, when all connections are open
            spread.extend(sorted(server.connections().values(), reverse=True))

        load = wrk.drive(
            f"http://127.0.0.1:{server.port}{system.path}",
            self._bodies,
            connections=connections,
            seconds=seconds,
            cores=cores and cores.generator,
            during=look,
        )
        self.bad += load.bad
        return load, "/".join(map(str, spread))

    def _graph(self, workers: int, cores: machine.Cores | None) -> float:
        """Runs a second of the graph alone, in as many processes as there are workers, on the servers' cores."""
        seconds = str(max(1, self._asked.seconds - 1))
        command = [*machine.pinned(cores and cores.server), sys.executable, "-m", "benchmarks.peers.limit", seconds]
        environment = {**os.environ, **self._environment}
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(workers)]
        return sum(float(process.communicate()[0]) for process in processes)


def _placed(cores: machine.Cores | None) -> str:
    if cores is None:
        return "server and load generator share all cores: processes cannot be pinned here"
    return f"server on cores {list(cores.server)}, load generator on {list(cores.generator)}"


def _note(loads: Sequence[wrk.Load], more: str = "") -> str:
    return f"{sum(load.bad for load in loads)} not 200" + (f"; {more}" if more else "")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    """Measure, print, save; 1 if any answer was not a 200."""
    asked = options(argv)
    wrk.ensure()
    about = machine.describe()
    quorate = digits.project("quorate")
    without_journal = digits.project("without-journal", journal={"durability": "none"})
    pool, instances = export(Home(quorate), RUN / "models")
    wanted = [expected(pool, [row])[0] for row in instances]
    bodies = RUN / "models" / BODIES
    environment = {
        VARIABLE: str((RUN / "models" / POOL).resolve()),
        ANSWER_BYTES: str(_answer_bytes(quorate, bodies)),
    }
    bench = Bench(systems(quorate, without_journal, environment), bodies, environment, asked)
    rows = [row for workers in asked.workers for row in bench.run(workers, wanted)]
    print(about)
    print(render(rows))
    print(f"\nWritten to {save(rows, 'peers')}.")
    shutil.rmtree(RUN)
    return 1 if bench.bad else 0


def _answer_bytes(project: Path, bodies: Path) -> int:
    """The length of Quorate's answer, which the echo imitates."""
    server = System("size", project=project).server(1, None)
    with server:
        return len(post(server.port, digits.PREDICT, bodies.read_bytes().splitlines()[0])[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
