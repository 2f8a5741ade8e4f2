"""Members that crash, hang and lie at random: every request is answered, in time."""

from __future__ import annotations

import numpy as np

from benchmarks.harness import examples, machine, onnxes, openloop
from benchmarks.harness.found import Found
from benchmarks.harness.requests import Request, save
from benchmarks.harness.running import serve
from benchmarks.harness.table import FOLDER, LIMIT, QUORATE, Row
from benchmarks.peers.export import body

POOL = "failing"
HEALTHY = 3
DEADLINE_MS = 200.0
GRACE_MS = 20.0
SHARE = 0.01
CONNECTIONS = 64

# Zeros are what registration, warm-up and probes send; nothing fails there.
SOURCE = """
import os, time
import numpy as np

rng = np.random.default_rng()

def predict(input):
    answer = np.full((len(input), 4), 0.25, np.float32)
    if (input == 0).all() or rng.random() > {share}:
        return answer
    {fault}
"""
FAULTS = {
    "crashes": "os._exit(1)",
    "raises": "raise RuntimeError('broken')",
    "hangs": "time.sleep(3600)",
    "lies": "return answer * np.nan if rng.random() < 0.5 else answer[:, :3]",
}


def measure(count: int, rate: float, workers: int, seed: int) -> Found:
    """``count`` requests at ``rate`` a second."""
    title = f"members that fail at {SHARE:.0%} of their runs: {', '.join(FAULTS)}"
    if (reason := openloop.missing()) is not None:
        return Found([Row(title, QUORATE, "failed answers", "", (), reason)], 0)
    folder, registry = onnxes.fresh("failing")
    healthy = [f"healthy-{i}" for i in range(HEALTHY)]
    for number, name in enumerate(healthy):
        onnxes.register(registry, name, onnxes.random(number))
    zeros = np.zeros((4, onnxes.WIDTH), np.float32)
    for name, fault in FAULTS.items():
        onnxes.register_source(registry, name, SOURCE.format(share=SHARE, fault=fault), sample=zeros)
    examples.apply(folder, onnxes.config({POOL: [*healthy, *FAULTS]}, deadline_ms=DEADLINE_MS, quorum=2))
    rows = np.random.default_rng(seed).normal(size=(100, 1, onnxes.WIDTH)).astype(np.float32)
    requests = (Request(onnxes.path(POOL), body(row.tolist()), expect=b'"predictions":[{"label"') for row in rows)
    file = save(requests, FOLDER / "run" / "failing.requests")
    cores = machine.split_cores(machine.available(), workers)
    with serve(folder, workers=workers, cores=cores and cores.server) as running:
        sent = openloop.drive(
            running.port,
            file,
            rate=rate,
            seconds=max(1.0, count / rate),
            connections=CONNECTIONS,
            cores=cores and cores.generator,
            seed=seed,
        )
        faults = running.by_label("quorate_member_faults_total", "reason")
        degraded = running.metric("quorate_degraded_total")
    return _rows(title, sent, faults, degraded)


def _rows(title: str, sent: openloop.Records, faults: dict[str, float], degraded: float) -> Found:
    failed = int((~sent.good).sum())
    took = sent.latency_ms()
    allowed = DEADLINE_MS + GRACE_MS
    late = int((took > allowed).sum())
    said = ", ".join(f"{status}: {n}" for status, n in sent.statuses().items() if status != 200)
    reasons = ", ".join(f"{why.removeprefix('member_')} {n:.0f}" for why, n in sorted(faults.items()))
    generator = f"generator late by p99 {openloop.percentile(sent.late_ms(), 99):.2g} ms"
    rows = [
        Row(title, QUORATE, "requests", "", (float(len(sent.rows)),), generator),
        Row(title, QUORATE, "failed answers", "", (float(failed),), said),
        Row(title, QUORATE, "answers after deadline and 20 ms", "", (float(late),)),
        Row(title, QUORATE, "slowest answer", "ms", (float(took.max(initial=0)),)),
        Row(title, LIMIT, "slowest answer", "ms", (allowed,), "deadline and 20 ms"),
        Row(title, QUORATE, "p50", "ms", (openloop.percentile(took, 50),)),
        Row(title, QUORATE, "p99", "ms", (openloop.percentile(took, 99),)),
        Row(title, QUORATE, "members' faults", "", (sum(faults.values()),), reasons),
        Row(title, QUORATE, "degraded answers", "", (degraded,)),
    ]
    return Found(rows, failed + late)
