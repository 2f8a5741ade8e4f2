"""Evidence against "no difference" that may be looked at as often as one likes, on the scale of z.

Let z be the estimate's distance from a supposed value in standard errors. Under that value ``S = z sqrt(I)``, with the
information ``I = 1 / se²``, is asymptotically a Brownian motion in time I, and for every d ``exp(d S - d² I / 2)`` is
a martingale that starts at 1. So is any average over d, which is then an e-process: it reaches ``1 / alpha`` at some
time with probability at most alpha (Ville). The values not refuted are a confidence sequence.

*normal*: d from N(0, t²), ``r = t² I``: ``e = (1 + r)^(-1/2) exp(z² r / (2 (1 + r)))``. This is Robbins' mixture, the
mSPRT of Johari et al., and the asymptotic confidence sequence of Waudby-Smith et al.; they differ in how t is chosen.

*points*: d = ±effect, half each, ``a = effect sqrt(I)``: ``e = exp(-a² / 2) cosh(a z)``. Near the best for an effect
of the planned size, but its interval never gets narrower than ± effect / 2.

*tuned*: nine tenths points, one tenth normal with t = effect. That costs ``log(10/9)`` of evidence at the planned
effect, and intervals shrink to nothing in the long run.

References: H. Robbins, "Statistical methods related to the law of the iterated logarithm", Ann. Math. Statist. 41,
1970; R. Johari, P. Koomen, L. Pekelis, D. Walsh, "Always valid inference", Operations Research 70(3), 2022; I.
Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic
confidence sequences", Annals of Statistics 52(6), 2024.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

POINTS_SHARE = 0.9
_STEPS = 60


def log_e_normal(z: ArrayLike, r: ArrayLike) -> Floats:
    """Log evidence of the normal mixture; ``z`` and ``r = t² I >= 0`` broadcast."""
    z, r = np.asarray(z, np.float64), np.asarray(r, np.float64)
    return np.asarray(z * z * r / (2 * (1 + r)) - np.log1p(r) / 2)


def log_e_points(z: ArrayLike, a: ArrayLike) -> Floats:
    """Log evidence of the two points; ``z`` and ``a = effect / se >= 0`` broadcast."""
    z, a = np.asarray(z, np.float64), np.asarray(a, np.float64)
    return np.asarray(_log_cosh(a * z) - a * a / 2)


def log_e_tuned(z: ArrayLike, a: ArrayLike) -> Floats:
    """Log evidence of the tuned mixture; ``z`` and ``a = effect / se >= 0`` broadcast."""
    a = np.asarray(a, np.float64)
    normal = math.log(1 - POINTS_SHARE) + log_e_normal(z, a * a)
    return np.asarray(np.logaddexp(math.log(POINTS_SHARE) + log_e_points(z, a), normal))


def z_normal(r: ArrayLike, alpha: float) -> Floats:
    """The |z| at which :func:`log_e_normal` is ``log(1 / alpha)``: ``sqrt((1 + r) / r (log(1 + r) - 2 log(alpha)))``.

    Infinite where ``r`` is 0.

    >>> round(float(z_normal(7.94, 0.05)), 3)
    3.035
    """
    r = np.asarray(r, np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(np.sqrt((1 + 1 / r) * (np.log1p(r) - 2 * math.log(alpha))))


def z_points(a: ArrayLike, alpha: float) -> Floats:
    """The |z| at which :func:`log_e_points` is ``log(1 / alpha)``; infinite where ``a`` is 0."""
    a = np.asarray(a, np.float64)
    target = a * a / 2 - math.log(alpha)
    with np.errstate(divide="ignore"):
        # arccosh(x) = log(x) + log(1 + sqrt(1 - x^-2)), which does not overflow.
        return np.asarray((target + np.log1p(np.sqrt(-np.expm1(-2 * target)))) / a)


def z_tuned(a: ArrayLike, alpha: float) -> Floats:
    """The |z| at which :func:`log_e_tuned` is ``log(1 / alpha)``; infinite where ``a`` is 0."""
    a = np.asarray(a, np.float64)
    # Where one part alone reaches the level, the sum has reached it.
    high = np.minimum(z_points(a, alpha * POINTS_SHARE), z_normal(a * a, alpha * (1 - POINTS_SHARE)))
    low = np.zeros_like(high)
    usable = np.isfinite(high)
    for _ in range(_STEPS):
        middle = np.where(usable, (low + high) / 2, 0.0)
        reached = log_e_tuned(middle, a) >= -math.log(alpha)
        low, high = np.where(reached, low, middle), np.where(reached & usable, middle, high)
    return np.asarray(high)


def tuned_for(n: float, alpha: float) -> float:
    """The t² per unit of information at which :func:`z_normal` is about the smallest at information ``n``.

    ``(-2 log(alpha) + log(1 - 2 log(alpha))) / n``, Waudby-Smith et al. 2024, appendix on tuning.

    >>> round(tuned_for(1.0, 0.05), 2)
    7.94
    """
    doubled = -2 * math.log(alpha)
    return (doubled + math.log1p(doubled)) / n


def _log_cosh(x: Any) -> Any:
    size = np.abs(x)
    return size + np.log1p(np.exp(-2 * size)) - math.log(2)
