"""Confidence sequence for a quantile: holds at every look, for any distribution, with ties, without approximation.

Whether a value is at most x is a coin that shows 1 with probability F(x). x is refuted as too low once the count of
values up to x is evidence against ``F(x) >= q``, and as too high by the mirror image. The evidence is a mixture over
the coin's probability from a Beta(q s, (1 - q) s) cut off at q, a supermartingale for every ``F(x) >= q``. What is not
refuted lies between two order statistics.

References: S. R. Howard, A. Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
identification", Bernoulli 28(3), 2022 (beta-binomial bounds, one-sided by truncation); H. Robbins, Ann. Math. Statist.
41, 1970.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DEFAULT_SIZE = 1000
_NARROWEST = 8.0
"""A mixture is narrowest at about eight times its strength."""


def strength(planned: int | None) -> float:
    """The s of the mixture that is narrow at ``planned`` values of an arm, 1,000 without a plan."""
    return max((DEFAULT_SIZE if planned is None else planned) / _NARROWEST, 1.0)


def log_e_low(k: float, n: int, q: float, s: float) -> float:
    """Log evidence against ``F(x) >= q`` when ``k`` of ``n`` values are at most x; falls with k."""
    from scipy.special import betainc, betaln

    a, b = q * s, (1 - q) * s
    below = float(betainc(a + k, b + n - k, q))
    if below == 0:
        return -math.inf
    moved = float(betaln(a + k, b + n - k) - betaln(a, b))
    cut = math.log(below) - math.log(float(betainc(a, b, q)))
    return moved + cut - k * math.log(q) - (n - k) * math.log1p(-q)


def quantile_interval(values: Floats, q: float, alpha: float, s: float) -> tuple[float, float]:
    """Low and high for the q-quantile behind ``values [n]``; -inf and inf where they say too little.

    ``s``: :func:`strength`, chosen before the first look.
    """
    ordered = np.sort(values)
    return sorted_interval(ordered, q, alpha, s)


def sorted_interval(ordered: Floats, q: float, alpha: float, s: float) -> tuple[float, float]:
    """:func:`quantile_interval` of values that are sorted already."""
    n = len(ordered)
    limit = math.log(2 / alpha)
    few = _first(n, lambda k: log_e_low(k, n, q, s) < limit)
    many = _first(n, lambda k: log_e_low(k, n, 1 - q, s) < limit)
    # few values below are too few; all x up to that many order statistics are refuted, and mirrored from above.
    low = float(ordered[few - 1]) if few > 0 and few <= n else -math.inf
    high = float(ordered[n - many]) if many > 0 and many <= n else math.inf
    return low, high


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """The smallest k in 0..n for which ``holds``, which stays true once it is; n + 1 if there is none."""
    low, high = 0, n + 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
