"""A pool that is loaded and unloaded again and again: memory after each cycle."""

from __future__ import annotations

import time

import numpy as np
import yaml

from benchmarks.harness import examples, onnxes
from benchmarks.harness.found import Found
from benchmarks.harness.running import Running, serve
from benchmarks.harness.table import QUORATE, Row
from benchmarks.peers.check import post
from benchmarks.peers.export import body
from benchmarks.soak.memory import Samples

STAYS, COMES = "stays", "comes"
MEMBERS = 8
WITHIN = 30.0
ROW = body(np.zeros((1, onnxes.WIDTH)).tolist())


def measure(count: int, workers: int) -> Found:
    """So many times: apply a configuration with a second pool, wait until it answers, take it away, wait again."""
    folder, registry = onnxes.fresh("cycles")
    names = {STAYS: ["stays-0"], COMES: [f"comes-{i}" for i in range(MEMBERS)]}
    for number, name in enumerate(n for listed in names.values() for n in listed):
        onnxes.register(registry, name, onnxes.random(number))
    small = onnxes.config({STAYS: names[STAYS]})
    large = onnxes.config(names)
    examples.apply(folder, small)
    samples, bad, took = Samples(), 0, []
    with serve(folder, workers=workers) as running:
        for cycle in range(count):
            started = time.perf_counter()
            for config, status in ((large, 200), (small, 404)):
                running.home.config.write_text(yaml.safe_dump(config, sort_keys=False))
                running.apply()
                bad += not _comes(running, status)
            bad += post(running.port, onnxes.path(STAYS), ROW)[0] != 200
            took.append(time.perf_counter() - started)
            samples.take(float(cycle), running)
        title = f"{count} load/unload cycles of {MEMBERS} models"
        rows = [
            *samples.rows(title, 1000.0, "MB/1000 cycles"),
            Row(title, QUORATE, "a cycle", "s", tuple(took)),
            Row(title, QUORATE, "wrong or missing", "", (float(bad),)),
        ]
    samples.plot("soak-cycles", f"Resident memory over {count} load/unload cycles", "cycles")
    return Found(rows, bad)


def _comes(running: Running, status: int) -> bool:
    """Whether the endpoint answers with this status soon, ten times in a row: so do all workers, very likely."""
    until = time.monotonic() + WITHIN
    row = 0
    while row < 10:
        row = row + 1 if post(running.port, onnxes.path(COMES), ROW)[0] == status else 0
        if time.monotonic() > until:
            return False
    return True
