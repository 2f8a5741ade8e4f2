"""When a straggling run gets a second try elsewhere, and how many runs may get one.

A run is given a second try once it has taken clearly longer than 95 of 100 runs of that member; few runs need one, and
those are the ones that make up the tail. (J. Dean and L. A. Barroso, "The Tail at Scale", Communications of the ACM
56(2), 2013, pp. 74-80: hedged requests.) The share of runs is bounded as well: when everything is slow, a second try of
everything would double the load that made it slow.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import ceil

from quorate.serving.cost import Cost, Curve

QUANTILE = 0.95
CLEARLY = 1.25
"""Times as long as that a run takes before it is hedged: where all runs take about as long, none is a straggler."""
FLOOR_MS = 5.0
"""A run that takes no longer is never hedged: the event loop itself may be late by that."""
SHARE = 0.05
"""Second tries per run, at most."""
BURST = 5.0
"""Second tries that may be saved up while none is needed."""
ENOUGH = 20
"""Runs that must have been seen before one can be said to be slow."""
KEEP = 200
"""Runs that are remembered: a member that became slower for good is soon as slow as usual."""


class Hedging:
    """The run times of one member's processes, as multiples of what its rows should cost, and a token bucket."""

    __slots__ = ("_curve", "_latest", "_ratios", "_tokens")

    def __init__(self, cost: Cost) -> None:
        self._curve = Curve(cost)
        self._latest: deque[float] = deque()
        self._ratios: list[float] = []
        self._tokens = 0.0

    def expected_ms(self, rows: int) -> float:
        """What a run of so many rows costs, as far as is known."""
        return self._curve.cost.of(rows)

    def ran(self, rows: int, ms: float) -> None:
        """One run more was answered, the slower of two tries included: leaving those out would make it look fast."""
        ratio = ms / max(self.expected_ms(rows), 1e-3)
        self._curve.observe(rows, ms)
        if len(self._latest) == KEEP:
            del self._ratios[bisect_left(self._ratios, self._latest.popleft())]
        self._latest.append(ratio)
        insort(self._ratios, ratio)

    def after_ms(self, rows: int) -> float | None:
        """How long a run of so many rows is waited for before it is tried elsewhere; None while too little is known."""
        known = len(self._ratios)
        if known < ENOUGH:
            return None
        return max(FLOOR_MS, CLEARLY * self._ratios[ceil(QUANTILE * known) - 1] * self.expected_ms(rows))

    def earn(self) -> None:
        """A run began, and with it a share of a second try is earned."""
        self._tokens = min(BURST, self._tokens + SHARE)

    def take(self) -> bool:
        """Spend a second try; False if there is none left."""
        # 20 times 0.05 is a little less than 1.
        if self._tokens < 1.0 - 1e-9:
            return False
        self._tokens -= 1.0
        return True
