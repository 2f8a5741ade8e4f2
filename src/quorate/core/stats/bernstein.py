"""Empirical-Bernstein confidence sequence for the mean of values in 0..1, in closed form.

``(sum lambda_t x_t ± (log(2 / alpha) + sum v_t psi(lambda_t))) / sum lambda_t`` with ``v_t = 4 (x_t - mean_(t-1))²``,
``psi(l) = (-log(1 - l) - l) / 4`` and bets ``lambda_t <= 1/2`` that depend on the past only. Wider than betting, but
the interval can be recomputed by hand.

Reference: I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86(1), 2024,
theorem 2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.predictable import before, spread_bets

Floats = NDArray[np.float64]

_CUT = 0.5


class Sums(NamedTuple):
    """``sum lambda``, ``sum lambda x`` and ``sum v psi(lambda)``, each after every value, ``[…, n]``."""

    bets: Floats
    weighted: Floats
    cost: Floats

    def interval(self, alpha: float) -> tuple[float, float]:
        """Low and high, within 0..1, after all of ``n`` values; 0 and 1 with nothing seen."""
        if not len(self.bets):
            return 0.0, 1.0
        bets, weighted, cost = (float(one[-1]) for one in self)
        centre, half = weighted / bets, (math.log(2 / alpha) + cost) / bets
        return max(centre - half, 0.0), min(centre + half, 1.0)

    def log_e(self, mean: float) -> tuple[Floats, Floats]:
        """Log evidence ``[…, n]`` that the mean is higher, and lower; each of a supermartingale that starts at 1."""
        moved = self.weighted - mean * self.bets
        return moved - self.cost, -moved - self.cost


def sums(x: Floats, alpha: float, planned: int | None = None) -> Sums:
    """From ``x […, n]`` in 0..1, in order; ``planned`` is the number at which the interval is to be narrow."""
    mean, variance = before(x)
    bets = np.minimum(spread_bets(variance, alpha, planned), _CUT)
    cost = (x - mean) ** 2 * (-np.log1p(-bets) - bets)
    return Sums(*(np.cumsum(one, axis=-1) for one in (bets, bets * x, cost)))
