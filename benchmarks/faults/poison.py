"""One row in a hundred makes a member raise: its own answer does without that member, all others are whole."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import numpy as np

from benchmarks.faults.checked import Checked, mean
from benchmarks.harness import clients, examples, onnxes
from benchmarks.harness.found import Found
from benchmarks.harness.running import serve
from benchmarks.harness.table import QUORATE, Row

POOL = "poisoned"
MEMBERS = 2
EVERY = 100
POISON = 1000.0
CONNECTIONS = 32

# The third random member, computed in a process of its own; it raises where one of the rows is poison.
SOURCE = """
import numpy as np

WEIGHTS = np.array({weights}, np.float32)

def predict(input):
    if (input > 999).any():
        raise ValueError("poison")
    z = input @ WEIGHTS
    exp = np.exp(z - z.max(axis=1, keepdims=True))
    return (exp / exp.sum(axis=1, keepdims=True)).astype(np.float32)
"""


def measure(count: int, workers: int, seed: int) -> Found:
    """``count`` requests over 32 connections, one in a hundred poisoned."""
    folder, registry = onnxes.fresh("poisoned")
    names = [f"healthy-{i}" for i in range(MEMBERS)]
    for number, name in enumerate(names):
        onnxes.register(registry, name, onnxes.random(number))
    source = SOURCE.format(weights=onnxes.weights(MEMBERS).tolist())
    onnxes.register_source(registry, "touchy", source, sample=np.zeros((4, onnxes.WIDTH), np.float32))
    examples.apply(folder, onnxes.config({POOL: [*names, "touchy"]}))
    rows = np.random.default_rng(seed).normal(size=(10 * EVERY, onnxes.WIDTH)).astype(np.float32)
    rows[::EVERY, 0] = POISON
    others = Checked(onnxes.path(POOL), rows, mean(rows, MEMBERS + 1))
    poisoned: Counter[str] = Counter()

    def seen(number: int, status: int, answer: bytes, seconds: float) -> None:
        if number % EVERY:
            others.seen(number, status, answer, seconds)
        else:
            alone = status == 200 and json.loads(answer)["missing"] == ["touchy"]
            poisoned["answered without the member" if alone else f"status {status}, not as expected"] += 1

    with serve(folder, workers=workers) as running:
        asyncio.run(clients.storm(running.port, others.sent, seen, until=lambda n: n >= count, connections=CONNECTIONS))
    title = f"1 row in {EVERY} is poison to a member, {CONNECTIONS} connections"
    odd = sum(n for why, n in poisoned.items() if why != "answered without the member")
    rows_ = [
        Row(title, QUORATE, "others, whole and right", "", (float(others.right),)),
        Row(title, QUORATE, "others, wrong, failed or degraded", "", (float(sum(others.wrong.values())),), others.said),
        Row(title, QUORATE, "poisoned", "", (float(sum(poisoned.values())),), ", ".join(map(str, poisoned))),
    ]
    return Found(rows_, sum(others.wrong.values()) + odd)
