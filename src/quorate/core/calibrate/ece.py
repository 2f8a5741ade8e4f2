"""How far confidences are from what comes true: reliability in bins, and the expected calibration error with limits.

    ECE = sum_b (n_b / n) |conf_b - acc_b|

over bins of equal mass of the confidence (the greatest probability): ``conf_b`` is its mean in a bin and ``acc_b`` the
share of rows whose label is true. Rows of equal confidence share a bin.

That sum is above 0 by chance alone: every bin adds the size of its noise. The gaps ``d_b = conf_b - acc_b`` are taken
as ``Normal(delta_b, s_b^2)`` with ``s_b^2 = a (1 - a) / n_b``, a being acc_b with one hit and one miss more. What noise
e adds to ``sum w_b |delta_b|`` is ``sum w_b (|delta_b + e_b| - |delta_b|)``: its size where delta is 0, its plain value
where delta is large. So

    low    the greater of two limits, each at half the level. What was seen less the upper quantile of what noise adds:
           its plain value in bins whose gap is beyond chance (above ``0.5 + sqrt(2 log B)`` times s_b, of B bins), its
           size in the others. And ``|sum w_b d_b|`` less its own noise, for the parts are no less than their sum
    high   what was seen less the lower quantile of what noise adds, at deltas of ``max(1.5 s_b, |d_b|)``
    value  the point on the path from no error to the gaps drawn to their mean (empirical Bayes) and beyond, at which
           what was seen is the mean of what would be seen: the estimate without the bias

Quantiles are of seeded draws. The limits are cautious rather than short. Resampling rows (a bootstrap) would add the
noise a second time and never come near 0.

The ECE of bins is at most that of the confidences themselves: errors of opposite sign in one bin cancel.

References: M. Naeini, G. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI
2015 (the error); A. Kumar, P. Liang, T. Ma, "Verified uncertainty calibration", NeurIPS 2019 (its bias); D. Andrews, G.
Soares, "Inference for parameters defined by moment inequalities", Econometrica 78, 2010 (which noise counts).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.intervals import wilson

BINS, LEAST_ROWS = 15, 25
"""Bins at most, and rows that each has about at least."""
LEVEL = 0.95
_DRAWS = 2000
_STEPS = 40

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
    hits = np.bincount(place, weights=np.asarray(right, np.float64)).astype(np.float64)
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
    observed, size = float(np.abs(gap) @ share), np.abs(gap)
    draws = np.random.default_rng(seed).standard_normal((_DRAWS, len(gap))) * noise
    tail = 0.5 * (1.0 - level)
    sure = size > (0.5 + math.sqrt(2.0 * math.log(len(gap)))) * noise
    added = np.where(sure, draws, np.abs(draws)) @ share
    whole = abs(float(gap @ share)) - NormalDist().inv_cdf(1.0 - 0.5 * tail) * math.sqrt(float(noise**2 @ share**2))
    low = max(0.0, observed - float(np.quantile(added, 1.0 - 0.5 * tail)), whole)
    far = np.maximum(1.5 * noise, size)
    high = min(1.0, observed - float(np.quantile((np.abs(far + draws) - far) @ share, tail)))
    value = _unbiased(gap, noise, share, observed)
    return Error(min(max(value, low), high), low, high, observed)


def _unbiased(gap: Vector, noise: Vector, share: Vector, observed: float) -> float:
    """The error at which what was observed is the mean of what would be."""
    mean = float(gap @ share)
    spread = max(0.0, float((gap - mean) ** 2 @ share - noise**2 @ share))
    likely = mean + (gap - mean) * spread / (spread + noise**2)

    def expected(at: float) -> float:
        return float(_folded(at * likely, noise) @ share)

    if expected(0.0) >= observed or not likely.any():
        return 0.0
    low, high = 0.0, 1.0
    while expected(high) < observed:
        low, high = high, 2.0 * high
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if expected(middle) < observed else (low, middle)
    return high * float(np.abs(likely) @ share)


def _folded(mean: Vector, sd: Vector) -> Vector:
    """The mean of the size of normal values."""
    z = mean / sd
    erf = np.array([math.erf(x / math.sqrt(2.0)) for x in z.tolist()])
    found: Vector = sd * math.sqrt(2.0 / math.pi) * np.exp(-0.5 * z * z) + mean * erf
    return found
