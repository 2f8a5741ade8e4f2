"""Members of a slow graph run side by side where that is measured to pay."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.clock import SystemClock
from quorate.serving import measuring
from quorate.serving.cost import Cost
from quorate.serving.loading import Loader
from quorate.serving.spreading import longest_first, side_by_side

ROW = {"input": np.zeros((1, 2), np.float32)}


class Together:
    """A unit whose run ends when ``barrier`` is full: so many run at the same time."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self._barrier = barrier
        self.runs = 0

    def run(self, tensors: Any) -> None:
        self.runs += 1
        self._barrier.wait(20.0)


def test_jobs_run_at_the_same_time_each_once_a_round() -> None:
    units = [Together(threading.Barrier(2)) for _ in range(2)]
    barrier = threading.Barrier(2)
    for unit in units:
        unit._barrier = barrier
    assert side_by_side([(unit, ROW) for unit in units], 2, SystemClock()) > 0  # type: ignore[misc]
    assert units[0].runs == units[1].runs == 6  # one of the rounds is not counted


def test_what_a_unit_raises_is_raised(house: Any) -> None:
    pool = house.pool(a=house.inline(0.9), b=house.inline(house.raises(ValueError("no"))))
    with pytest.raises(ValueError, match="no"):
        side_by_side([(member.unit, ROW) for member in pool.members], 2, SystemClock())


def test_the_longest_comes_first(house: Any) -> None:
    pool = house.pool(a=house.threaded(0.9), b=house.threaded(0.9), c=house.threaded(0.9))
    for member, ms in zip(pool.members, (1.0, 3.0, 2.0), strict=True):
        member.unit.cost = Cost(ms, 0.0)
    assert [unit.cost.fixed_ms for unit in longest_first([member.unit for member in pool.members])] == [3.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("graph_ms", "apart_ms", "lanes", "spread"),
    [
        (20.0, 10.0, 2, True),
        (20.0, 16.0, 2, False),  # two cores for a quarter of the time
        (20.0, 10.0, 4, True),
        (20.0, 13.0, 4, False),
        (20.0, 1.0, 1, False),
        (4.0, 1.0, 2, False),  # quick enough
    ],
)
def test_members_are_spread_where_the_cores_pay(
    house: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    graph_ms: float,
    apart_ms: float,
    lanes: int,
    spread: bool,
) -> None:
    pool = house.fused(a=0.9, b=0.8, c=0.7, d=0.6)
    graph = pool.graph
    graph.cost = Cost(graph_ms, 0.0)
    for member, ms in zip(pool.members, (1.0, 4.0, 2.0, 3.0), strict=True):
        member.unit.cost = Cost(ms, 0.0)
    asked: list[tuple[list[float], int]] = []

    def measured(jobs: Any, threads: int, clock: Any) -> float:
        asked.append(([unit.cost.fixed_ms for unit, _ in jobs], threads))
        return apart_ms

    monkeypatch.setattr(measuring, "side_by_side", measured)
    loader = Loader(tmp_path, clock=house.clock, lane=house.lane, meters=house.meters, cores=4)

    async def main() -> None:
        await loader._measurer._spread(pool, lanes)

    house.hung = True  # the loader's thread is not one of the house's
    house.run(main())
    loader.close()
    assert (pool.graph is None) == graph._graph.closed == spread
    order = [unit.cost.fixed_ms for unit in pool.units_for(pool.everyone)]
    assert order == ([4.0, 3.0, 2.0, 1.0] if spread else [graph_ms])
    assert all(given == ([4.0, 3.0, 2.0, 1.0], min(lanes, 4)) for given in asked)


def test_spread_members_answer_as_the_graph_did(house: Any) -> None:
    pool = house.fused(a=0.9, b=0.7)
    execution = house.execution(pool)
    house.ran(execution, (0, 1))
    together = execution.values.tolist()
    pool.spread()
    execution = house.execution(pool)
    house.ran(execution, (0, 1))
    assert execution.values.tolist() == together
    assert pool.together() is None
