"""Statistics of endpoints and models, read from what the workers count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quorate.codecs.snapshot import Routing, StrategyRoute
from quorate.errors import NotFound
from quorate.serving.generation import Generation, Model
from quorate.serving.statistics import Duration, read, statistics
from quorate.telemetry.counters import Counters

MEAN = StrategyRoute("average", "mean", ("a", "b"), 1)


@pytest.fixture
def generation(house: Any) -> Generation:
    pool = house.pool(a=house.inline(0.9), b=house.inline(0.7))
    models = {member.name: {1: Model(pool, i), 2: Model(pool, i)} for i, member in enumerate(pool.members)}
    return Generation(1, Routing(version=1), (pool,), {"main": house.endpoint(pool, (MEAN,))}, models)


def _count(folder: Path, slot: int) -> None:
    counters = Counters(folder / f"worker-{slot}.qt")
    for strategy, status, times in (("x", "2xx", 3), ("y", "2xx", 1), ("-", "5xx", 2)):
        counters.counter("quorate_requests_total", endpoint="main", strategy=strategy, status=status).add(times)
    for _ in range(6):
        counters.histogram("quorate_request_duration_seconds", endpoint="main").observe(2.0)
    for _ in range(5):
        counters.histogram("quorate_member_duration_seconds", member="a").observe(0.5)
    counters.counter("quorate_member_faults_total", member="a", reason="member_timeout").add()
    counters.gauge("quorate_circuit_state", member="a").set(2)
    counters.close()


def test_they_are_of_all_workers(generation: Generation, tmp_path: Path) -> None:
    for slot in (1, 2):
        _count(tmp_path, slot)
    (tmp_path / "worker-3.qt").write_bytes(b"not a telemetry file")
    found = {(one.name, one.version): one for one in statistics(generation, read(tmp_path), "", "")}
    assert set(found) == {("main", "1"), ("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")}
    main = found["main", "1"]
    assert main.success == Duration(8, 24_000_000)
    assert main.fail == Duration(4)
    assert main.compute == Duration(12, 24_000_000)
    assert found["a", "1"].success == Duration(8, 5_000_000)
    assert found["a", "1"].fail == Duration(2)
    assert found["b", "1"].success == Duration()


def test_one_may_be_asked_for(generation: Generation, tmp_path: Path) -> None:
    assert [(one.name, one.version) for one in statistics(generation, [], "a", "2")] == [("a", "2")]
    assert [one.name for one in statistics(generation, [], "main", "")] == ["main"]
    with pytest.raises(NotFound):
        statistics(generation, [], "nobody", "")
