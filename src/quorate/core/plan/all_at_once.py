"""All at once: one stage in which every member runs."""

from __future__ import annotations

from quorate.core.plan.base import Plan
from quorate.core.types import BoolArray, FloatArray, Status, StatusArray

SKIPPED = int(Status.SKIPPED)


class AllAtOnce(Plan):
    """Runs every member that has not run, then stops.

    >>> import numpy as np
    >>> import numpy as np
    >>> AllAtOnce().next(np.full((1, 2, 3), np.nan, np.float32), np.full((1, 2), 2, np.int8), 50.0).tolist()
    [[True, True]]
    """

    kind = "all"

    def next(self, outputs: FloatArray, status: StatusArray, budget_ms: float) -> BoolArray:
        """Whatever a row has not asked yet; see :meth:`Plan.next`."""
        wanted: BoolArray = status == SKIPPED
        return wanted
