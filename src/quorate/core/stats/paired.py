"""Two mean rewards on the same rows, with the interval of their difference; added as rows are read, none is kept.

Where rewards are 0 or 1 and every row is on its own, these are proportions: Wilson's and Newcombe's intervals.
Elsewhere rows come in independent groups (the rows of one request, the requests of a sticky unit), and the intervals
are those of :mod:`quorate.core.stats.influence`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.influence import NOTHING, Estimate, interval
from quorate.core.stats.intervals import Interval, paired_difference, wilson
from quorate.core.stats.off_policy import GROUPS

Array = NDArray[np.float64]


class Paired:
    """Sums of the rewards of a ``first`` and a ``second`` on the same rows."""

    def __init__(self, *, groups: int = GROUPS, level: float = 0.95) -> None:
        self._groups, self._level = groups, level
        self._next = 0
        self._alone = self._binary = True
        self._first, self._second, self._m = np.zeros(groups), np.zeros(groups), np.zeros(groups)
        self._both = self._only_first = self._only_second = 0

    @property
    def rows(self) -> int:
        """How many rows were added."""
        return int(self._m.sum())

    def add(
        self,
        first: Array,
        second: Array,
        decision: NDArray[np.integer] | None = None,
        unit: NDArray[np.integer] | None = None,
    ) -> None:
        """Add rows: rewards float64 ``[n]`` each; ``decision`` int ``[n]`` numbers the decisions that rows are of,
        ascending from 0 (by default each row has its own), ``unit`` are non-negative integers of sticky units."""
        n = len(first)
        if not n:
            return
        if unit is not None:
            self._alone = False
            group = np.asarray(unit, np.int64) % self._groups
        elif decision is not None:
            self._alone = self._alone and bool((np.diff(decision) > 0).all())
            group = (self._next + np.asarray(decision, np.int64)) % self._groups
            self._next = int(group[-1]) + 1
        else:
            group = (self._next + np.arange(n)) % self._groups
            self._next = int(group[-1]) + 1
        self._first += np.bincount(group, first, self._groups)
        self._second += np.bincount(group, second, self._groups)
        self._m += np.bincount(group, minlength=self._groups)
        self._binary = self._binary and bool(np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all())
        if self._binary:
            one, other = first > 0, second > 0
            self._both += int(np.count_nonzero(one & other))
            self._only_first += int(np.count_nonzero(one & ~other))
            self._only_second += int(np.count_nonzero(other & ~one))

    @property
    def proportions(self) -> bool:
        """Whether the intervals are Wilson's and Newcombe's."""
        return self._alone and self._binary

    def first(self) -> Estimate:
        """The mean of the first."""
        return self._mean(self._first, self._both + self._only_first)

    def second(self) -> Estimate:
        """The mean of the second."""
        return self._mean(self._second, self._both + self._only_second)

    def difference(self) -> Estimate:
        """The mean of the first less that of the second."""
        n = self.rows
        if not n:
            return NOTHING
        if not self.proportions:
            return self._sums(self._first - self._second)
        neither = n - self._both - self._only_first - self._only_second
        counts = [self._both, self._only_first, self._only_second, neither]
        first, second = np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)
        found = paired_difference(first, second, self._level)
        discordant = (self._only_first + self._only_second) / n
        return _with_error(found, math.sqrt(max(discordant - found.estimate**2, 0.0) / n))

    def _mean(self, sums: Array, successes: int) -> Estimate:
        n = self.rows
        if not n:
            return NOTHING
        if not self.proportions:
            return self._sums(sums)
        found = wilson(successes, n, self._level)
        return _with_error(found, math.sqrt(found.estimate * (1 - found.estimate) / n))

    def _sums(self, sums: Array) -> Estimate:
        total = float(self._m.sum())
        value = float(sums.sum()) / total
        there = self._m > 0
        return interval(value, ((sums - value * self._m) / total)[there], self._level)


def _with_error(found: Interval, error: float) -> Estimate:
    return Estimate(found.estimate, found.low, found.high, error)
