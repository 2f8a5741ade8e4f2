"""What workers tell of their pools, and whether it was measured or declared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from quorate.codecs.snapshot import MemberRoute, PoolRoute, PoolRun, Routing
from quorate.control.pools import PoolInWorker, running
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.telemetry.counters import Counters

SIGNATURE = Signature("array", (TensorSpec("input", "float32", (None, 2)),), OutputSpec("scores", ("no", "yes")))


def routing(run: PoolRun | None = None, **options: Any) -> Routing:
    member = MemberRoute("m", 1, "onnx", "", {}, SIGNATURE, SIGNATURE.inputs, "output", [], options)
    return Routing(1, (PoolRoute("p", "classification", SIGNATURE, (member,)),), runs={"p": run} if run else {})


class Telemetry:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack

    def worker(self, slot: int, *, resident: int = 1, tried: dict[int, float], **readings: float) -> Counters:
        counters = Counters(self.folder / f"worker-{slot}.qt")
        self._stack.callback(counters.close)
        counters.gauge("quorate_pool_resident", pool="p").set(resident)
        for name, value in readings.items():
            counters.gauge(f"quorate_pool_{name}", pool="p").set(value)
        for threads, seconds in tried.items():
            counters.gauge("quorate_pool_tried_seconds", pool="p", threads=str(threads)).set(seconds)
        return counters


@pytest.fixture
def telemetry(tmp_path: Path) -> Iterator[Telemetry]:
    with ExitStack() as stack:
        yield Telemetry(tmp_path, stack)


def test_what_each_worker_measured(telemetry: Telemetry) -> None:
    telemetry.worker(0, tried={2: 0.011, 1: 0.02}, threads=2, lanes=1, memory_bytes=100)
    telemetry.worker(1, tried={1: 0.02, 2: 0.019}, threads=1, lanes=2)
    [pool] = running(routing(), telemetry.folder)
    assert (pool.name, pool.threads_from, pool.lanes_from) == ("p", "measured", "cores")
    first, second = pool.workers
    assert first == PoolInWorker("worker-0", True, 2, 1, 100, {1: 20.0, 2: 11.0})
    assert (second.threads, second.lanes, second.memory_bytes) == (1, 2, None)


def test_what_was_declared(telemetry: Telemetry) -> None:
    telemetry.worker(0, tried={}, threads=3, lanes=4)
    [pool] = running(routing(PoolRun(threads=3, lanes=4)), telemetry.folder)
    assert (pool.threads_from, pool.lanes_from) == ("declared", "declared")
    [pool] = running(routing(intra_op_threads=3), telemetry.folder)
    assert (pool.threads_from, pool.lanes_from) == ("declared", "cores")


def test_where_there_is_nothing_to_choose(telemetry: Telemetry) -> None:
    [pool] = running(routing(), telemetry.folder)
    assert (pool.threads_from, pool.workers) == ("none", ())
    telemetry.worker(0, resident=0, tried={})
    [pool] = running(routing(), telemetry.folder)
    assert pool.workers == (PoolInWorker("worker-0", False, 0, 0, None, {}),)
    telemetry.worker(1, tried={1: 0.02}, threads=1, lanes=2).close()  # and has ended
    assert len(running(routing(), telemetry.folder)[0].workers) == 1
