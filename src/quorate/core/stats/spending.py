"""Group-sequential bounds: alpha is spent over a fixed number of looks, little of it early.

By information fraction t, ``4 (1 - Phi(z_(alpha/4) / sqrt(t)))`` of alpha is spent (both sides together): the spending
function that resembles O'Brien and Fleming's bounds. The bound at each look is the |z| that spends what is due there.

References: K. K. G. Lan, D. L. DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70, 1983;
P. C. O'Brien, T. R. Fleming, "A multiple testing procedure for clinical trials", Biometrics 35, 1979.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats import crossing

Floats = NDArray[np.float64]

MOST_LOOKS = 200
_STEPS = 60


def spent(t: float, alpha: float) -> float:
    """How much of ``alpha``, two-sided, is spent by information fraction ``t`` in (0, 1].

    >>> round(spent(1.0, 0.05), 4)
    0.05
    """
    normal = NormalDist()
    return 4 * normal.cdf(normal.inv_cdf(alpha / 4) / t**0.5)


def obrien_fleming(looks: int, alpha: float) -> Floats:
    """The |z| ``[looks]`` at evenly spaced looks; :class:`ValueError` unless 1 <= looks <= 200 and 0 < alpha < 1.

    >>> obrien_fleming(5, 0.05).round(2).tolist()
    [4.88, 3.36, 2.68, 2.29, 2.03]
    """
    if not 1 <= looks <= MOST_LOOKS:
        raise ValueError(f"the number of looks lies between 1 and {MOST_LOOKS}; got {looks}.")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha lies between 0 and 1, like 0.05; got {alpha}.")
    return np.array(_bounds(looks, alpha))


@lru_cache(maxsize=64)
def _bounds(looks: int, alpha: float) -> tuple[float, ...]:
    found: list[float] = []
    inside: crossing.Inside | None = None
    before = 0.0
    for i in range(1, looks + 1):
        t = i / looks
        due = spent(t, alpha)
        bound = _bound(inside, t, (due - before) / 2)
        found.append(bound)
        inside = crossing.step(inside, t, bound * t**0.5, 0.0)
        before = due
    return tuple(found)


def _bound(inside: crossing.Inside | None, t: float, share: float) -> float:
    """The |z| that is passed on one side with probability ``share``."""
    low, high = 0.0, crossing.WIDEST
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if crossing.passing(inside, t, middle * t**0.5, 0.0) > share:
            low = middle
        else:
            high = middle
    return high
