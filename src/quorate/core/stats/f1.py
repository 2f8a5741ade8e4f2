"""Macro-averaged F1 and its bootstrap interval.

``F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c)``, averaged over the classes that occur in the truth or among the predictions.

The bootstrap is stratified: each true class keeps its number of rows, as in a stratified split. Resampling a class's
rows with replacement is drawing its row of the confusion matrix from a multinomial, so no row is ever touched. Limits
are bias-corrected and accelerated (BCa), the acceleration from the jackknife, which has one value per cell.

Reference: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 14.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.intervals import Interval, normal_quantile, wilson

# Resamples per step, so that many classes do not need gigabytes.
_CELLS_AT_ONCE = 4_000_000


def confusion(truth: NDArray[Any], predicted: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Counts int64 ``[k, k]``: row true class, column predicted class; both given as indices ``[n]`` below ``k``.

    :class:`ValueError` if the lengths differ or an index is out of range.
    """
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if truth.ndim != 1 or truth.shape != predicted.shape:
        raise ValueError(f"expected two arrays of one index per row; got shapes {truth.shape} and {predicted.shape}.")
    if truth.size and not (min(truth.min(), predicted.min()) >= 0 and max(truth.max(), predicted.max()) < k):
        raise ValueError(f"class indices must lie in 0..{k - 1}.")
    return np.bincount(truth * k + predicted, minlength=k * k).reshape(k, k)


def macro_f1(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Macro F1 of confusion matrices ``[…, k, k]`` as float64 ``[…]``; NaN for one without rows.

    >>> round(float(macro_f1(np.array([[3, 1], [0, 4]]))), 4)
    0.873
    """
    counts = np.asarray(counts)
    twice_right = 2.0 * np.diagonal(counts, axis1=-2, axis2=-1)
    occurs = counts.sum(axis=-1) + counts.sum(axis=-2)
    f1 = np.divide(twice_right, occurs, out=np.zeros(twice_right.shape), where=occurs > 0)
    classes = (occurs > 0).sum(axis=-1)
    mean: NDArray[np.float64] = np.divide(
        f1.sum(axis=-1), classes, out=np.full(classes.shape, np.nan), where=classes > 0
    )
    return mean


def macro_f1_interval(
    counts: NDArray[np.int64], rng: np.random.Generator, level: float = 0.95, resamples: int = 2000
) -> Interval:
    """BCa interval for macro F1 from a confusion matrix ``[k, k]`` (:func:`confusion`).

    Where no prediction is wrong, every resample is perfect too and the bootstrap would claim certainty; the low limit
    is then Wilson's for accuracy. Without rows the estimate is NaN, the limits 0 and 1.
    """
    counts = np.asarray(counts, np.int64)
    n = int(counts.sum())
    right = int(np.trace(counts))
    estimate = float(macro_f1(counts))
    z = normal_quantile(level)
    if right == n:
        return wilson(right, n, level)
    replicates = _resample(counts, rng, resamples)
    low, high = np.quantile(replicates, _bca_levels(counts, estimate, replicates, z))
    # A skewed bootstrap can leave the estimate just outside; it belongs to its own interval.
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))


def _resample(counts: NDArray[np.int64], rng: np.random.Generator, resamples: int) -> NDArray[np.float64]:
    rows = counts.sum(axis=1)
    present = rows > 0
    shares = counts[present] / rows[present, None]
    step = max(1, _CELLS_AT_ONCE // counts.size)
    found = []
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = np.zeros((size, *counts.shape), np.int64)
        drawn[:, present] = rng.multinomial(rows[present], shares, size=(size, len(shares)))
        found.append(macro_f1(drawn))
    return np.concatenate(found)


def _bca_levels(counts: NDArray[np.int64], estimate: float, replicates: NDArray[np.float64], z: float) -> list[float]:
    """The quantiles of the replicates to read, for the limits at -z and z."""
    normal = NormalDist()
    size = len(replicates)
    below = np.count_nonzero(replicates < estimate) + np.count_nonzero(replicates == estimate) / 2
    bias = normal.inv_cdf(min(max(below, 0.5), size - 0.5) / size)
    cells = np.argwhere(counts > 0)
    multiplicity = counts[cells[:, 0], cells[:, 1]]
    left_out = np.repeat(counts[None], len(cells), axis=0)
    left_out[np.arange(len(cells)), cells[:, 0], cells[:, 1]] -= 1
    jackknife = macro_f1(left_out)
    centred = np.average(jackknife, weights=multiplicity) - jackknife
    spread = float((multiplicity * centred**2).sum())
    acceleration = float((multiplicity * centred**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    levels = []
    for limit in (-z, z):
        shifted = bias + limit
        scale = 1 - acceleration * shifted
        levels.append(normal.cdf(bias + shifted / scale) if scale > 0 else float(limit > 0))
    return levels
