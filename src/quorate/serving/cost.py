"""What a run costs: a straight line in its rows, measured at warm-up and followed while serving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from statistics import median

from quorate.clock import Clock

INLINE_MS = 1.0
"""Up to here a run is cheaper on the event loop than a thread hand-off makes it."""

_KEEP = 0.99  # of the evidence, at each new run: the last hundred runs count
_MARGINAL = 0.1
_BENEFIT_OF_DOUBT = 2.0
_RECENT = 128
"""Runs that a tail is taken from."""
_ENOUGH = 20
FEW_TAIL = 1.5
"""Until so many runs were seen, a slow one is taken to last half as long again as a usual one."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Measured time of one run: ``fixed_ms + row_ms * rows``."""

    fixed_ms: float
    row_ms: float

    def of(self, rows: int) -> float:
        """Expected milliseconds for a batch."""
        return self.fixed_ms + self.row_ms * rows

    def inline(self, rows: int) -> bool:
        """Whether a batch is cheap enough for the event loop."""
        return self.of(rows) <= INLINE_MS

    def rows_within(self, ms: float) -> int:
        """The largest batch expected to take no longer; at least one row."""
        if self.row_ms <= 0.0:
            return 1 << 20 if self.fixed_ms <= ms else 1
        return max(1, int((ms - self.fixed_ms) / self.row_ms + 1e-9))

    @property
    def enough_rows(self) -> int:
        """The batch from which on more rows make a row at most a tenth cheaper: larger ones only add latency."""
        if self.row_ms <= 0.0:
            return 1 << 20 if self.fixed_ms > 0.0 else 1
        return max(1, ceil(self.fixed_ms / (self.row_ms * _MARGINAL) - 1e-9))


def measure(run: Callable[[int], object], clock: Clock, *, repeats: int = 7, batch: int = 16) -> Cost:
    """Median time of ``run(1)`` and ``run(batch)`` after one unmeasured run of each, as a straight line."""

    def once(rows: int) -> float:
        started = clock.monotonic()
        run(rows)
        return (clock.monotonic() - started) * 1000

    run(1), run(batch)
    single = median(once(1) for _ in range(repeats))
    many = median(once(batch) for _ in range(max(3, repeats // 2)))
    row = max(0.0, (many - single) / (batch - 1))
    return Cost(max(0.0, single - row), row)


class Curve:
    """Follows a cost while it changes (another load, another clock rate): least squares that forget.

    The measured line counts as a few runs of its own, so that it holds until there is evidence, and the slope stays
    where it was as long as all runs have the same rows.
    """

    __slots__ = ("_inline_ms", "_n", "_ratios", "_seen", "_t", "_tail", "_x", "_xt", "_xx", "cost", "largest")

    def __init__(self, cost: Cost) -> None:
        self.cost = cost
        self._ratios = [0.0] * _RECENT
        self._seen = 0
        self._tail = (0, FEW_TAIL)
        self.largest = 16
        """Rows of the largest run seen: nothing is known of much larger ones."""
        # What was measured to be cheap at rest is not taken for slow because the machine is busy for a while.
        self._inline_ms = (_BENEFIT_OF_DOUBT if cost.inline(1) else 1.0) * INLINE_MS
        rows = (1, 16)
        times = [cost.of(count) for count in rows]
        self._n = 4.0
        self._x = 2.0 * sum(rows)
        self._xx = 2.0 * sum(count * count for count in rows)
        self._t = 2.0 * sum(times)
        self._xt = 2.0 * sum(count * time for count, time in zip(rows, times, strict=True))

    def inline(self, rows: int) -> bool:
        """Whether a batch is cheap enough for the event loop."""
        return self.cost.of(rows) <= self._inline_ms

    def p95(self, rows: int) -> float:
        """Milliseconds within which nineteen of twenty runs of so many rows ended, of the last hundred or so."""
        seen, tail = self._tail
        if seen != self._seen and self._seen >= _ENOUGH:  # worked out where somebody asks, not at every run
            recent = sorted(self._ratios[: min(self._seen, _RECENT)])
            tail = recent[ceil(0.95 * len(recent)) - 1]
            self._tail = (self._seen, tail)
        return self.cost.of(rows) * tail

    def observe(self, rows: int, ms: float) -> None:
        """One run more. A run far off the line (a preempted thread) counts as three times what was expected."""
        expected = self.cost.of(rows)
        self._ratios[self._seen % _RECENT] = ms / expected if expected > 0.0 else 1.0
        self._seen += 1
        if rows <= self.largest:
            ms = min(ms, 3.0 * expected + 0.05)
        else:
            self.largest = rows
        self._n = _KEEP * self._n + 1.0
        self._x = _KEEP * self._x + rows
        self._xx = _KEEP * self._xx + rows * rows
        self._t = _KEEP * self._t + ms
        self._xt = _KEEP * self._xt + rows * ms
        spread = self._n * self._xx - self._x * self._x
        if spread > 0.01 * self._x * self._x:
            row = max(0.0, (self._n * self._xt - self._x * self._t) / spread)
            fixed = (self._t - row * self._x) / self._n
            if fixed < 0.0:  # a line through the origin fits best then
                fixed, row = 0.0, self._xt / self._xx
        else:
            row = min(self.cost.row_ms, self._t / self._x)
            fixed = max(0.0, (self._t - row * self._x) / self._n)
        self.cost = Cost(fixed, row)
