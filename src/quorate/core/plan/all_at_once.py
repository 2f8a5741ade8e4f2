"""All at once: one stage in which every member runs."""

from __future__ import annotations

import numpy as np

from quorate.core.plan.base import Plan
from quorate.core.types import FloatArray, Status, StatusArray

SKIPPED = int(Status.SKIPPED)


class AllAtOnce(Plan):
    """Runs every member that has not run, then stops.

    >>> AllAtOnce().next(np.full((1, 2, 3), np.nan, np.float32), np.full((1, 2), 2, np.int8), 50.0)
    (0, 1)
    """

    kind = "all"

    def next(self, outputs: FloatArray, status: StatusArray, budget_ms: float) -> tuple[int, ...]:
        """Members that some row has not asked yet; see :meth:`Plan.next`."""
        if len(status) == 1:
            return tuple(i for i, known in enumerate(status[0].tolist()) if known == SKIPPED)
        return tuple(np.flatnonzero((status == SKIPPED).any(axis=0)).tolist())
