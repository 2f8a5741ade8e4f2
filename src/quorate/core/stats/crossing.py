"""The probability that a test which looks k times leaves its bounds, and when.

``Z_1 … Z_k`` at information ``t_1 < … < t_k`` are jointly normal with mean ``drift sqrt(t_i)``, and ``S_i = Z_i
sqrt(t_i)`` has independent increments. The density of S_i on the paths that are still inside is the integral of the
one before against a normal density; it is carried on Gauss-Legendre nodes, which are exact to many digits because it
is smooth.

References: P. Armitage, C. K. McPherson, B. C. Rowe, "Repeated significance tests on accumulating data", JRSS A 132,
1969; C. Jennison, B. W. Turnbull, "Group Sequential Methods with Applications to Clinical Trials", 2000, chapter 19.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_NODES = 192
WIDEST = 10.0
"""Bounds beyond this |z| are taken as this; it is passed once in 10^23 looks."""


class Exits(NamedTuple):
    """Probability ``[k]`` of leaving first at each look, above and below."""

    above: Floats
    below: Floats

    @property
    def total(self) -> float:
        """Of leaving at all."""
        return float(self.above.sum() + self.below.sum())

    def expected(self, times: Floats) -> float:
        """The mean of ``times [k]`` at the exit, or of the last where there is none."""
        leaving = self.above + self.below
        return float(leaving @ times + (1 - leaving.sum()) * times[-1])


class Inside(NamedTuple):
    """The paths that are still inside: nodes of S, their weights, the density there."""

    t: float
    nodes: Floats
    weights: Floats
    density: Floats


def exits(times: ArrayLike, bounds: ArrayLike, drift: float = 0.0) -> Exits:
    """First exits through ``|Z_i| >= bounds_i`` at information ``times [k]``, increasing; ``drift`` is E[Z] at t = 1.

    >>> round(exits(np.arange(1, 6) / 5, [2.413] * 5).total, 4)  # Pocock, five looks
    0.05
    """
    times, bounds = np.asarray(times, np.float64), np.minimum(np.asarray(bounds, np.float64), WIDEST)
    above, below = np.empty(len(times)), np.empty(len(times))
    inside: Inside | None = None
    for i, (t, bound) in enumerate(zip(times.tolist(), bounds.tolist(), strict=True)):
        edge = bound * float(np.sqrt(t))
        above[i] = passing(inside, t, edge, drift)
        below[i] = passing(inside, t, edge, drift, below=True)
        inside = step(inside, t, edge, drift)
    return Exits(above, below)


def passing(inside: Inside | None, t: float, edge: float, drift: float, *, below: bool = False) -> float:
    """The probability that S goes from inside to beyond ``edge`` (below ``-edge``) at ``t``."""
    sign = -1.0 if below else 1.0
    if inside is None:
        return float(_tail((edge - sign * drift * t) / np.sqrt(t)))
    gap = t - inside.t
    distance = (edge - sign * (inside.nodes + drift * gap)) / np.sqrt(gap)
    return float((inside.weights * inside.density) @ _tail(distance))


def step(inside: Inside | None, t: float, edge: float, drift: float) -> Inside:
    """The paths that are still within ``±edge`` at ``t``."""
    unit, weights = _legendre()
    nodes = edge * unit
    if inside is None:
        return Inside(t, nodes, edge * weights, _normal(nodes - drift * t, t))
    gap = t - inside.t
    kernel = _normal(nodes[:, None] - inside.nodes[None, :] - drift * gap, gap)
    return Inside(t, nodes, edge * weights, kernel @ (inside.weights * inside.density))


def _normal(x: Floats, variance: float) -> Floats:
    return np.asarray(np.exp(-x * x / (2 * variance)) / np.sqrt(2 * np.pi * variance))


def _tail(x: ArrayLike) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr(-np.asarray(x)))


@cache
def _legendre() -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights
