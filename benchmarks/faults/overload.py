"""Three times as many requests as can be answered: what is accepted comes in time, the rest is refused at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import digits, examples, machine, onnxes, openloop, wrk
from benchmarks.harness.found import Found
from benchmarks.harness.requests import Request, save
from benchmarks.harness.running import serve
from benchmarks.harness.table import FOLDER, LIMIT, QUORATE, Row
from benchmarks.peers.export import body, export
from quorate.home import Home

TIMES = 3.0
CONNECTIONS = 1000
DEADLINE_MS = 200.0
REFUSED_WITHIN_MS = 20.0
NORMAL_AT = 0.5
AFTER_S = 4.0
RECOVERED_WITHIN_S = 2.0


LARGE = (40, 40, 40, 40, 40)
"""Matrix products of each of five members: some 6 ms in all."""


class Served(NamedTuple):
    """What is asked: a project, a file of requests, and what the model is to the work around it."""

    project: Path
    file: Path
    about: str


def measure(seconds: float, workers: int, seed: int) -> Found:
    """The peak by a closed loop, normal latency at half of it, then the overload, then half of it again.

    Once with members of some milliseconds, and once with the digits pool, whose graph takes a tenth of what reading,
    recording and sending take: there refusing a request takes more than a third of what answering it does.
    """
    if (reason := openloop.missing()) is not None:
        return Found([Row("overload", QUORATE, "goodput", "1/s", (), reason)], 0)
    found = [_overload(served, seconds, workers, seed) for served in (_large(seed), _small())]
    return Found([row for one in found for row in one.rows], sum(one.bad for one in found))


def _small() -> Served:
    project = digits.project("overload")
    _, instances = export(Home(project), FOLDER / "run" / "overload-models")
    return Served(project, _requests("small", digits.PREDICT, instances), "a pool that takes less than its transport")


def _large(seed: int) -> Served:
    folder, registry = onnxes.fresh("overload-large")
    for number, layers in enumerate(LARGE):
        onnxes.register(registry, f"m{number}", onnxes.deep(number, layers))
    pool = {"large": [f"m{number}" for number in range(len(LARGE))]}
    examples.apply(folder, onnxes.config(pool, deadline_ms=DEADLINE_MS))
    instances = np.random.default_rng(seed).normal(size=(64, onnxes.WIDTH)).round(4).tolist()
    return Served(folder, _requests("large", onnxes.path("large"), instances), "five members of more than 1 ms")


def _requests(name: str, path: str, instances: Sequence[Any]) -> Path:
    asked = (Request(path, body([row]), expect=b'"predictions":[{"label"') for row in instances)
    return save(asked, FOLDER / "run" / f"overload-{name}.requests")


def _overload(served: Served, seconds: float, workers: int, seed: int) -> Found:
    title = f"{TIMES:g} times capacity for {seconds:g} s, {served.about}"
    cores = machine.split_cores(machine.available(), workers)
    pinned = cores and cores.generator

    def drive(rate: float, duration: float, connections: int, grace: float) -> openloop.Records:
        return openloop.drive(
            port, served.file, rate=rate, seconds=duration, connections=connections, cores=pinned, seed=seed,
            grace=grace,
        )  # fmt: skip

    with serve(served.project, workers=workers, cores=cores and cores.server) as running:
        port = running.port
        for _ in range(2):
            peak = wrk.drive(port, served.file, connections=32, seconds=max(2.0, seconds / 2), cores=pinned).rate
        before = drive(NORMAL_AT * peak, AFTER_S, 128, 2.0)
        flood = drive(TIMES * peak, seconds, CONNECTIONS, 0.0)
        after = drive(NORMAL_AT * peak, AFTER_S, 128, 2.0)
    return _rows(title, peak, before, flood, after)


def recovery_s(before: openloop.Records, after: openloop.Records) -> float:
    """When the last request left that failed or took longer than twice the p99 of before (10 ms at least).

    Only the share of requests that are as slow in normal times, one in a hundred, is overlooked: the time is that of
    the last bad window of 100 ms, one with more than 5 % of such requests.
    """
    normal = max(10.0, 2 * openloop.percentile(before.latency_ms(), 99))
    rows = after.rows
    slow = ~after.good | (1e3 * (rows["done"] - rows["intended"]) > normal)
    window = (rows["intended"] / 0.1).astype(int)
    bad = [w for w in np.unique(window) if slow[window == w].mean() > 0.05]
    return 0.1 * (max(bad) + 1) if bad else 0.0


def _rows(title: str, peak: float, before: openloop.Records, flood: openloop.Records, after: openloop.Records) -> Found:
    rows = flood.rows
    sent = rows["sent"] > 0
    served = 1e3 * (rows["done"] - rows["sent"])
    accepted = served[flood.good & sent]
    refused = served[(rows["status"] == 429) & sent]
    statuses = flood.statuses()
    others = {s: n for s, n in statuses.items() if s not in (200, 429, openloop.UNANSWERED)}
    generator = f"{flood.offered:,.0f} meant to be sent a second, {sent.sum() / flood.seconds:,.0f} sent"
    recovered = recovery_s(before, after)
    found = [
        Row(title, QUORATE, "peak, closed loop", "1/s", (peak,)),
        Row(title, QUORATE, "goodput", "1/s", (flood.rate,), generator),
        Row(title, LIMIT, "goodput", "1/s", (0.95 * peak,), "95 % of the peak"),
        Row(title, QUORATE, "accepted, p99", "ms", (openloop.percentile(accepted, 99),), "from sending to answer"),
        Row(title, LIMIT, "accepted, p99", "ms", (DEADLINE_MS,), "the deadline"),
        _row(title, "429, p99", refused, f"{statuses.get(429, 0):,} refused"),
        Row(title, LIMIT, "429, p99", "ms", (REFUSED_WITHIN_MS,)),
        Row(title, QUORATE, "other statuses", "", (float(sum(others.values())),), _said(others)),
        Row(title, QUORATE, "unanswered at the end", "", (float(statuses.get(openloop.UNANSWERED, 0)),)),
        Row(title, QUORATE, "normal again after", "s", (recovered,), "more than this where it is 4"),
        Row(title, LIMIT, "normal again after", "s", (RECOVERED_WITHIN_S,)),
    ]
    return Found(found, flood.wrong + sum(n for status, n in others.items() if status >= 500 and status != 504))


def _row(title: str, metric: str, values: np.ndarray, note: str) -> Row:
    p99 = openloop.percentile(values, 99)
    return Row(title, QUORATE, metric, "ms", () if math.isnan(p99) else (p99,), note)


def _said(statuses: dict[int, int]) -> str:
    return ", ".join(f"{status}: {count}" for status, count in statuses.items())
