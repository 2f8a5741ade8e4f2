"""Estimates and standard errors of many experiments at many looks at once, from running sums.

The formulas are those of :mod:`quorate.core.stats.difference` for one experiment; ``tests/benchmarks/decisions`` holds
the two together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.compare import Metric, Sample

Floats = NDArray[np.float64]


class Sums(NamedTuple):
    """Running sums ``[runs, looks]`` of one arm: units, y, y², and with a second column x (denominator, covariate): x,
    x², xy.
    """

    n: Floats
    y: Floats
    yy: Floats
    x: Floats
    xx: Floats
    xy: Floats


def sums(sample: Sample, chosen: NDArray[np.int64], step: int) -> Sums:
    """Of the units ``chosen [runs, n]`` of a pool, after each ``step`` units; n is a multiple of it."""
    runs, n = chosen.shape

    def running(column: Floats) -> Floats:
        return np.cumsum(column.reshape(runs, n // step, step).sum(axis=-1), axis=-1)

    y = sample.values[chosen]
    second = sample.denominators if sample.denominators is not None else sample.covariates
    count = np.broadcast_to(np.arange(1, n // step + 1) * float(step), (runs, n // step))
    if second is None:
        nothing = np.zeros((runs, n // step))
        return Sums(count, running(y), running(y * y), nothing, nothing, nothing)
    x = second[chosen]
    return Sums(count, running(y), running(y * y), running(x), running(x * x), running(x * y))


def difference(metric: Metric, control: Sums, treatment: Sums, *, cuped: bool) -> tuple[Floats, Floats]:
    """Estimate and standard error ``[runs, looks]`` of treatment - control."""
    if cuped:
        return _cuped(control, treatment)
    (first, v0), (second, v1) = (_arm(metric, arm) for arm in (control, treatment))
    return second - first, np.sqrt(v0 + v1)


def _arm(metric: Metric, arm: Sums) -> tuple[Floats, Floats]:
    n = arm.n
    if metric.kind == "binary":
        share = (arm.y + 1) / (n + 2)
        return arm.y / n, share * (1 - share) / n
    if metric.kind == "ratio":
        value = arm.y / arm.x
        squares = arm.yy - 2 * value * arm.xy + value**2 * arm.xx
        return value, squares / (n - 1) / n / (arm.x / n) ** 2
    return arm.y / n, (arm.yy - arm.y**2 / n) / (n - 1) / n


def _cuped(control: Sums, treatment: Sums) -> tuple[Floats, Floats]:
    together = sum(arm.xy - arm.x * arm.y / arm.n for arm in (control, treatment))
    spread = sum(arm.xx - arm.x**2 / arm.n for arm in (control, treatment))
    theta = np.asarray(together / spread)
    means, variances = [], []
    for arm in (control, treatment):
        means.append(arm.y / arm.n - theta * arm.x / arm.n)
        y = arm.yy - arm.y**2 / arm.n
        x, xy = arm.xx - arm.x**2 / arm.n, arm.xy - arm.x * arm.y / arm.n
        variances.append((y - 2 * theta * xy + theta**2 * x) / (arm.n - 1) / arm.n)
    return means[1] - means[0], np.sqrt(variances[0] + variances[1])
