"""Confidence intervals for a proportion and for the difference of two proportions on the same rows.

They hold for a sample size fixed beforehand; looking again and again needs confidence sequences instead.

Wilson: the set of p that a score test does not reject,
``(p + z²/2n ± z sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n)``.

Newcombe's method 10 for pairs: squares and adds the distances of the Wilson limits, with the correlation phi of the
two (its numerator reduced by n/2 where positive):
``low = d - sqrt((p1 - l1)² - 2 phi (p1 - l1)(u2 - p2) + (u2 - p2)²)``, and the mirror image for the other end.

References: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927;
R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired data",
Statistics in Medicine 17, 1998.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Interval(NamedTuple):
    """An estimate and its confidence limits."""

    estimate: float
    low: float
    high: float


def normal_quantile(level: float) -> float:
    """The z of a two-sided interval; :class:`ValueError` unless ``level`` is inside (0, 1).

    >>> round(normal_quantile(0.95), 4)
    1.96
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"a confidence level lies between 0 and 1, like 0.95; got {level}.")
    return NormalDist().inv_cdf(0.5 + level / 2.0)


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion, such as accuracy.

    With ``n`` 0 nothing is known: the estimate is NaN, the limits 0 and 1. :class:`ValueError` unless
    ``0 <= successes <= n``.

    >>> [round(x, 4) for x in wilson(8, 10)]
    [0.8, 0.4902, 0.9433]
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n = {n}; got {successes}.")
    z = normal_quantile(level)
    if n == 0:
        return Interval(math.nan, 0.0, 1.0)
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # The limits at the edges are exactly 0 and 1; rounding must not say otherwise.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return Interval(p, low, high)


def paired_difference(first: NDArray[np.bool_], second: NDArray[np.bool_], level: float = 0.95) -> Interval:
    """Newcombe's interval for ``mean(first) - mean(second)``, where entry i of both, bool ``[n]``, is about row i.

    For two accuracies: which rows each answered right. With no rows the estimate is NaN, the limits -1 and 1.
    :class:`ValueError` unless both have one entry per row.

    >>> first = np.repeat([True, True, False], [14, 5, 22])
    >>> second = np.repeat([True, False, False], [14, 5, 22])
    >>> [round(x, 3) for x in paired_difference(first, second)]
    [0.122, 0.011, 0.226]
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"expected two arrays of one entry per row; got shapes {first.shape} and {second.shape}.")
    n = len(first)
    both, only_first, only_second = (
        int(np.count_nonzero(x)) for x in (first & second, first & ~second, second & ~first)
    )
    one, two = wilson(both + only_first, n, level), wilson(both + only_second, n, level)
    if n == 0:
        return Interval(math.nan, -1.0, 1.0)
    phi = _phi(both, only_first, only_second, n - both - only_first - only_second)
    difference = (only_first - only_second) / n
    below = _square_and_add(one.estimate - one.low, two.high - two.estimate, phi)
    above = _square_and_add(one.high - one.estimate, two.estimate - two.low, phi)
    return Interval(difference, difference - below, difference + above)


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    n = both + only_first + only_second + neither
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins == 0:
        return 0.0
    determinant = both * neither - only_first * only_second
    corrected = max(determinant - n / 2, 0.0) if determinant > 0 else float(determinant)
    return corrected / math.sqrt(margins)


def _square_and_add(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))
