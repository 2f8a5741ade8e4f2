"""Interleaved rounds, and what may be said of the numbers that come out of them.

A machine is never quiet: its speed drifts, and other work comes and goes. So every system is measured once a round,
and two systems are compared within rounds, where both met the same weather.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from math import comb
from statistics import median
from typing import NamedTuple


def schedule(systems: Sequence[str], rounds: int, seed: int) -> Iterator[tuple[str, ...]]:
    """The order of the systems in each round: drawn anew for every first of two rounds, reversed in the second.

    >>> list(schedule(["a", "b"], 2, seed=1)) in ([("a", "b"), ("b", "a")], [("b", "a"), ("a", "b")])
    True
    """
    rng = random.Random(seed)
    order: list[str] = []
    for number in range(rounds):
        order = order[::-1] if number % 2 else rng.sample(list(systems), len(systems))
        yield tuple(order)


class Interval(NamedTuple):
    """A median with the order statistics around it, and how surely the true median lies between them."""

    low: float
    middle: float
    high: float
    coverage: float


def median_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The narrowest interval of order statistics that covers the median with ``level``, whatever the distribution.

    ``x_(k) .. x_(n+1-k)`` covers it with ``1 - 2 P(B < k)``, B binomial(n, 1/2). Fewer than 6 values cannot reach
    0.95: then it is minimum to maximum, with the lower coverage that has.

    >>> median_interval([3, 1, 2])
    Interval(low=1, middle=2, high=3, coverage=0.75)
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    ordered = sorted(values)
    n = len(ordered)
    k = max((k for k in range(1, (n + 1) // 2 + 1) if _coverage(n, k) >= level), default=1)
    return Interval(ordered[k - 1], median(ordered), ordered[n - k], _coverage(n, k))


def _coverage(n: int, k: int) -> float:
    return 1.0 - 2 * sum(comb(n, i) for i in range(k)) / float(2**n)


def ratio(values: Sequence[float], reference: Sequence[float]) -> Interval:
    """The median of the ratios within rounds, with its interval; a single value (a limit) holds for all rounds."""
    rounds = max(len(values), len(reference))
    values, reference = (list(v) * rounds if len(v) == 1 else v for v in (values, reference))
    return median_interval([a / b for a, b in zip(values, reference, strict=True)])
