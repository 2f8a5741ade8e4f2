"""What members cost: given, measured, shared by a graph, or not known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from quorate.codecs.snapshot import Prices
from quorate.control.pool_audits.cost import costs
from quorate.control.switching.loading import Running

NAMES = ("a", "b", "c")


def pool(*fused: str) -> Any:
    return SimpleNamespace(name="letters", graph=SimpleNamespace(order=fused) if fused else None)


def test_given_costs_come_first() -> None:
    found = costs(NAMES, pool(), Running(), Prices(cpu_hour=1.0), {"a": 3.0})
    assert found is not None
    assert (found.values, found.unit, found.money) == ({"a": 3.0, "b": 0.0, "c": 0.0}, "cost", None)


def test_measured_time_is_shared_by_the_requests_of_a_run_and_the_members_of_a_graph() -> None:
    now = Running(member_s={"a": 0.004, "b": 0.004, "c": 0.010}, batch={"letters": 2.0})
    found = costs(NAMES, pool("a", "b"), now, Prices(currency="EUR", cpu_hour=0.36), None)
    assert found is not None
    assert found.values == pytest.approx({"a": 1.0, "b": 1.0, "c": 5.0})
    assert "2 members run as one graph" in found.note
    assert found.money == pytest.approx(0.1)  # EUR for a million requests of a millisecond
    assert costs(NAMES, pool(), now, Prices(), None).money is None  # type: ignore[union-attr]


def test_one_that_was_never_measured_leaves_all_unknown() -> None:
    assert costs(NAMES, pool(), Running(member_s={"a": 1.0}), Prices(), None) is None
