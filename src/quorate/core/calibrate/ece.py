"""How far confidences are from what comes true: reliability in bins, and the expected calibration error with limits.

    ECE = sum_b (n_b / n) |conf_b - acc_b|

over bins of equal mass of the confidence (the greatest probability): ``conf_b`` is its mean in a bin and ``acc_b`` the
share of rows whose label is true. Rows of equal confidence share a bin.

That sum is above 0 by chance alone: every bin adds the size of its noise. So three numbers are told, all of the same
model, ``d_b ~ Normal(delta_b, s_b^2)`` with ``d_b = conf_b - acc_b`` and ``s_b^2 = a (1 - a) / n_b``, a being acc_b
with one hit and one miss more. The true errors are taken to lie on a path: from none, to the observed ones less their
noise (``d_b max(0, 1 - s_b^2 / d_b^2)``), and on beyond these. ``low`` and ``high`` are the ECE where the path has what
was observed as its upper and lower quantile (a test of every point, inverted), ``value`` where it is the mean: the
estimate without the bias. Quantiles and means are of seeded draws. Resampling rows (a bootstrap) would add the noise a
second time and never come near 0.

The ECE of bins is at most that of the confidences themselves: errors of opposite sign in one bin cancel.

References: M. Naeini, G. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI
2015 (the error); A. Kumar, P. Liang, T. Ma, "Verified uncertainty calibration", NeurIPS 2019 (its bias).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.intervals import wilson

BINS, LEAST_ROWS = 15, 25
"""Bins at most, and rows that each has about at least."""
LEVEL = 0.95
_DRAWS = 4000
_STEPS = 30

Vector = NDArray[np.float64]


class Bin(NamedTuple):
    """Rows whose confidence lies from ``start`` to ``stop``: their mean ``confidence``, and the share that was right
    with its limits (Wilson)."""

    start: float
    stop: float
    confidence: float
    accuracy: float
    low: float
    high: float
    rows: int


class Error(NamedTuple):
    """The expected calibration error without its bias, and its limits; ``observed`` is the plain sum."""

    value: float
    low: float
    high: float
    observed: float


class Reliability(NamedTuple):
    """Bins, ascending, the error, and how many rows that rests on."""

    bins: tuple[Bin, ...]
    error: Error
    rows: int


def reliability(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], *, bins: int = BINS, level: float = LEVEL, seed: int = 0
) -> Reliability | None:
    """Bins and error of confidences ``[n]`` and whether each answer was right, bool ``[n]``; None without rows."""
    if not len(confidence):
        return None
    n = len(confidence)
    values = np.asarray(confidence, np.float64)
    place = _places(values, max(1, min(bins, n // LEAST_ROWS)))
    rows = np.bincount(place)
    hits = np.bincount(place, weights=right)
    mean = np.bincount(place, weights=values) / rows
    found = []
    for b, count in enumerate(rows.tolist()):
        mine = values[place == b]
        share = wilson(int(hits[b]), count, level)
        found.append(
            Bin(float(mine.min()), float(mine.max()), float(mean[b]), share.estimate, share.low, share.high, count)
        )
    return Reliability(tuple(found), _error(mean - hits / rows, hits, rows, level, seed), n)


def of_answers(
    answers: NDArray[np.floating], truths: NDArray[np.integer], *, level: float = LEVEL, seed: int = 0
) -> Reliability | None:
    """The same of probabilities ``[n, k]`` and true class indices ``[n]``."""
    label = answers.argmax(axis=1) if len(answers) else np.zeros(0, np.int64)
    confidence = answers[np.arange(len(answers)), label]
    return reliability(confidence, label == truths, level=level, seed=seed)


def _places(values: Vector, bins: int) -> NDArray[np.intp]:
    """The bin of each value ``[n]``, of equal mass as far as equal values allow; none is empty."""
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf"))
    place: NDArray[np.intp] = np.searchsorted(edges, values, side="left")
    return np.unique(place, return_inverse=True)[1].reshape(-1)


def _error(gap: Vector, hits: Vector, rows: NDArray[np.intp], level: float, seed: int) -> Error:
    share = rows / rows.sum()
    smoothed = (hits + 1.0) / (rows + 2.0)
    noise = np.sqrt(smoothed * (1.0 - smoothed) / rows)
    real = gap * np.maximum(0.0, 1.0 - (noise / np.where(gap == 0, np.inf, gap)) ** 2)
    beyond = noise * np.where(gap < 0, -1.0, 1.0)
    draws = np.random.default_rng(seed).standard_normal((_DRAWS, len(gap))) * noise
    observed = float(np.abs(gap) @ share)

    def errors(at: float) -> Vector:
        return min(at, 1.0) * real + max(at - 1.0, 0.0) * beyond

    def where(of: Callable[[Vector], float]) -> float:
        """The ECE at which ``of`` the sums that would be observed is what was observed."""
        low, high = 0.0, 1.0

        def told(at: float) -> float:
            sums: Vector = np.abs(errors(at) + draws) @ share
            return of(sums)

        if told(0.0) >= observed:
            return 0.0
        while told(high) < observed and high < 2.0**10:
            low, high = high, 2.0 * high
        for _ in range(_STEPS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if told(middle) < observed else (low, middle)
        return float(np.abs(errors(high)) @ share)

    tail = 0.5 * (1.0 - level)
    low = where(lambda sums: float(np.quantile(sums, 1.0 - tail)))
    value = where(lambda sums: float(sums.mean()))
    high = where(lambda sums: float(np.quantile(sums, tail)))
    return Error(value, low, min(high, 1.0), observed)
