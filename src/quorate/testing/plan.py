"""The contract of a plan as generated checks; a third party's plan goes through the same as the built-ins."""

from __future__ import annotations

from typing import Any

import numpy as np

from quorate.core.plan.base import Plan
from quorate.core.types import FloatArray, Status, StatusArray


def check_plan(plan_cls: type[Plan], *, params: Any = None, most: int = 5, seed: int = 0) -> None:
    """Check that a plan keeps the contract of :class:`Plan`; :class:`AssertionError` says what it broke.

    Runs it through generated requests: 1 to ``most`` members, one or several rows, members that answer or fail at
    random (from ``seed``), plenty of time and almost none.
    """
    if not issubclass(plan_cls, Plan) or not getattr(plan_cls, "kind", ""):
        raise AssertionError(f"{plan_cls.__name__} must be a subclass of Plan with a kind.")
    rng = np.random.default_rng(seed)
    plan = plan_cls(params)
    for m in range(1, most + 1):
        for n in (1, 3):
            for failing in (0.0, 0.5, 1.0):
                for budget_ms in (1e4, 0.01):
                    _run(plan, n, m, failing, budget_ms, rng)


def _run(plan: Plan, n: int, m: int, failing: float, budget_ms: float, rng: np.random.Generator) -> None:
    k = 3
    outputs = np.full((n, m, k), np.nan, np.float32)
    status = np.full((n, m), int(Status.SKIPPED), np.int8)
    for stage in range(m + 1):
        members = _ask(plan, outputs, status, budget_ms)
        if not members:
            if stage == 0 and budget_ms > 1:
                raise AssertionError(f"with nothing known and {budget_ms:.0f} ms left the plan runs no member.")
            return
        if stage == m:
            raise AssertionError(f"the plan must stop after at most {m} stages for {m} members; it asks for {members}.")
        for member in members:
            failed = rng.random(n) < failing
            status[:, member] = np.where(failed, int(Status.FAILED), int(Status.OK))
            outputs[:, member] = rng.dirichlet(np.ones(k), size=n)
            outputs[failed, member] = np.nan


def _ask(plan: Plan, outputs: FloatArray, status: StatusArray, budget_ms: float) -> tuple[int, ...]:
    given, given_status = outputs.copy(), status.copy()
    members = plan.next(given, given_status, budget_ms)
    if not np.array_equal(given, outputs, equal_nan=True) or not np.array_equal(given_status, status):
        raise AssertionError("next() changed the arrays it was given.")
    if plan.next(given, given_status, budget_ms) != members:
        raise AssertionError("next() gave another answer for the same arguments.")
    if not isinstance(members, tuple) or not all(type(member) is int for member in members):
        raise AssertionError(f"next() must return a tuple of ints; got {members!r}.")
    if len(set(members)) < len(members) or not all(0 <= member < status.shape[1] for member in members):
        raise AssertionError(f"next() must name members in 0..{status.shape[1] - 1}, each once; got {members}.")
    for member in members:
        if not (status[:, member] == int(Status.SKIPPED)).any():
            raise AssertionError(f"next() asks for member {member}, which has run already.")
    return members
