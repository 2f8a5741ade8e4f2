"""Means of several contributions on the same rows, with intervals that hold together.

Rows come in groups (the rows of a request, the requests of a sticky unit) that are independent of each other. With
``e_gq`` what group g contributes to the error of mean q, its standard error is ``s_q = sqrt(G/(G-1) sum_g e_gq²)``. The
means share rows, so their errors are correlated; the critical value c of all intervals ``mean_q ± c s_q`` together is
the quantile of the largest ``|sum_g xi_g e_gq| / s_q`` over standard normal xi (the multiplier bootstrap: the rows are
resampled alike for all means), stretched as Student's t is for the groups there are.

Where rows hardly ever differ, an observed variance of 0 is no certainty: a gain and a loss of ``least``, one row each,
are added to the squares, as Agresti and Min add to the cells of a table of pairs.

References: V. Chernozhukov, D. Chetverikov, K. Kato, "Gaussian approximations and multiplier bootstrap for maxima of
sums of high-dimensional random vectors", Annals of Statistics 41(6), 2013; A. Agresti, Y. Min, "Simple improved
confidence intervals for comparing matched proportions", Statistics in Medicine 24, 2005.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.influence import Estimate
from quorate.core.stats.intervals import normal_quantile

Array = NDArray[np.float64]

DRAWS = 2000
MOST_GROUPS = 2048
"""Independent groups beyond that are put together: sums of independent ones are independent too."""


def together(
    contributions: Array,
    group: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    least: float = 0.0,
    more: Array | None = None,
) -> list[Estimate]:
    """The means of ``contributions`` ``[n, q]`` with intervals that hold together at ``level``.

    ``group`` int64 ``[n]`` says which rows belong together. ``more`` ``[q]`` are further independent standard errors.
    With fewer than two groups the limits are NaN.

    >>> rng = np.random.default_rng(0)
    >>> (one,) = together(np.repeat([[0.0], [1.0]], 50, axis=0), np.arange(100), rng)
    >>> round(one.value, 2), round(one.low, 2), round(one.high, 2)
    (0.5, 0.4, 0.6)
    """
    n, q = contributions.shape
    if not n:
        return [Estimate(math.nan, math.nan, math.nan, math.nan)] * q
    means = contributions.mean(axis=0)
    parts = errors(contributions, group)
    if len(parts) < 2:
        return [Estimate(value, math.nan, math.nan, math.nan) for value in means.tolist()]
    squares = np.square(parts)
    spread = squares.sum(axis=0)
    scale = np.sqrt(spread)
    moving = scale > 0
    single = normal_quantile(level)
    critical = single
    if moving.any():
        drawn = rng.standard_normal((DRAWS, len(parts))) @ (parts[:, moving] / scale[moving])
        critical = max(single, float(np.quantile(np.abs(drawn).max(axis=1), level)))
    count = len(parts)
    variance = spread * count / (count - 1) + 2 * (least / n) ** 2
    if more is not None:
        variance = variance + np.square(more)
    freedom = np.divide(2 * spread**2, np.square(squares).sum(axis=0), out=np.full(q, np.inf), where=moving)
    freedom = np.clip(freedom, 4.0, count - 1.0) if count > 5 else np.full(q, max(count - 1.0, 1.0))
    error = np.sqrt(variance)
    half = (critical + (critical**3 + critical) / (4 * freedom)) * error
    return [
        Estimate(*each) for each in zip(*(a.tolist() for a in (means, means - half, means + half, error)), strict=True)
    ]


def errors(contributions: Array, group: NDArray[np.int64]) -> Array:
    """What each independent group contributes to the errors of the means: float64 ``[G, q]``, of at most so many."""
    n = len(contributions)
    found, places = np.unique(group, return_inverse=True)
    places = places.reshape(-1)
    count = len(found)
    if count > MOST_GROUPS:
        places, count = places % MOST_GROUPS, MOST_GROUPS
    centred = contributions - contributions.mean(axis=0)
    sums = np.zeros((count, contributions.shape[1]))
    np.add.at(sums, places, centred)
    return sums / n


def standard_error(contributions: Array, group: NDArray[np.int64]) -> float:
    """Of the mean of contributions ``[n]``; infinite with fewer than two groups."""
    parts = errors(contributions[:, None], group)
    count = len(parts)
    return math.sqrt(float(np.square(parts).sum()) * count / (count - 1)) if count > 1 else math.inf
