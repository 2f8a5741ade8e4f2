"""One client in ten hangs up in the middle of a request: the others' answers are right, and nothing stays stuck."""

from __future__ import annotations

import asyncio
import random
import time

import numpy as np

from benchmarks.faults.checked import Checked, mean
from benchmarks.harness import clients, onnxes
from benchmarks.harness.found import Found
from benchmarks.harness.running import Running, serve
from benchmarks.harness.table import QUORATE, Row

POOL = "left"
MEMBERS = 3
SHARE = 0.1
CONNECTIONS = 32
WITHIN = 10.0


def measure(count: int, workers: int, seed: int) -> Found:
    """``count`` requests; a tenth of the clients leaves after a part of the request, half of these after all of it."""
    folder = onnxes.project("left", {POOL: MEMBERS})
    rows = np.random.default_rng(seed).normal(size=(1000, onnxes.WIDTH)).astype(np.float32)
    checked = Checked(onnxes.path(POOL), rows, mean(rows, MEMBERS))
    rng = random.Random(seed)
    left = 0

    def leaves(number: int) -> float | None:
        nonlocal left
        if rng.random() >= SHARE:
            return None
        left += 1
        return 1.0 if rng.random() < 0.5 else rng.random()

    with serve(folder, workers=workers) as running:
        asyncio.run(
            clients.storm(
                running.port,
                checked.sent,
                checked.seen,
                until=lambda n: n >= count,
                connections=CONNECTIONS,
                leaves=leaves,
            )
        )
        stuck = _stuck(running)
    title = f"{SHARE:.0%} of the clients hang up mid-request, {CONNECTIONS} connections"
    wrong = sum(checked.wrong.values())
    slowest = 1e3 * max(checked.seconds, default=0.0)
    found = [
        Row(title, QUORATE, "right answers", "", (float(checked.right),), f"{left} clients left"),
        Row(title, QUORATE, "wrong or failed answers", "", (float(wrong),), checked.said),
        Row(title, QUORATE, "requests stuck afterwards", "", (stuck,)),
        Row(title, QUORATE, "slowest answer", "ms", (slowest,)),
    ]
    return Found(found, wrong + int(stuck))


def _stuck(running: Running) -> float:
    """Requests that are still being answered when nobody waits any more."""
    until = time.monotonic() + WITHIN
    while (left := running.metric("quorate_in_flight")) and time.monotonic() < until:
        time.sleep(0.2)
    return left
