"""The frontier of a fitted cascade, as it was fitted and as it is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quorate.codecs.snapshot import EndpointRoute, PolicyRoute, StrategyRoute
from quorate.control.frontier import described
from quorate.telemetry.counters import Counters
from tests.ladder import ladder

ROUTE = StrategyRoute("steps", "ladder", ("a", "b", "c"), 1, plan="stepwise", stages=(("a",), ("b", "c")))
ENDPOINT = EndpointRoute("main", 3, "pool", (ROUTE,), PolicyRoute("fixed", {"strategy": "steps"}))
STATE = ladder([["a"], ["b", "c"]], costs={"a": 1.0, "b": 10.0, "c": 5.0})


def worker(folder: Path, slot: int, rows: float, *stages: float, **labels: str) -> None:
    mine = {"endpoint": "main", "strategy": "steps", "revision": "3"} | labels
    counters = Counters(folder / f"worker-{slot}.qt")
    counters.counter("quorate_staged_rows_total", **mine).add(rows)
    for number, count in enumerate(stages, 1):
        counters.counter("quorate_stages_total", **mine, stage=str(number)).add(count)
    counters.close()


def found(folder: Path) -> dict[str, Any]:
    return described(ENDPOINT, ROUTE, STATE, folder).model_dump()


def test_what_was_fitted_is_told_as_it_is(tmp_path: Path) -> None:
    shown = found(tmp_path)
    assert {name: shown[name] for name in ("endpoint", "strategy", "unit", "rows", "promise")} == {
        "endpoint": "main",
        "strategy": "steps",
        "unit": "cost",
        "rows": 100,
        "promise": {"accuracy": 0.85, "risk": 0.1},
    }
    assert (shown["stages"], shown["costs"]) == ([["a"], ["b", "c"]], {"a": 1.0, "b": 10.0, "c": 5.0})
    assert shown["expected"] == {"cost": 1.5, "accuracy": [0.9, 0.88, 0.92], "reached": [1.0, 0.3]}
    assert [(point["name"], point["chosen"], point["low"]) for point in shown["frontier"]] == [
        ("fitted", True, 0.88),
        ("best", False, None),
    ]
    assert shown["served"] == {"revision": 3, "rows": 0, "cost": None, "reached": [0.0, 0.0]}


def test_what_a_stage_costs_besides_is_told_and_counted(tmp_path: Path) -> None:
    worker(tmp_path, 0, 40, 40, 10)
    state = ladder([["a"], ["b", "c"]], costs={"a": 1.0, "b": 10.0, "c": 5.0}, stage=2.0)
    shown = described(ENDPOINT, ROUTE, state, tmp_path)
    assert shown.stage == 2.0
    assert shown.served.cost == pytest.approx((40 * 3.0 + 10 * 17.0) / 40)
    assert found(tmp_path)["stage"] == 0.0, "of a state from before there was such a cost"


def test_what_live_decisions_came_to_is_summed_over_workers(tmp_path: Path) -> None:
    worker(tmp_path, 0, 10, 10, 2)
    worker(tmp_path, 1, 30, 30, 8)
    assert found(tmp_path)["served"] == {
        "revision": 3,
        "rows": 40,
        "cost": pytest.approx((40 * 1.0 + 10 * 15.0) / 40),
        "reached": [1.0, 0.25],
    }


@pytest.mark.parametrize("other", [{"revision": "2"}, {"endpoint": "else"}, {"strategy": "else"}])
def test_what_is_not_of_this_revision_does_not_count(tmp_path: Path, other: dict[str, str]) -> None:
    worker(tmp_path, 0, 10, 10, 2, **other)
    assert found(tmp_path)["served"]["rows"] == 0
