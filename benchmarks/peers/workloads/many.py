"""Workload f: 50 endpoints over 200 models beside one endpoint over its four: time to ready, a hot endpoint, memory."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.harness import onnxes
from benchmarks.harness.found import Found
from benchmarks.harness.requests import Request, save
from benchmarks.harness.rounds import schedule
from benchmarks.harness.table import FOLDER, LIMIT, QUORATE, Row
from benchmarks.peers.bench import Bench, Workload
from benchmarks.peers.check import WrongAnswer, post
from benchmarks.peers.export import body
from benchmarks.peers.systems import System, quorate
from benchmarks.peers.workloads.asked import Asked

ENDPOINTS, MEMBERS = 50, 4
HOT = "p00"
ALONE = "one endpoint, four models"
TITLE = f"{ENDPOINTS} endpoints over {ENDPOINTS * MEMBERS} models"


def measure(asked: Asked) -> Found:
    """Start both in rounds, then load the same endpoint of both."""
    pools = {f"p{i:02}": MEMBERS for i in range(ENDPOINTS)}
    projects = {QUORATE: onnxes.project("many", pools), ALONE: onnxes.project("alone", {HOT: MEMBERS})}
    systems = [quorate(name, project, onnxes.path(HOT), protocol=name) for name, project in projects.items()]
    rows = _starts(systems, asked)
    values = np.random.default_rng(asked.seed).normal(size=(1, onnxes.WIDTH)).astype(np.float32)
    sent = body(values.tolist())
    wanted: list[object] = []

    def check(system: System, port: int) -> None:
        status, answer = post(port, system.path, sent)
        found = json.loads(answer)["predictions"] if status == 200 else status
        wanted.append(found)
        if status != 200 or found != wanted[0]:
            raise WrongAnswer(f"{system.name} answers {found}, expected {wanted[0]}. Nothing was timed.")

    work = Workload(
        title=f"a hot endpoint of {ENDPOINTS}",
        systems=systems,
        requests={s.protocol: _saved(s, sent) for s in systems},
        check=check,
    )
    bad = 0
    for workers in asked.workers or (1,):
        bench = Bench(work, asked.plan())
        rows += bench.run(workers, asked.connections or (32,))
        bad += bench.bad
    return Found(rows, bad)


def _saved(system: System, sent: bytes) -> Path:
    return save([Request(system.path, sent)], FOLDER / "run" / f"many-{system.name[0]}.requests")


def _starts(systems: list[System], asked: Asked) -> list[Row]:
    """From the command to ready, every endpoint asked once; and what all processes hold then."""
    ready, first, memory = defaultdict(list), defaultdict(list), defaultdict(list)
    by_name = {system.name: system for system in systems}
    for order in schedule(list(by_name), asked.pairs, asked.seed):
        for name in order:
            with by_name[name].start(1, None) as server:
                ready[name].append(server.started_in)
                asks = ENDPOINTS if name == QUORATE else 1
                started = time.perf_counter()
                statuses = {post(server.port, onnxes.path(f"p{i:02}"), _ZEROS)[0] for i in range(asks)}
                first[name].append(1e3 * (time.perf_counter() - started) / asks)
                memory[name].append(server.memory().pss_mb)
                if statuses != {200}:
                    raise RuntimeError(f"{name} answers its endpoints with {sorted(statuses)}")
    start = f"{TITLE}, one worker"
    return [
        *(Row(start, name, "start to ready", "s", tuple(ready[name])) for name in by_name),
        Row(start, LIMIT, "start to ready", "s", (3.0,), "what the plan allows"),
        *(Row(start, name, "first answer of an endpoint", "ms", tuple(first[name])) for name in by_name),
        *(Row(start, name, "PSS of all processes", "MB", tuple(memory[name])) for name in by_name),
    ]


_ZEROS = body([[0.0] * onnxes.WIDTH])
