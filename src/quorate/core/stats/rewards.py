"""Several rewards of a unit as one: the weighted sum, with weights that were set before the experiment.

The sum is a mean metric like any other. Where each reward is judged for itself as well, adjust the p-values by Holm's
method (:mod:`quorate.core.stats.multiplicity`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def scalarise(rewards: Mapping[str, ArrayLike], weights: Mapping[str, float]) -> Floats:
    """``sum weight x reward`` per unit ``[n]``; NaN where a reward with a weight is not known.

    ``rewards``: columns ``[n]`` by name, NaN where not known; those without a weight are not looked at.
    :class:`ValueError` without weights, for one that is not finite, a reward that is not there, or columns of unlike
    length.
    """
    if not weights or not all(math.isfinite(weight) for weight in weights.values()):
        raise ValueError("several rewards need a finite weight each, one at least.")
    absent = [name for name in weights if name not in rewards]
    if absent:
        raise ValueError(f"no reward named {', '.join(absent)}; there are {', '.join(rewards) or 'none'}.")
    columns = [np.asarray(rewards[name], np.float64) for name in weights]
    if any(column.ndim != 1 or column.shape != columns[0].shape for column in columns):
        raise ValueError("rewards must have one entry per unit each.")
    total = np.zeros(len(columns[0]))
    for column, weight in zip(columns, weights.values(), strict=True):
        total += weight * column
    return total


def bounds(limits: Mapping[str, tuple[float, float]], weights: Mapping[str, float]) -> tuple[float, float]:
    """The least and the most the weighted sum can be, from the bounds of each reward; for betting.

    >>> bounds({"correct": (0, 1), "ms": (0, 100)}, {"correct": 1.0, "ms": -0.01})
    (-1.0, 1.0)
    """
    ends: Sequence[tuple[float, float]] = [
        (weight * limits[name][0], weight * limits[name][1]) for name, weight in weights.items()
    ]
    return float(sum(min(end) for end in ends)), float(sum(max(end) for end in ends))
