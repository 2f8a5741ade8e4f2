"""Venn-Abers: isotonic regression twice, with the row supposed to be of the class and not to be.

    p0, p1 = isotonic regression of the calibration rows and (s, 0), and of these and (s, 1), at the score s
    q = p1 / (1 - p0 + p1)

Of p0 and p1 the one of the label that comes true is exactly calibrated, whatever the scores are, as long as rows are
exchangeable. They lie far apart where little is known; q is the one probability that loses least against both, in log
loss. Several classes are taken one against the rest, and divided by their sum. Both functions are steps, which are
worked out beforehand in one pass over the sorted scores.

Reference: V. Vovk, I. Petej, V. Fedorova, "Large-scale probabilistic predictors with and without guarantees of
validity", NIPS 2015 (inductive: section 3, the pass: algorithms 1 to 4, the merging: section 4).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.calibrate.base import Calibration, Matrix, keys_of, normalised, one_against_rest
from quorate.core.calibrate.isotonic import Vector, grouped
from quorate.core.types import FloatArray, State

Point = tuple[float, float]


class VennAbers(Calibration):
    """Arrays: ``thresholds`` float64 ``[t]``, ascending, map c's in 2c..2c+1; ``lower`` and ``upper`` ``[t + maps]``:
    p0 and p1 before the first threshold of a map, and after each of them."""

    kind = "venn-abers"

    def fitted(self, scores: Matrix, y: NDArray[np.int64]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """See :meth:`Calibration.fitted`."""
        keys = keys_of(scores.astype(np.float32))
        thresholds, lower, upper = [], [], []
        for column, label in enumerate(one_against_rest(scores.shape[1])):
            x, means, weights = grouped(keys[:, column], y == label)
            p0, p1 = steps(means, weights)
            kept = (np.diff(p0) != 0) | (np.diff(p1) != 0)
            after = np.concatenate([[True], kept])
            thresholds.append(x[kept])
            lower.append(p0[after])
            upper.append(p1[after])
        arrays = {"thresholds": thresholds, "lower": lower, "upper": upper}
        return {}, {name: np.concatenate(parts) for name, parts in arrays.items()}

    def probabilities(self, scores: FloatArray, state: State) -> Matrix:
        """See :meth:`Calibration.probabilities`."""
        p0, p1 = self.pairs(scores, state)
        return normalised(p1 / (1.0 - p0 + p1), scores)

    def pairs(self, scores: FloatArray, state: State) -> tuple[Matrix, Matrix]:
        """p0 and p1 ``[n, maps]`` of every class against the rest; of two classes, of the second one."""
        keys, arrays = keys_of(scores), state.arrays
        block = np.arange(keys.shape[1])  # each map has one value more than thresholds
        p0 = arrays["lower"][np.searchsorted(arrays["thresholds"], keys, side="right") + block]
        p1 = arrays["upper"][np.searchsorted(arrays["thresholds"], keys, side="left") + block]
        if np.isnan(keys).any():
            p0, p1 = (np.where(np.isnan(keys), np.nan, p) for p in (p0, p1))
        return p0, p1

    def wrong(self, state: State, classes: int) -> str | None:
        """See :meth:`Calibration.wrong`."""
        maps = len(one_against_rest(classes))
        thresholds = state.arrays.get("thresholds")
        if thresholds is None or thresholds.ndim != 1 or not np.isfinite(thresholds).all():
            return "array 'thresholds'"
        within = (np.diff(thresholds) > 0).all() and (thresholds >= 0).all() and (thresholds % 2 <= 1).all()
        if not within or (len(thresholds) and thresholds[-1] > 2 * maps - 1):
            return "array 'thresholds'"
        for name in ("lower", "upper"):
            found = state.arrays.get(name)
            if found is None or found.shape != (len(thresholds) + maps,) or not ((found >= 0) & (found <= 1)).all():
                return f"array '{name}'"
        return None


def steps(means: Vector, weights: Vector) -> tuple[Vector, Vector]:
    """p0 and p1 ``[g + 1]`` for g groups of rows with equal scores, ascending: the share of hits in each and its rows.

    ``p1[i]`` is that of a score above i groups' and at most the next one's; ``p0[i]`` of one at or above i groups' and
    below the next one's.
    """
    hits = means * weights
    upper = _upper(hits, weights)
    # A row of no class, seen from above, is a row of the class, seen from below.
    lower = 1.0 - _upper((weights - hits)[::-1], weights[::-1])[::-1]
    return lower, upper


def _upper(hits: Vector, weights: Vector) -> Vector:
    """p1 for a score in each group, and 1 above all: slopes of the greatest convex minorant of the cumulative sums,
    where one row of the class is put into one group after the other."""
    points: list[Point] = [(0.0, 0.0)]
    for w, s in zip(weights.tolist(), np.rint(hits).tolist(), strict=True):
        points.append((points[-1][0] + w, points[-1][1] + s))
    corner: list[Point] = [(-1.0, -1.0)]
    for point in points:
        _convex(corner, point)
    corner.reverse()  # the leftmost is on top
    found = []
    moved = (-1.0, -1.0)
    for before, point in pairwise(points):
        found.append(_slope(corner[-1], corner[-2]))
        moved = (moved[0] + point[0] - before[0], moved[1] + point[1] - before[1])
        if _turn(corner[-1], corner[-2], moved) < 0:
            corner.pop()
            _convex(corner, moved, leftwards=True)
    return np.array([*found, 1.0])


def _convex(corner: list[Point], point: Point, *, leftwards: bool = False) -> None:
    """Add a point to the corners of a convex line, without those that are none any more."""
    while len(corner) > 1:
        a, b, c = (point, corner[-1], corner[-2]) if leftwards else (corner[-2], corner[-1], point)
        if _turn(a, b, c) > 0:
            break
        corner.pop()
    corner.append(point)


def _turn(a: Point, b: Point, c: Point) -> float:
    """Above 0 where c lies above the line from a to b, below 0 where below it (a left of b)."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _slope(a: Point, b: Point) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])
