"""The contract of a plan as generated checks; a third party's plan goes through the same as the built-ins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quorate.core.plan.base import Plan
from quorate.core.types import BoolArray, FloatArray, Status, StatusArray

OK, FAILED, SKIPPED = int(Status.OK), int(Status.FAILED), int(Status.SKIPPED)


def check_plan(
    plan_cls: type[Plan],
    *,
    params: Any = None,
    make: Callable[[int], Plan] | None = None,
    classes: int = 3,
    most: int = 5,
    seed: int = 0,
) -> None:
    """Check that a plan keeps the contract of :class:`Plan`; :class:`AssertionError` says what it broke.

    Runs it through generated requests: 1 to ``most`` members, one or several rows, members that answer or fail at
    random (from ``seed``), plenty of time and almost none. ``make`` gives the plan for so many members, where it
    depends on them; without it, ``params`` make one for all.
    """
    if not issubclass(plan_cls, Plan) or not getattr(plan_cls, "kind", ""):
        raise AssertionError(f"{plan_cls.__name__} must be a subclass of Plan with a kind.")
    rng = np.random.default_rng(seed)
    for m in range(1, most + 1):
        plan = plan_cls(params) if make is None else make(m)
        for n in (1, 3):
            for failing in (0.0, 0.5, 1.0):
                for budget_ms in (1e4, 0.01):
                    _run(plan, n, m, classes, failing, budget_ms, rng)


def _run(plan: Plan, n: int, m: int, k: int, failing: float, budget_ms: float, rng: np.random.Generator) -> None:
    outputs = np.full((n, m, k), np.nan, np.float32)
    status = np.full((n, m), SKIPPED, np.int8)
    way = plan.begin()
    for stage in range(m + 1):
        wanted = _ask(plan, outputs, status, budget_ms)
        if not np.array_equal(way.next(outputs.copy(), status.copy(), budget_ms), wanted):
            raise AssertionError("what begin() gives asks otherwise than next() does.")
        if stage == 0 and budget_ms > 1 and not wanted.any(axis=1).all():
            raise AssertionError(f"with nothing known and {budget_ms:.0f} ms left the plan runs no member.")
        if not wanted.any():
            return
        if stage == m:
            raise AssertionError(f"the plan must stop after at most {m} stages for {m} members; it asks for more.")
        failed = wanted & (rng.random((n, m)) < failing)
        status[wanted] = OK
        status[failed] = FAILED
        outputs[wanted] = rng.dirichlet(np.ones(k), size=int(wanted.sum()))
        outputs[failed] = np.nan


def _ask(plan: Plan, outputs: FloatArray, status: StatusArray, budget_ms: float) -> BoolArray:
    given, given_status = outputs.copy(), status.copy()
    wanted = plan.next(given, given_status, budget_ms)
    if not np.array_equal(given, outputs, equal_nan=True) or not np.array_equal(given_status, status):
        raise AssertionError("next() changed the arrays it was given.")
    if not isinstance(wanted, np.ndarray) or wanted.dtype != np.bool_ or wanted.shape != status.shape:
        raise AssertionError(f"next() must return bool {list(status.shape)}; got {_shown(wanted)}.")
    if not np.array_equal(plan.next(given, given_status, budget_ms), wanted):
        raise AssertionError("next() gave another answer for the same arguments.")
    again = wanted & (status != SKIPPED)
    if again.any():
        row, member = np.argwhere(again)[0].tolist()
        raise AssertionError(f"next() asks for member {member} in row {row}, which has run already.")
    for row in range(len(status)):
        if not np.array_equal(plan.next(given[row : row + 1], given_status[row : row + 1], budget_ms)[0], wanted[row]):
            raise AssertionError(f"what row {row} asks depends on the other rows.")
    return wanted


def _shown(found: Any) -> str:
    return f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else repr(found)
