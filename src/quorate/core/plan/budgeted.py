"""Budgeted: of all members those that fit into the time, the most valuable first.

What members take is measured: ``costs_ms`` is the 95th percentile of each. Members of one ``lane`` share it: they run
one after the other, or ``width`` at a time; those without a lane have a process of their own. A set takes as long as
its slowest lane:

    T(S) = max( max_j c_j,  max over lanes l of  sum_{j in S, l_j = l} c_j / width )

Members are gone through by worth, and one joins where ``T`` stays within the time. So a cheap member may run where a
more valuable one does not fit, and one that is worth nothing is the last to be tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quorate.core.plan.base import Plan
from quorate.core.types import BoolArray, FloatArray, Status, StatusArray

SKIPPED = int(Status.SKIPPED)


@dataclass(frozen=True, slots=True)
class BudgetedParams:
    """Of each member, in order: ``costs_ms``, ``worth`` and whether it is ``shared`` with the others' lane.

    ``width`` members of the lane run at a time. ``least`` members run whatever they take: the quorum.
    """

    costs_ms: tuple[float, ...] = ()
    worth: tuple[float, ...] = ()
    shared: tuple[bool, ...] = ()
    width: int = 1
    least: int = 1


def together_ms(costs_ms: Sequence[float], shared: Sequence[bool], width: int = 1) -> float:
    """What members take that start together: T of this module.

    >>> together_ms([4.0, 6.0, 9.0], [True, True, False])
    10.0
    """
    lane = sum(cost for cost, here in zip(costs_ms, shared, strict=True) if here)
    return max([lane / width, *costs_ms], default=0.0)


class Budgeted(Plan):
    """One stage of those members that fit into the time left, then stop.

    >>> plan = Budgeted(BudgetedParams((5.0, 30.0, 2.0), (3.0, 2.0, 1.0), (True, True, True)))
    >>> plan.next(np.full((1, 3, 2), np.nan, np.float32), np.full((1, 3), 2, np.int8), 20.0).tolist()
    [[True, False, True]]
    """

    kind = "budgeted"
    Params = BudgetedParams

    def next(self, outputs: FloatArray, status: StatusArray, budget_ms: float) -> BoolArray:
        """The members that fit, for rows that have asked nobody; see :meth:`Plan.next`."""
        fresh = (status == SKIPPED).all(axis=1)
        wanted = np.zeros(status.shape, np.bool_)
        if fresh.any():
            wanted[np.ix_(fresh, self.chosen(budget_ms))] = True
        return wanted

    def chosen(self, budget_ms: float) -> list[int]:
        """The members that run, in their order; the cheapest make up the least where too few fit."""
        p = self.params
        chosen: list[int] = []
        for member in sorted(range(len(p.costs_ms)), key=lambda j: -p.worth[j]):
            tried = [*chosen, member]
            if together_ms([p.costs_ms[j] for j in tried], [p.shared[j] for j in tried], p.width) <= budget_ms:
                chosen = tried
        for member in sorted(range(len(p.costs_ms)), key=lambda j: p.costs_ms[j]):
            if len(chosen) >= p.least:
                break
            if member not in chosen:
                chosen.append(member)
        return sorted(chosen)
