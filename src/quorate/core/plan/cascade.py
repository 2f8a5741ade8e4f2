"""Cascade: cheap members first; each row is asked of further ones for as long as that is expected to pay.

The router is fitted (:mod:`quorate.core.cascade.router`): after what a row's members have said it asks the set of
further members with the greatest expected gain in accuracy, less a price times their cost, or stops where no gain is
worth its price. Rows go their own ways: they may skip stages, and reach the same members in another order. What has not
been asked does not run.

A member that failed is not asked again, and what needs it is not considered; where nobody has answered, the best of the
other starts is asked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quorate.core.cascade.evidence import seen
from quorate.core.cascade.posterior import posterior, which
from quorate.core.cascade.router import heard
from quorate.core.plan.base import Plan
from quorate.core.types import FloatArray, State, Status, StatusArray

_OK, _FAILED, _SKIPPED = int(Status.OK), int(Status.FAILED), int(Status.SKIPPED)
MS = "ms"


class CascadePlan(Plan):
    """A fitted router over the members of its state, in their order."""

    kind = "cascade"

    def __init__(self, state: State) -> None:
        super().__init__()
        arrays, meta = state.arrays, state.meta
        self._arrays = arrays
        self._routed = np.flatnonzero(arrays["routed"])
        self._subsets = arrays["subsets"][self._routed]
        self._asks = arrays["asks"]
        self._gains = arrays["gains"]
        self._start = arrays["start"]
        # Of members still to be asked, in milliseconds; nothing where costs are no times.
        timed = meta["unit"] == MS
        self._ms = np.array([float(meta["costs"][name]) if timed else 0.0 for name in meta["members"]])

    def next(self, outputs: FloatArray, status: StatusArray, budget_ms: float) -> NDArray[np.bool_]:
        """Whom each row asks next; see :meth:`Plan.next`. What takes longer than ``budget_ms`` is not asked, but for
        the first members of all."""
        asked = np.zeros(status.shape, bool)
        ok, skipped = status == _OK, status == _SKIPPED
        states = which(ok, self._subsets)
        new = self._subsets[None] & skipped[:, None]
        allowed = new.any(axis=2) & ~(self._subsets[None] & (status == _FAILED)[:, None]).any(axis=2)
        fresh = states < 0
        if fresh.any():
            value = np.where(allowed[fresh], self._start, -np.inf)
            asked[fresh] = new[fresh, value.argmax(axis=1)] & np.isfinite(value.max(axis=1))[:, None]
        in_time = new @ self._ms <= budget_ms
        for state in np.unique(states[~fresh]).tolist():
            rows = np.flatnonzero(states == state)
            value = np.where(
                allowed[rows] & in_time[rows] & self._asks[state],
                self._expected(state, outputs[rows], ok[rows]),
                -np.inf,
            )
            best = value.argmax(axis=1)
            go = value[np.arange(len(rows)), best] > 0.0
            asked[rows[go]] = new[rows[go], best[go]]
        return asked

    def _expected(self, state: int, outputs: FloatArray, ok: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What asking each of the sets is expected to gain, net of its cost, ``[n, s]``."""
        given = seen(outputs, ok).of(self._subsets[state])
        columns = heard(given, posterior(given, int(self._routed[state]), self._arrays), self._arrays["fine"])
        net: NDArray[np.float64] = columns @ self._gains[state, :-1] + self._gains[state, -1]
        return net
