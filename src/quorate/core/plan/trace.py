"""What a plan would have asked, found out from what members are known to have said.

Plans are functions of what has been answered, so where all the answers that they come by are known, so is their way: a
staged strategy can be replayed on decisions for which its members have run, whoever answered these.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np

from quorate.core.plan.base import Plan
from quorate.core.types import BoolArray, FloatArray, Status, StatusArray

OK, FAILED, SKIPPED = int(Status.OK), int(Status.FAILED), int(Status.SKIPPED)


class Traced(NamedTuple):
    """``asked`` bool ``[n, m]``: what the plan asks; ``known`` bool ``[n]``: whether all of that is on record.

    Rows that are not known were followed up to the first member that did not run.
    """

    asked: BoolArray
    known: BoolArray

    def status(self, status: StatusArray) -> StatusArray:
        """The status with ``SKIPPED`` where the plan does not ask."""
        return np.where(self.asked, status, np.int8(SKIPPED))


def trace(plan: Plan, outputs: FloatArray, status: StatusArray, budget_ms: float = inf) -> Traced:
    """The way of a plan through logged ``outputs [n, m, k]`` under ``status [n, m]``, all in ``budget_ms``."""
    n, m = status.shape
    asked = np.zeros((n, m), np.bool_)
    known = np.ones(n, np.bool_)
    seen = np.full((n, m), SKIPPED, np.int8)
    way = plan.begin()
    for _ in range(m):
        said = np.where((asked & (status != FAILED))[:, :, None], outputs, np.float32(np.nan))
        wanted = way.next(said, seen, budget_ms) & ~asked & known[:, None]
        if not wanted.any():
            break
        known &= ~(wanted & (status == SKIPPED)).any(axis=1)
        wanted &= known[:, None]
        asked |= wanted
        seen = np.where(asked, status, np.int8(SKIPPED))
    return Traced(asked, known)


def held_back(plan: Plan, outputs: FloatArray, status: StatusArray) -> BoolArray:
    """Members that a plan would have gone on to ask, had it had the time: bool ``[n, m]``, of those that did not run.

    Where it would, ``status [n, m]`` is where it was cut short; other members that did not run it had no need of.
    """
    held = np.zeros(status.shape, np.bool_)
    said = np.where((status == OK)[:, :, None], outputs, np.float32(np.nan))
    for _ in range(status.shape[1]):
        view = np.where(held, np.int8(FAILED), status)  # as it is shown what cannot be in time
        wanted = plan.next(said, view, inf) & (view == SKIPPED)
        if not wanted.any():
            break
        held |= wanted
    return held


def enough(status: StatusArray, quorum: int) -> BoolArray:
    """Whether so many members answered each row of ``status`` ``[n, m]`` well as must; all that were asked are enough
    where a plan asked fewer."""
    asked = (status != SKIPPED).sum(axis=1)
    met: BoolArray = (status == OK).sum(axis=1) >= np.minimum(quorum, np.maximum(asked, 1))
    return met
