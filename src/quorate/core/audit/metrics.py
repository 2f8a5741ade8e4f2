"""Metrics of an audit as means over rows, so that values, their differences and their errors are linear in rows.

A row's contribution is oriented so that higher is better. Accuracy, log loss, Brier score, squared and absolute error
are means as they stand. Macro F1 is not; its contributions are its value plus the influence of each row on it::

    z_i = F + (n / K) sum_c [ 2 tp_ic - F_c (1{y_i = c} + 1{said_i = c}) ] / (n_c + said_c)

over the K classes that occur or are said, F_c the F1 of class c. Their mean is exactly F, and their variance that of F
but for terms of smaller order (the delta method).

Reference: F. Hampel, "The influence curve and its role in robust estimation", JASA 69, 1974.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.f1 import confusion, macro_f1

Array = NDArray[np.float64]

ACCURACY, LOG_LOSS, BRIER, MACRO_F1, MSE, MAE = "accuracy", "log_loss", "brier", "macro_f1", "mse", "mae"
OF_CLASSES = (ACCURACY, LOG_LOSS, BRIER, MACRO_F1)
OF_VALUES = (MSE, MAE)
HIGHER_IS_BETTER = frozenset({ACCURACY, MACRO_F1})
LEAST_PROBABILITY = float(np.finfo(np.float32).eps)
MARGINS = {ACCURACY: 0.005, LOG_LOSS: 0.01, BRIER: 0.005, MACRO_F1: 0.005}
"""What may be lost by default; of squared and absolute errors it is :data:`SHARE` of the error itself."""
SHARE = 0.01


def contributions(metric: str, answers: NDArray[Any], truth: NDArray[Any]) -> Array:
    """Contributions ``[n]`` of answers ``[n, k]`` to a metric; ``truth`` ``[n]`` are class indices or numbers.

    >>> contributions("accuracy", np.array([[0.2, 0.8], [0.9, 0.1]]), np.array([1, 1])).tolist()
    [1.0, 0.0]
    """
    if metric in OF_VALUES:
        error = answers[:, 0].astype(np.float64) - truth
        found: Array = -np.square(error) if metric == MSE else -np.abs(error)
        return found
    at = np.arange(len(truth))
    if metric == LOG_LOSS:
        likelihood: Array = np.log(np.maximum(answers[at, truth].astype(np.float64), LEAST_PROBABILITY))
        return likelihood
    if metric == BRIER:
        scores = answers.astype(np.float64)
        distance: Array = 2 * scores[at, truth] - 1.0 - np.einsum("nk,nk->n", scores, scores)
        return distance
    said = answers.argmax(axis=1)
    if metric == ACCURACY:
        right: Array = (said == truth).astype(np.float64)
        return right
    return _f1(said, truth, answers.shape[1])


def _f1(said: NDArray[np.intp], truth: NDArray[Any], k: int) -> Array:
    counts = confusion(truth, said, k)
    occurs = counts.sum(axis=0) + counts.sum(axis=1)
    there = occurs > 0
    whole = float(macro_f1(counts))
    weight = np.divide(len(truth) / np.count_nonzero(there), occurs, out=np.zeros(k), where=there)
    of_class = np.divide(2.0 * np.diagonal(counts), occurs, out=np.zeros(k), where=there)
    lost = weight * of_class
    found: Array = whole + np.where(said == truth, 2 * (weight - lost)[truth], -lost[truth] - lost[said])
    return found


def nothing(metric: str, truth: NDArray[Any], k: int) -> Array:
    """What a pool without members answers ``[k]``: the classes' frequencies, or the mean (of absolute errors the
    median) of the numbers."""
    if metric in OF_VALUES:
        return np.array([np.median(truth) if metric == MAE else np.mean(truth)], np.float64)
    return np.bincount(truth, minlength=k) / len(truth)


def natural(metric: str, value: float) -> float:
    """A value as it is usually written: losses and errors are positive."""
    return value if metric in HIGHER_IS_BETTER else -value
