"""A plan of several stages that tests can see through, as a plugin: on to the next until the mean is sure enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quorate.core.combine.base import Combiner
from quorate.core.combine.mean import Mean
from quorate.core.plan.base import Plan
from quorate.core.plan.stages import stages_of
from quorate.core.types import BoolArray, FloatArray, OutputSpec, State, StatusArray

OK, SKIPPED = 0, 2


def ladder(
    stages: Sequence[Sequence[str]], sure: float = 0.8, costs: dict[str, float] | None = None, **meta: Any
) -> State:
    """A state of the kind: the stages, and how sure the mean must be for a row to stop."""
    costs = costs or {name: 1.0 for stage in stages for name in stage}
    frontier = [
        {"name": "fitted", "kind": "cascade", "cost": 1.5, "accuracy": 0.9, "low": 0.88, "high": 0.92, "chosen": True},
        {"name": "best", "kind": "best", "cost": 2.0, "accuracy": 0.85, "low": None, "high": None, "chosen": False},
    ]
    known: dict[str, Any] = {
        "stages": [list(stage) for stage in stages], "sure": sure, "costs": costs, "unit": "cost", "rows": 100,
        "promise": {"accuracy": 0.85, "risk": 0.1}, "frontier": frontier,
        "expected": {"cost": 1.5, "accuracy": [0.9, 0.88, 0.92], "reached": [1.0, 0.3]},
    }  # fmt: skip
    return State("ladder", 1, known | meta)


class Stepwise(Plan):
    """Rows that are not sure enough ask the first stage of which they have not asked everybody."""

    kind = "stepwise"

    def __init__(self, stages: Sequence[Sequence[int]], sure: float) -> None:
        super().__init__()
        self._stages = stages
        self._sure = sure

    def next(self, outputs: FloatArray, status: StatusArray, budget_ms: float) -> BoolArray:
        ok = status == OK
        total = np.where(ok[:, :, None], outputs, 0.0).sum(axis=1).max(axis=1)
        rows = total < self._sure * np.maximum(ok.sum(axis=1), 1)
        wanted = np.zeros(status.shape, np.bool_)
        for stage in self._stages:
            fresh = np.zeros(status.shape, np.bool_)
            fresh[:, stage] = (status[:, stage] == SKIPPED) & rows[:, None]
            wanted |= fresh
            rows &= ~fresh.any(axis=1)
        return wanted


class Ladder(Combiner):
    """The mean of those that were asked."""

    kind = "ladder"
    needs_state = True
    missing = "the mean of those that answered"

    def plan(self, members: Sequence[str], state: State | None) -> Plan:
        assert state is not None
        return Stepwise(stages_of(members, state), state.meta["sure"])

    def check(self, members: Sequence[str], output: OutputSpec, state: State | None) -> None:
        pass

    def combine(
        self, outputs: FloatArray, status: StatusArray, state: State | None = None, features: Any = None
    ) -> FloatArray:
        return Mean().combine(outputs, status)
