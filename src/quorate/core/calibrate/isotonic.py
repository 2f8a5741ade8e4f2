"""Isotonic regression of each class against the rest: the probability that a class is true, as a step up in its score.

    f_c = argmin over non-decreasing f of sum_i (f(s_ic) - [y_i = c])^2,    q_c = f_c(s_c) / sum_j f_j(s_j)

by pooling adjacent violators; between the scores it was fitted on, f is interpolated. It assumes nothing but the order,
and needs many rows for that: below about a thousand it says 0 and 1 where it has only not seen otherwise. For two
classes one map does for both.

References: B. Zadrozny, C. Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD
2002; M. Ayer et al., "An empirical distribution function for sampling with incomplete information", Annals of
Mathematical Statistics 26, 1955 (the pooling).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.calibrate.base import Calibration, Matrix, keys_of, normalised, one_against_rest
from quorate.core.types import FloatArray, State

Vector = NDArray[np.float64]


class Isotonic(Calibration):
    """Arrays: ``thresholds`` float64 ``[t]``, ascending, map c's in 2c..2c+1, and ``values`` ``[t]`` at them."""

    kind = "isotonic"

    def fitted(self, scores: Matrix, y: NDArray[np.int64]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """See :meth:`Calibration.fitted`."""
        keys = keys_of(scores.astype(np.float32))
        thresholds, values = [], []
        for column, label in enumerate(one_against_rest(scores.shape[1])):
            x, means, weights = grouped(keys[:, column], y == label)
            at, level = corners(x, non_decreasing(means, weights))
            low, high = 2.0 * column, 2.0 * column + 1.0  # flat beyond what was seen
            thresholds += [np.array([low]), at, np.array([high])]
            values += [level[:1], level, level[-1:]]
        return {}, {"thresholds": np.concatenate(thresholds), "values": np.concatenate(values)}

    def probabilities(self, scores: FloatArray, state: State) -> Matrix:
        """See :meth:`Calibration.probabilities`."""
        keys = keys_of(scores)
        maps = np.interp(keys.ravel(), state.arrays["thresholds"], state.arrays["values"]).reshape(keys.shape)
        return normalised(maps, scores)

    def wrong(self, state: State, classes: int) -> str | None:
        """See :meth:`Calibration.wrong`."""
        thresholds, values = (state.arrays.get(name) for name in ("thresholds", "values"))
        edges = 2.0 * np.arange(len(one_against_rest(classes)))
        if thresholds is None or thresholds.ndim != 1 or not _ascending(thresholds):
            return "array 'thresholds'"
        if not np.isin(np.concatenate([edges, edges + 1.0]), thresholds).all():
            return "array 'thresholds'"
        if values is None or values.shape != thresholds.shape or not ((values >= 0) & (values <= 1)).all():
            return "array 'values'"
        return None


def grouped(keys: Vector, hit: NDArray[np.bool_]) -> tuple[Vector, Vector, Vector]:
    """Distinct keys, ascending, with the share of hits at each and how many rows it has."""
    distinct, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
    weights = counts.astype(np.float64)
    return distinct, np.bincount(place.reshape(-1), weights=hit, minlength=len(distinct)) / weights, weights


def non_decreasing(means: Vector, weights: Vector) -> Vector:
    """The closest non-decreasing values ``[n]`` to ``means`` under ``weights``, in least squares.

    >>> non_decreasing(np.array([1.0, 0.0, 2.0]), np.ones(3)).tolist()
    [0.5, 0.5, 2.0]
    """
    level: list[float] = []
    weight: list[float] = []
    size: list[int] = []
    for mean, w in zip(means.tolist(), weights.tolist(), strict=True):
        count = 1
        while level and level[-1] >= mean:
            before = weight.pop()
            mean = (mean * w + level.pop() * before) / (w + before)
            w += before
            count += size.pop()
        level.append(mean)
        weight.append(w)
        size.append(count)
    return np.repeat(np.array(level), size)


def corners(x: Vector, level: Vector) -> tuple[Vector, Vector]:
    """What is needed of a step function to interpolate it: the ends of every run of equal values."""
    kept = np.ones(len(x), bool)
    kept[1:-1] = (level[1:-1] != level[:-2]) | (level[1:-1] != level[2:])
    return x[kept], level[kept]


def _ascending(values: NDArray[Any]) -> bool:
    return bool(np.isfinite(values).all() and (np.diff(values) >= 0).all())
