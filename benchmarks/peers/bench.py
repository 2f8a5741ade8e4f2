"""The measurement: all systems up at once and checked, then loaded one at a time, in rounds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.harness import machine, openloop, wrk
from benchmarks.harness.process import Server
from benchmarks.harness.rounds import schedule
from benchmarks.harness.table import LIMIT, QUORATE, Row
from benchmarks.peers.check import WrongAnswer
from benchmarks.peers.measured import Plan, Sample, Samples, note, plural, rows
from benchmarks.peers.systems import ECHO, System

WARM_UP = 2
OPEN_CONNECTIONS = 128
CAPACITY_AT = 32
"""Connections of the closed loop whose rate the open loop takes for the capacity, where it was measured."""


@dataclass(frozen=True)
class Workload:
    """One question to several systems.

    ``requests`` are files by protocol. ``check`` raises where a system on a port answers wrongly. ``alone`` is a
    command that prints the rates of the model without a server: by the clock and by processor time; ``alone_name`` is
    its row. The limit is an echo and a run of it where there is an echo, else it alone.
    """

    title: str
    systems: Sequence[System]
    requests: Mapping[str, Path]
    check: Callable[[System, int], None]
    alone: Sequence[str] = ()
    alone_name: str = "fused graph alone, no HTTP"
    environment: Mapping[str, str] = field(default_factory=dict)


class Bench:
    """Measures a workload's systems; ``bad`` counts what was not answered with 200, by system."""

    def __init__(self, workload: Workload, plan: Plan) -> None:
        self.work = workload
        self.plan = plan
        self.bad = 0
        self.workers = 0
        self.cores: machine.Cores | None = None
        self._available = machine.available()
        self._servers: dict[str, Server] = {}
        self._absent: dict[str, str] = {}
        self._spread: dict[str, str] = {}

    def run(self, workers: int, connections: Sequence[int]) -> list[Row]:
        """Start every system with so many workers, check its answers, then measure at these numbers of connections."""
        self.workers = workers
        self.cores = None if self.plan.shared else machine.split_cores(self._available, workers)
        print(f"{self.work.title}, {plural(workers, 'worker')}: {placed(self.cores)}", flush=True)
        if self.cores is not None:
            os.sched_setaffinity(0, self.cores.generator)
        try:
            with ExitStack() as stack:
                for system in self.work.systems:
                    self._start(system, stack)
                found = [row for count in connections for row in self._closed(count, only=len(connections) == 1)]
                found += self._memory()
                return found + self._open(found)
        finally:
            if self._available:
                os.sched_setaffinity(0, self._available)

    def server(self, name: str) -> Server:
        """A system that is up."""
        return self._servers[name]

    def _start(self, system: System, stack: ExitStack) -> None:
        if system.absent is not None:
            self._absent[system.name] = system.absent
            return
        progress(f"starting {system.name}")
        mine = ExitStack()
        try:
            server = mine.enter_context(system.start(self.workers, self.cores and self.cores.server))
            self.work.check(system, server.port)
            self._servers[system.name] = server
            self._load(system.name, 8, WARM_UP)
        except (RuntimeError, OSError, WrongAnswer) as error:
            mine.close()
            self._servers.pop(system.name, None)
            if not system.framework:  # ours must work
                raise
            reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
            self._absent[system.name] = f"could not be measured here: {reason.strip()[:160]}"
            return
        stack.push(mine.pop_all())

    def _closed(self, connections: int, *, only: bool) -> list[Row]:
        everybody = only or self.plan.everywhere or connections == CAPACITY_AT
        samples = self._rounds(connections, everybody=everybody)
        workload = f"{self.work.title}, {plural(self.workers, 'worker')}, {plural(connections, 'connection')}"
        described = {system.name: system.note for system in self.work.systems if system.note}
        notes = {n: "; ".join(filter(None, [note(f), described.get(n)])) for n, f in samples.items()}
        served = dict(samples)
        self._add_limit(samples)
        notes |= {self.work.alone_name: plural(self.workers, "process")}
        if ECHO in samples:
            notes |= {LIMIT: "echo, then graph: 1 / (1/a + 1/b)"}
        served.pop(self.work.alone_name, None)
        absent = self._absent if everybody else {}
        gone = [Row(workload, name, "answers", "1/s", (), why) for name, why in absent.items()]
        return [
            *rows(workload, "answers", "1/s", samples, lambda sample: sample.rate, notes),
            *gone,
            *rows(workload, "p50", "ms", samples if connections == 1 else served, lambda sample: sample.p50_ms),
            *rows(workload, "p99", "ms", served, lambda sample: sample.p99_ms),
            *rows(workload, "CPU per answer", "us", samples, lambda sample: sample.cpu_us),
        ]

    def _add_limit(self, samples: Samples) -> None:
        alone = samples.get(self.work.alone_name)
        if alone is None:
            return
        if ECHO not in samples:
            samples[LIMIT] = alone
            return
        samples[LIMIT] = [
            Sample(1 / (1 / e.rate + 1 / a.rate), e.p50_ms + a.p50_ms, 0, e.cpu_us + a.cpu_us)
            for e, a in zip(samples[ECHO], alone, strict=True)
        ]

    def _rounds(self, connections: int, *, everybody: bool) -> Samples:
        found: Samples = defaultdict(list)
        chosen = [s.name for s in self.work.systems if s.name in self._servers and (everybody or not s.framework)]
        names = [*chosen, *([self.work.alone_name] if self.work.alone else [])]
        for number, order in enumerate(schedule(names, self.plan.pairs, self.plan.seed + connections)):
            for name in order:
                progress(f"{plural(connections, 'connection')}, round {number + 1} of {self.plan.pairs}: {name}")
                alone = name == self.work.alone_name
                found[name].append(self._alone() if alone else self._load(name, connections, self.plan.seconds))
        progress("")
        return {name: found[name] for name in names}

    def _load(self, name: str, connections: int, seconds: int) -> Sample:
        server = self._servers[name]
        spread: list[int] = []

        def look() -> None:
            time.sleep(seconds / 2)  # in the middle of the load, when all connections are open
            spread.extend(sorted(server.connections().values(), reverse=True))

        before = server.cpu_seconds()
        load = wrk.drive(
            server.port,
            self.requests(name),
            connections=connections,
            seconds=seconds,
            cores=self.cores and self.cores.generator,
            during=look,
        )
        cpu_us = (server.cpu_seconds() - before) * 1e6 / max(load.answers, 1)
        self.bad += load.bad
        return Sample(load.rate, load.p50_ms, load.p99_ms, cpu_us, load.bad, "/".join(map(str, spread)))

    def requests(self, name: str) -> Path:
        """What a system is sent."""
        return self.work.requests[next(s.protocol for s in self.work.systems if s.name == name)]

    def _alone(self) -> Sample:
        """The model alone, in as many processes as there are workers, on the servers' cores."""
        command = [*machine.pinned(self.cores and self.cores.server), *self.work.alone, str(self.plan.seconds)]
        environment = {**os.environ, **self.work.environment}
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(self.workers)]
        rates = [[float(number) for number in process.communicate()[0].split()] for process in processes]
        by_clock, by_cpu = (sum(column) for column in zip(*rates, strict=True))
        return Sample(by_clock, 1e3 * self.workers / by_clock, 0, 1e6 * self.workers / by_cpu)

    def _memory(self) -> list[Row]:
        workload = f"{self.work.title}, {plural(self.workers, 'worker')}, memory of all processes after the load"
        weighed = {name: server.memory() for name, server in self._servers.items()}
        return [
            *(
                Row(workload, name, "PSS", "MB", (memory.pss_mb,), plural(memory.processes, "process"))
                for name, memory in weighed.items()
            ),
            *(Row(workload, name, "RSS", "MB", (memory.rss_mb,)) for name, memory in weighed.items()),
            *self._serving(workload),
        ]

    def _serving(self, workload: str) -> list[Row]:
        """Memory of what answers: without the supervisor and the control process, which answer nothing."""
        if QUORATE not in self._servers:
            return []
        memory = self._servers[QUORATE].memory("worker")
        said = f"{plural(memory.processes, 'worker')}; PSS {memory.pss_mb:.0f}"
        return [Row(workload, QUORATE, "RSS of the serving processes", "MB", (memory.rss_mb,), said)]

    # --- at rates that do not depend on the answers ---

    def _open(self, closed: Sequence[Row]) -> list[Row]:
        if not self.plan.levels:
            return []
        title = f"{self.work.title}, {plural(self.workers, 'worker')}, open loop"
        if (reason := openloop.missing()) is not None:
            return [Row(title, QUORATE, "answers", "1/s", (), reason)]
        names = [s.name for s in self.work.systems if s.open_loop and s.name in self._servers]
        capacity = {name: _capacity(closed, name) for name in names}
        found = self._proof(title, 1.2 * max(capacity.values())) if ECHO in self._servers else []
        for level in self.plan.levels:
            runs: dict[str, list[openloop.Records]] = defaultdict(list)
            for number, order in enumerate(schedule(names, self.plan.pairs, self.plan.seed)):
                for name in order:
                    progress(f"open loop at {level:.0%}, round {number + 1} of {self.plan.pairs}: {name}")
                    runs[name].append(self._send(name, capacity[name] * level, self.plan.seed + number))
            found += _open_rows(
                f"{title} at {level:.0%} of each system's own capacity", {n: runs[n] for n in names}, self._spread
            )
        progress("")
        return found

    def _proof(self, title: str, rate: float) -> list[Row]:
        """What the generator can do: the echo, at more than anything else is sent."""
        sent = self._send(ECHO, rate, self.plan.seed)
        delivered = float(((sent.rows["sent"] > 0) & (sent.rows["sent"] <= sent.seconds)).sum()) / sent.seconds
        late = sent.late_ms()
        workload = f"{title}: the generator itself, against the echo"
        return [
            Row(workload, ECHO, "asked of the generator", "1/s", (sent.offered,)),
            Row(workload, ECHO, "sent by the generator", "1/s", (delivered,), f"{sent.waited:.1%} found no connection"),
            Row(workload, ECHO, "late, p50", "ms", (openloop.percentile(late, 50),)),
            Row(workload, ECHO, "late, p99", "ms", (openloop.percentile(late, 99),)),
        ]

    def _send(self, name: str, rate: float, seed: int) -> openloop.Records:
        server = self._servers[name]

        def look() -> None:
            time.sleep(self.plan.seconds / 2)
            self._spread[name] = "/".join(map(str, sorted(server.connections().values(), reverse=True)))

        return openloop.drive(
            server.port,
            self.requests(name),
            rate=rate,
            seconds=self.plan.seconds,
            connections=OPEN_CONNECTIONS,
            cores=self.cores and self.cores.generator,
            seed=seed,
            during=look,
        )


def _capacity(closed: Sequence[Row], name: str) -> float:
    rates = [row for row in closed if row.system == name and row.metric == "answers"]
    at = [row for row in rates if row.workload.endswith(f", {CAPACITY_AT} connections")]
    return median((at or rates)[-1].runs)


def _open_rows(workload: str, runs: Mapping[str, Sequence[openloop.Records]], spread: Mapping[str, str]) -> list[Row]:
    found = []
    for name, records in runs.items():
        others = sum(sum(n for status, n in run.statuses().items() if status != 200) for run in records)
        late = max(openloop.percentile(run.late_ms(), 99) for run in records)
        said = f"{records[0].offered:,.0f} asked for a second; {others} not 200; connections {spread.get(name, '')}; "
        said += f"generator late by p99 {late:.2g} ms"
        found.append(Row(workload, name, "answers", "1/s", tuple(run.rate for run in records), said))
    for q in (50, 99, 99.9):
        for name, records in runs.items():
            values = tuple(openloop.percentile(run.latency_ms(), q) for run in records)
            found.append(Row(workload, name, f"p{q:g}", "ms", values))
    return found


def placed(cores: machine.Cores | None) -> str:
    """Which cores serve and which make the load."""
    if cores is None:
        return "server and load generator share all cores"
    return f"server on cores {list(cores.server)}, load generator on {list(cores.generator)}"


def progress(text: str) -> None:
    """A line that the next one replaces; nothing where nobody looks."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
