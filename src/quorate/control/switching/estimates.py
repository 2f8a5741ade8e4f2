"""Estimates with intervals from sums and histograms, and the difference of two that are independent.

A difference takes the distances of both limits together: ``low = d - sqrt((a - l_a)² + (u_b - b)²)`` and the mirror
image (G. Y. Zou, A. Donner, "Construction of confidence limits about effect measures", Statistics in Medicine 27,
2008); of two Wilson intervals that is Newcombe's method 10. All intervals are of 95 %, for one look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.histogram import LogHistogram
from quorate.core.stats.intervals import Interval, normal_quantile

Z = normal_quantile(0.95)


class Sums(NamedTuple):
    """Sums over decisions with n rows that have a metric, adding up to s: of 1, n, n², s, s² and n s."""

    decisions: int = 0
    rows: int = 0
    row_squares: int = 0
    total: float = 0.0
    squares: float = 0.0
    cross: float = 0.0

    def plus(self, other: Sums) -> Sums:
        """Both together."""
        counts = (a + b for a, b in zip(self[:3], other[:3], strict=True))
        return Sums(*counts, *(a + b for a, b in zip(self[3:], other[3:], strict=True)))


def mean(sums: Sums) -> Interval | None:
    """The mean by row; rows of one decision belong together. None without two decisions.

    Its variance is that of a ratio: ``sum (s - m n)² / (sum n)² * d / (d - 1)``.
    """
    m, variance = _ratio(sums)
    if variance is None:
        return None
    half = Z * math.sqrt(variance)
    return Interval(m, m - half, m + half)


def proportion(sums: Sums) -> Interval | None:
    """Wilson's interval for a share of rows, of as many rows as are worth what the decisions' rows say; None without.

    Rows that come together say less than as many that do not: the effective number is ``m (1 - m) / variance``, at
    most that of the rows. Where all rows are alike it is the number of decisions.
    """
    if not sums.rows:
        return None
    m, variance = _ratio(sums)
    if variance is None or not 0.0 < m < 1.0 or variance == 0.0:
        n = float(sums.decisions)
    else:
        n = min(m * (1 - m) / variance, float(sums.rows))
    return wilson(m, n)


def wilson(share: float, n: float) -> Interval:
    """Wilson's interval for a share seen ``n`` times; ``n`` need not be whole.

    >>> [round(x, 4) for x in wilson(0.8, 10)]
    [0.8, 0.4902, 0.9433]
    """
    centre = share + Z * Z / (2 * n)
    half = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    low = 0.0 if share <= 0.0 else (centre - half) / scale
    high = 1.0 if share >= 1.0 else (centre + half) / scale
    return Interval(share, low, high)


def difference(after: Interval, before: Interval) -> Interval:
    """``after - before``, of two estimates that know nothing of each other."""
    d = after.estimate - before.estimate
    low = d - math.hypot(after.estimate - after.low, before.high - before.estimate)
    high = d + math.hypot(after.high - after.estimate, before.estimate - before.low)
    return Interval(d, low, high)


def combined(parts: Sequence[tuple[float, Interval]]) -> Interval:
    """The sum of independent estimates times their weights, which may be negative.

    >>> low_high = combined([(1.0, Interval(5.0, 4.0, 7.0)), (-1.0, Interval(2.0, 1.0, 2.5))])
    >>> low_high == difference(Interval(5.0, 4.0, 7.0), Interval(2.0, 1.0, 2.5))
    True
    """
    below = above = 0.0
    for weight, each in parts:
        down, up = each.estimate - each.low, each.high - each.estimate
        if weight < 0:
            down, up = up, down
        below += (weight * down) ** 2
        above += (weight * up) ** 2
    estimate = math.fsum(weight * each.estimate for weight, each in parts)
    return Interval(estimate, estimate - math.sqrt(below), estimate + math.sqrt(above))


def paired(gains: NDArray[np.float64], *, bounded: bool) -> Interval | None:
    """The mean of differences on the same rows, one per decision; None with fewer than two.

    ``bounded``: they are differences of shares, in -1..1. Then half a gain of 1 and half a loss of 1 are added, so that
    the interval does not vanish where no row differs (A. Agresti, Y. Min, "Simple improved confidence intervals for
    comparing matched proportions", Statistics in Medicine 24, 2005).
    """
    n = len(gains)
    if n < 2:
        return None
    total, squares = float(gains.sum()), float((gains**2).sum())
    if bounded:
        centre = total / (n + 2)
        half = Z * math.sqrt(max(squares + 1 - total * total / (n + 2), 0.0)) / (n + 2)
        return Interval(total / n, max(centre - half, -1.0), min(centre + half, 1.0))
    half = Z * float(gains.std(ddof=1)) / math.sqrt(n)
    return Interval(total / n, total / n - half, total / n + half)


def quantile(histograms: Sequence[tuple[float, LogHistogram]], q: float) -> Interval | None:
    """A quantile of a mixture of histograms with weights, between the order statistics that a normal rank allows.

    Of one histogram the ranks are ``n q ± z sqrt(n q (1 - q))``; of several, n is the number that is worth as much.
    None where a part with weight is empty.
    """
    parts = [(weight, histogram) for weight, histogram in histograms if weight > 0]
    if not parts or any(not histogram.count for _, histogram in parts):
        return None
    total = math.fsum(weight for weight, _ in parts)
    masses: dict[float, float] = {}
    for weight, histogram in parts:
        for value, count in values(histogram):
            masses[value] = masses.get(value, 0.0) + weight / total * count / histogram.count
    n = 1.0 / math.fsum((weight / total) ** 2 / histogram.count for weight, histogram in parts)
    spread = Z * math.sqrt(q * (1 - q) / n)
    return Interval(*(_at(masses, share) for share in (q, q - spread, q + spread)))


def values(histogram: LogHistogram) -> list[tuple[float, int]]:
    """Each bucket's value and count, smallest first."""
    kept = histogram.to_dict()
    a = kept["relative_error"]
    log_base = math.log((1 + a) / (1 - a))
    found = [((1 - a) * math.exp(int(i) * log_base), count) for i, count in kept["counts"].items()]
    return sorted([(0.0, kept["zeros"])] * bool(kept["zeros"]) + found)


def _at(masses: dict[float, float], share: float) -> float:
    seen = 0.0
    value = 0.0
    for value in sorted(masses):
        seen += masses[value]
        if seen > share:
            break
    return value


def _ratio(sums: Sums) -> tuple[float, float | None]:
    if not sums.rows:
        return math.nan, None
    m = sums.total / sums.rows
    if sums.decisions < 2:
        return m, None
    spread = max(sums.squares - 2 * m * sums.cross + m * m * sums.row_squares, 0.0)
    return m, spread / sums.rows**2 * sums.decisions / (sums.decisions - 1)
