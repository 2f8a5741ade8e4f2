"""Betting against a supposed mean of values in 0..1: a confidence sequence that holds at every size, exactly.

A gambler who bets ``lambda_t`` on the values being higher than m has the capital ``prod (1 + lambda_t (x_t - m))``, a
martingale if m is the mean, so it reaches ``1 / alpha`` with probability at most alpha. Two gamblers, one betting
higher and one lower, start with half each; the means at which neither gets to ``1 / alpha`` are the interval. Bets are
cut at ``1 / (2 m)`` and ``1 / (2 (1 - m))``, so that nobody is ruined.

Each gambler again splits nine to one: with a planned effect most goes to bets of ``effect / variance``, which grow
fastest if the effect is as planned; the rest (all of it without a plan) to bets that aim at a narrow interval in the
long run.

Reference: I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86(1), 2024
(hedged capital, theorem 3).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.predictable import before, spread_bets

Floats = NDArray[np.float64]

PLANNED_SHARE = 0.9
_CUT = 0.5
_EXACT = 1e-12


class Capital(NamedTuple):
    """Log capitals of the gamblers on higher and on lower means, each started with 1."""

    higher: float
    lower: float

    @property
    def log_e(self) -> float:
        """Log of the mean of both."""
        return float(np.logaddexp(self.higher, self.lower)) - math.log(2)


def log_capitals(
    x: Floats, mean: float, alpha: float, *, effect: float | None = None, planned: int | None = None
) -> tuple[Floats, Floats]:
    """Log capital ``[…, n]`` after each of ``x […, n]``: bet on higher, and on lower values than ``mean``.

    ``effect``: the planned distance of the mean from the null, and ``planned`` the planned number of values.
    """
    bets = _bets(x, alpha, effect, planned)
    return _grown(x, mean, bets), _grown(1 - x, 1 - mean, bets)


class Gamblers:
    """Bets made on values ``x [n]`` in 0..1, in order, as in :func:`log_capitals`."""

    def __init__(self, x: Floats, alpha: float, *, effect: float | None = None, planned: int | None = None) -> None:
        self._x = x
        self._bets = _bets(x, alpha, effect, planned)

    def capital(self, mean: float) -> Capital:
        """After all of ``x``, if ``mean`` is the true one."""
        return Capital(self._last(self._x, mean), self._last(1 - self._x, 1 - mean))

    def interval(self, alpha: float) -> tuple[float, float]:
        """The means at which neither half reaches ``1 / alpha``; 0 and 1 with nothing seen."""
        if not len(self._x):
            return 0.0, 1.0
        limit = math.log(2 / alpha)
        centre = float(self._x.mean())
        return self._edge(self._x, centre, limit), 1 - self._edge(1 - self._x, 1 - centre, limit)

    def _last(self, x: Floats, mean: float) -> float:
        cut = _CUT / mean if mean > 0 else math.inf
        grown = [
            math.log(share) + float(np.log1p(np.minimum(bet, cut) * (x - mean)).sum()) for share, bet in self._bets
        ]
        return float(np.logaddexp.reduce(grown))

    def _edge(self, x: Floats, centre: float, limit: float) -> float:
        """The lowest mean that betting higher does not refute; capital falls as the mean rises."""
        from scipy.optimize import brentq

        if self._last(x, 0.0) < limit:
            return 0.0
        if self._last(x, centre) >= limit:
            return centre
        found = brentq(lambda mean: self._last(x, mean) - limit, 0.0, centre, xtol=_EXACT)
        return max(float(found) - _EXACT, 0.0)


def _bets(x: Floats, alpha: float, effect: float | None, planned: int | None) -> list[tuple[float, Floats]]:
    """Shares of the start and the bets made with them."""
    _, variance = before(x)
    spread = spread_bets(variance, alpha, planned)
    if not effect:
        return [(1.0, spread)]
    return [(PLANNED_SHARE, abs(effect) / variance), (1 - PLANNED_SHARE, spread)]


def _grown(x: Floats, mean: float, bets: list[tuple[float, Floats]]) -> Floats:
    cut = _CUT / mean if mean > 0 else math.inf
    grown = [math.log(share) + np.cumsum(np.log1p(np.minimum(bet, cut) * (x - mean)), axis=-1) for share, bet in bets]
    return np.asarray(np.logaddexp(grown[0], grown[-1]) if len(grown) > 1 else grown[0])
