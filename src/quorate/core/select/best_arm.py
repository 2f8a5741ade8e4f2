"""The probability that each strategy is the best one, by integration: ``p_k = ∫ f_k(y) prod_{j != k} F_j(y) dy``.

``f`` and ``F`` are densities and distribution functions of independent posteriors. This is what Thompson sampling
draws with; sampling from the posteriors to find it would be slow, and say 0 where it is small.

Between knots, each density is a polynomial through its values at 8 Gauss-Legendre nodes, so F at the nodes is a
matrix product. The knots of a strategy are narrow around its mode and widen with the distance; all strategies' knots
are joined, so each is resolved whatever the scale of the others. The error is about 1e-12
(``tests/core/select/test_best_arm.py``).

The mean of a Bernoulli strategy, Beta(a, b), is integrated over its logit, where the density ``σ(y)^a σ(-y)^b`` has
no poles; that of a normal one is Student's t.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.polynomial import legendre

from quorate.core.select.evidence import Floats

_ORDER = 8
_NODES, _WEIGHTS = legendre.leggauss(_ORDER)
_FAR = 40.0
"""Where a density has fallen by e^-40, integration ends."""


def _primitive() -> Floats:
    """``B[i, j]``: the integral from -1 to node i of the polynomial that is 1 at node j and 0 at the others."""
    high = legendre.legvander(_NODES, _ORDER)
    integrals = np.empty((_ORDER, _ORDER))
    integrals[:, 0] = _NODES + 1.0
    for n in range(1, _ORDER):  # (2n + 1) ∫ P_n = P_(n+1) - P_(n-1), which is 0 at -1
        integrals[:, n] = (high[:, n + 1] - high[:, n - 1]) / (2 * n + 1)
    found: Floats = integrals @ np.linalg.inv(high[:, :_ORDER])
    return found


_PRIMITIVE = _primitive()


def of_betas(a: Floats, b: Floats) -> Floats:
    """Probabilities ``[k]`` that each of independent Beta(a, b) is the largest; ``a`` and ``b`` ``[k]``, above 0.

    >>> of_betas(np.array([2.0, 1.0]), np.array([1.0, 1.0])).round(12).tolist()
    [0.666666666667, 0.333333333333]
    """

    def log_density(y: Floats) -> Floats:
        low, high = np.logaddexp(0.0, -y), np.logaddexp(0.0, y)  # -log σ(y), -log σ(-y)
        found: Floats = -(a[:, None] * low + b[:, None] * high)
        return found

    knots = []
    for one, other in zip(a.tolist(), b.tolist(), strict=True):
        scale = min(1.0, math.sqrt((one + other) / one / other))
        left, right = (8.5 * scale + _FAR / rate for rate in (one, other))
        knots.append(math.log(one / other) + _offsets(scale, left, right))
    return _integrate(log_density, np.concatenate(knots))


def of_students(location: Floats, scale: Floats, freedom: Floats) -> Floats:
    """Probabilities ``[k]`` that each of independent t variables is the largest; ``scale`` and ``freedom`` above 0.

    >>> of_students(np.array([1.0, 0.0]), np.array([1.0, 1.0]), np.array([1.0, 1.0])).round(9).tolist()  # Cauchy
    [0.647583618, 0.352416382]
    """

    def log_density(y: Floats) -> Floats:
        z = (y - location[:, None]) / scale[:, None]
        found: Floats = -(freedom[:, None] + 1.0) / 2.0 * np.log1p(z * z / freedom[:, None])
        return found

    knots = []
    for middle, unit, degrees in zip(location.tolist(), scale.tolist(), freedom.tolist(), strict=True):
        fallen = min(2.0 * _FAR / (degrees + 1.0), 46.0)
        reach = unit * math.sqrt(degrees * math.expm1(fallen))
        knots.append(middle + _offsets(unit * min(1.0, math.sqrt(degrees)), reach, reach))
    return _integrate(log_density, np.concatenate(knots))


def _offsets(scale: float, left: float, right: float) -> Floats:
    """Knots around a mode at 0: 0.75 scales apart up to 7.5, then farther and farther apart."""

    def side(reach: float) -> list[float]:
        found = [0.75 * scale * i for i in range(1, 11)]
        while found[-1] < reach:
            found.append(found[-1] * 1.4)
        return found

    return np.array([-x for x in reversed(side(left))] + [0.0] + side(right))


def _integrate(log_density: Callable[[Floats], Floats], knots: Floats) -> Floats:
    knots = np.unique(knots)
    half = np.diff(knots) / 2.0
    y = (knots[:-1] + half)[:, None] + half[:, None] * _NODES
    logs = log_density(y.ravel())
    f = np.exp(logs - logs.max(1, keepdims=True)).reshape(len(logs), *y.shape)
    masses = (f @ _WEIGHTS) * half
    total = masses.sum(1)
    before = np.cumsum(masses, axis=1) - masses
    cumulative = (before[:, :, None] + (f @ _PRIMITIVE.T) * half[:, None]) / total[:, None, None]
    np.clip(cumulative, 0.0, 1.0, out=cumulative)
    # The product over all others, without a division: of those before and those after.
    ones = np.ones_like(cumulative[:1])
    ahead = np.cumprod(np.concatenate([ones, cumulative[:-1]]), axis=0)
    behind = np.cumprod(np.concatenate([ones, cumulative[:0:-1]]), axis=0)[::-1]
    p = np.einsum("kmg,mg->k", f * ahead * behind, _WEIGHTS * half[:, None]) / total
    found: Floats = p / p.sum()
    return found
