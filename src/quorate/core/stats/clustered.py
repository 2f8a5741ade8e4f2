"""The mean of a metric over rows that come in clusters: rows of one decision are not independent of each other.

With n_i rows adding up to s_i in cluster i of m, the mean is the ratio ``R = sum s / sum n`` and its variance, by
linearisation, ``m / (m - 1) * sum (s_i - R n_i)² / (sum n)²``. With one row each it is the usual standard error.

Reference: W. G. Cochran, Sampling Techniques, 3rd edition, 1977, sections 2.11 and 9A.
"""

from __future__ import annotations

import math

from quorate.core.stats.intervals import Interval, normal_quantile


def clustered_mean(
    clusters: float, rows: float, row_squares: float, total: float, squares: float, cross: float, level: float = 0.95
) -> Interval:
    """The mean by row and its normal confidence limits, from the sums over clusters of 1, n, n², s, s² and n s.

    For a sample size fixed beforehand, and enough clusters for the normal limit. With fewer than two clusters the
    limits are infinite; with none the mean is NaN.

    >>> [round(x, 3) for x in clustered_mean(4, 4, 4, 6.0, 14.0, 6.0)]
    [1.5, 0.235, 2.765]
    """
    if rows <= 0:
        return Interval(math.nan, -math.inf, math.inf)
    mean = total / rows
    if clusters < 2:
        return Interval(mean, -math.inf, math.inf)
    # Rounding may leave a small negative number where all are equal.
    spread = max(squares - 2 * mean * cross + mean * mean * row_squares, 0.0)
    half = normal_quantile(level) * math.sqrt(spread * clusters / (clusters - 1)) / rows
    return Interval(mean, mean - half, mean + half)
