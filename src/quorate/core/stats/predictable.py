"""Running mean and variance of values in 0..1 that use only what came before, and the bets that are made from them.

``mean_t = (1/2 + sum x) / (t + 1)``, ``variance_t = (1/4 + sum (x_i - mean_i)²) / (t + 1)``; bet t sees those of t - 1.

Reference: I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86(1), 2024,
equations 15 and 26.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def before(x: Floats) -> tuple[Floats, Floats]:
    """Mean and variance ``[…, n]`` as known before each of ``x […, n]``, whose values lie in 0..1."""
    if not x.shape[-1]:
        return x.copy(), x.copy()
    count = np.arange(1, x.shape[-1] + 1)
    mean = (0.5 + np.cumsum(x, axis=-1)) / (count + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2, axis=-1)) / (count + 1)
    first = (*x.shape[:-1], 1)
    return (
        np.concatenate([np.full(first, 0.5), mean[..., :-1]], axis=-1),
        np.concatenate([np.full(first, 0.25), variance[..., :-1]], axis=-1),
    )


def spread_bets(variance: Floats, alpha: float, planned: int | None) -> Floats:
    """Bets ``[…, n]`` from the variance before each: ``sqrt(2 log(2 / alpha) / (variance m))``.

    m is the planned size, or ``t log(1 + t)`` without a plan.
    """
    t = np.arange(1, variance.shape[-1] + 1)
    size = t * np.log1p(t) if planned is None else float(planned)
    return np.asarray(np.sqrt(2 * math.log(2 / alpha) / (variance * size)))
