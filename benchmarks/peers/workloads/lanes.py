"""Workload h: five members of some milliseconds each, and five of less than one, against the cores.

The limit of slow members is the longest of them, or all of them shared out evenly to the cores; that of quick ones is
to run them one after the other. Both are taken from sessions of one thread in this process, in the same rounds. Cores
that share their units (hyper-threads) do not reach it, so the same sessions are run side by side, too.
"""

from __future__ import annotations

import http.client
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import NamedTuple

import numpy as np
import onnxruntime as ort

from benchmarks.harness import examples, machine, onnxes
from benchmarks.harness.found import Found
from benchmarks.harness.requests import JSON
from benchmarks.harness.rounds import schedule
from benchmarks.harness.running import Running, serve
from benchmarks.harness.table import LIMIT, QUORATE, Row
from benchmarks.peers.export import body
from benchmarks.peers.latency import decisions
from benchmarks.peers.measured import plural
from benchmarks.peers.pool import open_session
from benchmarks.peers.workloads.asked import Asked

MEMBERS = 5
ALLOWED = 1.15
ALONE = "sessions one after the other"
BESIDE = "sessions side by side"
METRIC = "all members, p50"
LAYERS = {"slow": (80, 88, 96, 104, 112), "quick": (2, 3, 4, 5, 6)}
"""Matrix products of each member: some 2 to 5 ms in all, and some tenths of a millisecond."""


class Alone(NamedTuple):
    """Median milliseconds of each member in a session of one thread, and of all together with a thread per core."""

    members: tuple[float, ...]
    beside: float = 0.0

    def limit(self, kind: str, cores: int) -> float:
        """What a request takes at least: see the module."""
        return sum(self.members) if kind == "quick" else max(max(self.members), sum(self.members) / cores)


def measure(asked: Asked) -> Found:
    """One request at a time, all cores for the server: nobody else wants them meanwhile."""
    found = [_one(kind, asked) for kind in LAYERS]
    return Found([row for part in found for row in part.rows], sum(part.bad for part in found))


def _one(kind: str, asked: Asked) -> Found:
    models = [onnxes.deep(number, layers) for number, layers in enumerate(LAYERS[kind])]
    folder, registry = onnxes.fresh(f"lanes-{kind}")
    for number, model in enumerate(models):
        onnxes.register(registry, f"m{number}", model)
    examples.apply(folder, onnxes.config({kind: [f"m{i}" for i in range(MEMBERS)]}))
    row = np.random.default_rng(asked.seed).normal(size=(1, onnxes.WIDTH)).astype(np.float32)
    answers: dict[str, list[float]] = defaultdict(list)
    alone: list[Alone] = []
    bad = 0
    with serve(folder) as running:
        for number, order in enumerate(schedule([QUORATE, ALONE], asked.pairs, asked.seed)):
            for name in order:
                if name == ALONE:
                    alone.append(run_alone(models, row, asked.seconds))
                    continue
                took, failed = _ask(running.port, onnxes.path(kind), body(row.tolist()), number, asked.seconds)
                answers[str(number)] += took
                bad += failed
        placed = _placed(running, kind)
    known = decisions(folder / ".quorate" / "journal")
    inside: dict[str, list[float]] = defaultdict(list)
    for request, decision in known.items():
        inside[request.partition("-")[0]].append(decision.latency_ms - decision.queue_ms)
    return Found(_rows(kind, placed, alone, answers, inside), bad)


def run_alone(models: Sequence[bytes], row: np.ndarray, seconds: float) -> Alone:
    """Every member in a session of its own, one after the other, for ``seconds``."""
    sessions = [open_session(model) for model in models]
    took: list[list[float]] = [[] for _ in sessions]
    until = time.perf_counter() + seconds
    while len(took[-1]) < 20 or time.perf_counter() < until:
        for session, listed in zip(sessions, took, strict=True):
            started = time.perf_counter()
            session.run(None, {"input": row})
            listed.append(1e3 * (time.perf_counter() - started))
    members = tuple(median(listed[len(listed) // 10 :]) for listed in took)
    order = sorted(range(len(sessions)), key=lambda i: -members[i])
    return Alone(members, _beside([sessions[i] for i in order], row, seconds))


def _beside(sessions: Sequence[ort.InferenceSession], row: np.ndarray, seconds: float) -> float:
    """Median milliseconds of all sessions, the longest first, in as many threads as there are cores."""
    took: list[float] = []
    with ThreadPoolExecutor(len(machine.available()) or 1) as threads:
        until = time.perf_counter() + seconds
        while len(took) < 20 or time.perf_counter() < until:
            started = time.perf_counter()
            list(threads.map(lambda session: session.run(None, {"input": row}), sessions))
            took.append(1e3 * (time.perf_counter() - started))
    return median(took[len(took) // 10 :])


def _ask(port: int, path: str, sent: bytes, number: int, seconds: float) -> tuple[list[float], int]:
    """Milliseconds of every answer, and how many were none; request ids begin with the number of the round."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    took: list[float] = []
    bad = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        headers = {"Content-Type": JSON, "X-Request-Id": f"{number}-{len(took)}"}
        started = time.perf_counter()
        connection.request("POST", path, sent, headers)
        answer = connection.getresponse()
        content = answer.read()
        took.append(1e3 * (time.perf_counter() - started))
        bad += answer.status != 200 or json.loads(content)["degraded"]
    connection.close()
    return took, bad


def _placed(running: Running, pool: str) -> str:
    threads = running.metric("quorate_pool_threads", pool=pool)
    return f"{threads:.0f} threads a run, {running.metric('quorate_pool_lanes', pool=pool):.0f} lanes"


def _rows(
    kind: str,
    placed: str,
    alone: Sequence[Alone],
    answers: dict[str, list[float]],
    inside: dict[str, list[float]],
) -> list[Row]:
    cores = len(machine.available()) or 1
    each = ", ".join(f"{median(one.members[i] for one in alone):.2g}" for i in range(MEMBERS))
    rule = "the sum of them" if kind == "quick" else f"max(slowest, sum / {cores})"
    title = f"five {kind} members, {plural(cores, 'core')}, one request at a time"
    numbers = sorted(answers, key=int)
    return [
        Row(title, QUORATE, METRIC, "ms", tuple(median(inside[n]) for n in numbers), f"combining included; {placed}"),
        Row(title, ALONE, METRIC, "ms", tuple(sum(one.members) for one in alone), f"{each} ms each"),
        Row(title, BESIDE, METRIC, "ms", tuple(one.beside for one in alone), "what these cores give together"),
        Row(title, LIMIT, METRIC, "ms", tuple(one.limit(kind, cores) for one in alone), f"{rule}; {ALLOWED} x allowed"),
        Row(title, QUORATE, "answer, p50", "ms", tuple(median(answers[n]) for n in numbers), "by its client"),
    ]
