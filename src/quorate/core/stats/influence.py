"""The interval of a mean, a ratio or a difference from what each independent group contributes to its error.

An estimate ``V`` is, but for terms of smaller order, its truth plus a sum of contributions ``e_g`` of mean 0, one for
each independent group (a decision, or all decisions of one sticky unit). The standard error is
``s = sqrt(G/(G-1) sum_g e_g²)``. The limits invert Hall's cubic transformation of the studentised error
``T = (V - truth) / s``, which takes its skewness c out::

    g(T) = T + c T²/3 + c² T³/27 + c/6,    g⁻¹(z) = (3/c) ((1 + c (z - c/6))^(1/3) - 1)
    low, high = V - s g⁻¹(z), V - s g⁻¹(-z)

A few large contributions make s uncertain. As much is known of it as of a variance with
``f = 2 (sum_g e_g²)² / sum_g e_g⁴`` degrees of freedom (at most G - 1, at least 4), so z is Student's quantile with f
of them; and the skewness, more uncertain still, is ``c = f / (f + 60) sum_g e_g³ / s³``. The 60 is ours: over
simulated logs with effective sample sizes from 200 on, binary and skewed rewards, it brought coverage nearest to 95 %.
Without skewness it is the usual interval. It holds for a number of decisions fixed beforehand, not for watching.

References: P. Hall, "On the removal of skewness by transformation", JRSS B 54(1), 1992; F. Satterthwaite, "An
approximate distribution of estimates of variance components", Biometrics Bulletin 2(6), 1946 (degrees of freedom by
matching moments).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.intervals import normal_quantile


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate with its standard error and confidence limits; NaN where there is too little to say."""

    value: float
    low: float
    high: float
    standard_error: float


NOTHING = Estimate(math.nan, math.nan, math.nan, math.nan)


SHRINK = 60.0
LEAST_FREEDOM = 4.0


def interval(value: float, contributions: NDArray[np.float64], level: float = 0.95) -> Estimate:
    """The estimate ``value`` with its limits; ``contributions`` float64 ``[G]``, zeros of empty groups left out.

    With fewer than two groups the limits are NaN.

    >>> found = interval(0.5, np.array([0.01, -0.01] * 200))
    >>> [round(x, 3) for x in (found.value, found.low, found.high, found.standard_error)]
    [0.5, 0.106, 0.894, 0.2]
    """
    count = len(contributions)
    if count < 2 or not math.isfinite(value):
        return Estimate(value, math.nan, math.nan, math.nan)
    squares = np.square(contributions)
    total = float(squares.sum())
    error = math.sqrt(total * count / (count - 1))
    if error == 0.0:
        return Estimate(value, value, value, 0.0)
    shares = squares / total
    freedom = max(LEAST_FREEDOM, min(2.0 / float(shares @ shares), count - 1.0))
    skewness = freedom / (freedom + SHRINK) * float((contributions / error) @ (squares / error**2))
    z = _student_quantile(level, freedom)
    return Estimate(value, value - error * _unskewed(z, skewness), value - error * _unskewed(-z, skewness), error)


def _unskewed(z: float, skewness: float) -> float:
    """``g⁻¹(z)``; the limit for a skewness of 0 is z itself."""
    if abs(skewness) < 1e-6:
        return z
    inside = 1.0 + skewness * (z - skewness / 6.0)
    return 3.0 / skewness * (math.copysign(abs(inside) ** (1.0 / 3.0), inside) - 1.0)


def _student_quantile(level: float, freedom: float) -> float:
    """The two-sided quantile of Student's t, by its expansion in 1 / freedom (Abramowitz and Stegun 26.7.5)."""
    z = normal_quantile(level)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
