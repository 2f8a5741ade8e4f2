"""Means over the newest rows of each strategy, kept in parts, so that the state stays small.

A strategy's window has 20 parts. A part is full when it has a 20th of ``window_rows``, or spans a 19th of
``window_s``; then the oldest part makes place for a new one. So the window holds between 19/20 of its rows and all of
them, and a part counts until its newest row is older than ``window_s`` before the latest request so far. A row that
is older than that when it comes is left out and counted. Times that go backward change nothing but the age of their
row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
PARTS = 20
_FIELDS = ("counts", "sums", "oldest", "newest")


def empty(k: int) -> Arrays:
    """Windows of ``k`` strategies that saw nothing."""
    nothing = {name: np.zeros((k, PARTS)) for name in ("counts", "sums")}
    times = {name: np.full((k, PARTS), np.nan) for name in ("oldest", "newest")}
    return nothing | times | {"head": np.zeros(k, np.int64), "clock": np.full(1, np.nan), "late": np.zeros(1)}


class Windows:
    """A copy of the windows in a state, to add rows to."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], rows: int | None, seconds: float | None) -> None:
        self._counts, self._sums, self._oldest, self._newest = (arrays[name].tolist() for name in _FIELDS)
        self._head: list[int] = arrays["head"].tolist()
        self.clock: float = float(arrays["clock"][0])
        self._late = float(arrays["late"][0])
        self._capacity = math.inf if rows is None else math.ceil(rows / PARTS)
        self._seconds = math.inf if seconds is None else seconds
        self._span = self._seconds / (PARTS - 1)

    def tick(self, at: float) -> None:
        """A request arrived at ``at``; NaN: nobody knows when."""
        if not at <= self.clock and math.isfinite(at):
            self.clock = at

    def add(self, strategy: int, value: float, at: float) -> None:
        """One row of a strategy; its time was ticked before."""
        at = at if math.isfinite(at) else self.clock
        if at < self.clock - self._seconds:
            self._late += 1
            return
        head = self._head[strategy]
        counts, oldest, newest = self._counts[strategy], self._oldest[strategy], self._newest[strategy]
        if counts[head] >= self._capacity or at - oldest[head] > self._span:
            head = self._head[strategy] = (head + 1) % PARTS
            counts[head] = self._sums[strategy][head] = 0.0
            oldest[head] = newest[head] = math.nan
        if not counts[head]:
            oldest[head] = newest[head] = at
        elif at > newest[head]:
            newest[head] = at
        counts[head] += 1.0
        self._sums[strategy][head] += value

    def means(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """By strategy: the mean in its window, NaN where it is empty, and the rows in it."""
        counts = np.array(self._counts)
        if math.isfinite(self._seconds):
            counts[np.array(self._newest) < self.clock - self._seconds] = 0.0
        rows = counts.sum(1)
        total = np.where(counts > 0.0, np.array(self._sums), 0.0).sum(1)
        return np.where(rows > 0.0, total / np.maximum(rows, 1.0), np.nan), rows

    def arrays(self) -> Arrays:
        """As they are put into a state."""
        values = (self._counts, self._sums, self._oldest, self._newest)
        found: Arrays = {name: np.array(each, np.float64) for name, each in zip(_FIELDS, values, strict=True)}
        return found | {
            "head": np.array(self._head, np.int64),
            "clock": np.array([self.clock]),
            "late": np.array([self._late]),
        }
