"""Cascade: cheap members first; each row is asked of further ones for as long as that is expected to pay.

The router is fitted (:mod:`quorate.core.cascade.router`): after what a row's members have said it asks the set of
further members with the greatest expected gain in accuracy, less a price times their cost, or stops where no gain is
worth its price. Rows go their own ways: they may skip stages, and reach the same members in another order. What has not
been asked does not run.

A member that failed is not asked again, and what needs it is not considered; where nobody has answered, the best of the
other starts is asked.

A few rows are routed one by one (:mod:`quorate.core.cascade.lone`), many together; both go the same ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from quorate.core.cascade.evidence import seen
from quorate.core.cascade.lone import Lone, Said
from quorate.core.cascade.posterior import posterior, which
from quorate.core.cascade.router import heard
from quorate.core.plan.base import Plan, Way
from quorate.core.types import BoolArray, FloatArray, State, Status, StatusArray

_OK, _FAILED, _SKIPPED = int(Status.OK), int(Status.FAILED), int(Status.SKIPPED)
MS = "ms"
FEW = 4
"""Up to so many rows are quicker one by one."""


_Known = dict[int, tuple[int, Said]]
"""By row: the number of a fitted set, and what it says together."""


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
        if timed:
            for stage in meta.get("stages", ()):
                self._ms[meta["members"].index(stage[0])] += float(meta.get("stage", 0.0))
        self._lone = Lone(arrays)
        self._sets = [self._lone.sets[at] for at in self._lone.routed]
        self._starts: list[float] = self._start.tolist()
        self._each_ms: list[float] = self._ms.tolist()
        self._number = {some: number for number, some in enumerate(self._lone.sets)}
        self._place = {some: place for place, some in enumerate(self._sets)}
        # By routed set what the further ones ask, and how long that takes, while nobody has failed.
        self._rest = [
            self._open([self._sets[other] for other in others], some, 0)
            for some, others in zip(self._sets, self._lone.further, strict=True)
        ]
        self._rest_ms = [[self._takes(new) for new in rest] for rest in self._rest]

    def next(self, outputs: FloatArray, status: StatusArray, budget_ms: float) -> BoolArray:
        """Whom each row asks next; see :meth:`Plan.next`. What takes longer than ``budget_ms`` is not asked, but for
        the first members of all."""
        return self.begin().next(outputs, status, budget_ms)

    def begin(self) -> Way:
        """A way that keeps what the members asked so far say together."""
        return _CascadeWay(self)

    def few(self, outputs: FloatArray, status: StatusArray, budget_ms: float, known: _Known) -> BoolArray:
        """:meth:`next`, row by row; ``known`` is what was worked out on the way, and is added to."""
        m = status.shape[1]
        asked = [self._ask(at, outputs[at], row, budget_ms, known) for at, row in enumerate(status.tolist())]
        return np.array([[some >> j & 1 for j in range(m)] for some in asked], np.bool_)

    def _ask(self, at: int, outputs: FloatArray, status: Sequence[int], budget_ms: float, known: _Known) -> int:
        """The set that one row asks next, 0 for none."""
        ok, failed = _split(status)
        state = self._place.get(ok, -1) if ok else -1
        if ok and state < 0:
            state = next((place for place, some in enumerate(self._sets) if not some & ~ok), -1)
        if state < 0:
            may = self._open(self._sets, ok, failed)
            return max(zip(self._starts, may, strict=True), key=_worth)[1] if any(may) else 0
        if not failed and ok == self._sets[state]:
            may, takes = self._rest[state], self._rest_ms[state]
        else:
            may = self._open([self._sets[place] for place in self._lone.further[state]], ok, failed)
            takes = [self._takes(new) for new in may]
        may = [new if ms <= budget_ms else 0 for new, ms in zip(may, takes, strict=True)]
        if not any(may):
            return 0
        gains = self._lone.gains(state, self.said(at, self._lone.routed[state], outputs, known))
        gain, new = max(zip(gains, may, strict=True), key=_worth)
        return new if gain > 0.0 else 0

    @staticmethod
    def _open(sets: Sequence[int], ok: int, failed: int) -> list[int]:
        """Whom each of the sets would ask; 0 where one of it has failed, or all have answered."""
        return [0 if some & failed else some & ~ok for some in sets]

    def _takes(self, members: int) -> float:
        return sum(ms for j, ms in enumerate(self._each_ms) if members >> j & 1)

    def said(self, at: int, number: int, outputs: FloatArray, known: _Known) -> Said:
        """What a fitted set says together of a row ``[m, k]``, worked out once."""
        before = known.get(at)
        if before is not None and before[0] == number:
            return before[1]
        found = self._lone.said(number, outputs)
        known[at] = number, found
        return found

    def answers(self, outputs: FloatArray, status: StatusArray, known: _Known) -> FloatArray | None:
        """What the combiner answers; None where some row has too few answers for a fitted set."""
        found = np.empty((len(status), outputs.shape[2]), np.float32)
        for at, row in enumerate(status.tolist()):
            ok, _ = _split(row)
            number = self._number.get(ok)
            if number is None:
                number = next((number for number, some in enumerate(self._lone.sets) if not some & ~ok), None)
            if number is None:
                return None
            found[at] = self.said(at, number, outputs[at], known).answer
        return found

    def many(self, outputs: FloatArray, status: StatusArray, budget_ms: float) -> BoolArray:
        """:meth:`next`, of all rows together."""
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
            may = allowed[rows] & in_time[rows] & self._asks[state]
            rows, may = rows[may.any(axis=1)], may[may.any(axis=1)]
            if not len(rows):
                continue
            value = np.where(may, self._expected(state, outputs[rows], ok[rows]), -np.inf)
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


def _split(status: Sequence[int]) -> tuple[int, int]:
    """Which members are ``OK``, and which have ``FAILED``."""
    ok = failed = 0
    for j, each in enumerate(status):
        if each == _OK:
            ok |= 1 << j
        elif each == _FAILED:
            failed |= 1 << j
    return ok, failed


def _worth(found: tuple[float, int]) -> float:
    """What a set is chosen by, of those that ask anybody."""
    return found[0] if found[1] else -inf


class _CascadeWay(Way):
    """The way of a request: what the newest set of every row says is worked out once, for the router and the answer."""

    def __init__(self, plan: CascadePlan) -> None:
        super().__init__(plan)
        self._router = plan
        self._known: _Known = {}

    def next(self, outputs: FloatArray, status: StatusArray, budget_ms: float) -> BoolArray:
        if len(status) <= FEW:
            return self._router.few(outputs, status, budget_ms, self._known)
        return self._router.many(outputs, status, budget_ms)

    def answers(self, outputs: FloatArray, status: StatusArray) -> FloatArray | None:
        return self._router.answers(outputs, status, self._known) if len(status) <= FEW else None
