"""What each member says when the truth is y: counts, and the class that all members together speak for.

For member j and forgetting rate r, ``C_j[y, x]`` counts outcomes with truth y to which it said x; with each outcome all
counts of the rate shrink to r times themselves. With prior strength s around a member that is right with one accuracy
``a_j = (right + 8) / (seen + 10)`` and wrong evenly, Dirichlet counts give

    P_j(x | y) = (C_j[y, x] + s B_j[y, x]) / (C_j[y, .] + s),   B_j = a_j if x = y else (1 - a_j) / (k - 1)

and the class ``P(y | x) ~ exp(b (log P(y) + t sum_j log P_j(x_j | y)))``. Members that err together would be counted
several times by t = 1, which is right for independent ones; b makes the probabilities as sharp as they prove to be
without changing the label. Members' scores enter as one more source: the sum of their logs, without the prior, which is
in them already. Strength, t and b are weighed by how likely they made the outcomes, within each rate; the
logarithms of likelihoods are forgotten too (Raftery et al. 2010, eq. 15), as a rate that was best may not stay so.

A member that did not answer speaks for no class. With more than :data:`FULL` classes only accuracies are counted.

References: A. P. Dawid, A. M. Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm",
Applied Statistics 28, 1979; A. E. Raftery, M. Karny, P. Ettler, "Online prediction under model uncertainty via dynamic
model averaging", Technometrics 52, 2010; P. Grunwald, T. van Ommen, "Inconsistency of Bayesian inference for
misspecified linear models, and a proposal for repairing it", Bayesian Analysis 12, 2017 (tempered likelihoods).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Arrays = Mapping[str, NDArray[Any]]

RATES = np.array([1.0, 0.998, 0.99, 0.95])
"""What an outcome still counts when the next one comes: for ever, or half after 350, 70 and 14 outcomes."""
STRENGTHS = (5.0, 50.0)
"""Outcomes that the prior of a member's row is worth; a third source is the prior alone."""
TEMPERS = np.array([1.0, 0.5, 0.25])
SHARPNESS = np.array([1.0, 0.5, 0.25])
"""Powers of two."""
FULL = 24
"""Classes up to which whole confusion matrices are counted."""
MEMORY = 0.995
"""What the logarithm of a likelihood still counts when the next one comes."""
CLIP = 1e-3
"""The least score that is taken from a member: what one that says "impossible" can do is limited."""
_LEAST = 1e-9


def sources(k: int) -> int:
    """How many: each strength and the accuracies alone, and the members' scores."""
    return (len(STRENGTHS) if k <= FULL else 0) + 2


def start(m: int, k: int) -> dict[str, NDArray[Any]]:
    """Nothing seen of ``m`` members over ``k`` classes."""
    r, wide = len(RATES), k if k <= FULL else 0
    return {
        "counts": np.zeros((r, m, wide, wide)),
        "right": np.zeros((r, m)),
        "seen": np.zeros((r, m)),
        "classes": np.zeros((r, k)),
        "fit": np.zeros((r, sources(k) * len(TEMPERS) * len(SHARPNESS))),
    }


def priors(classes: Floats) -> Floats:
    """Log-probabilities of the classes, float64 ``[..., k]``, of their counts."""
    found: Floats = np.log((classes + 1.0) / (np.add.reduce(classes, axis=-1, keepdims=True) + classes.shape[-1]))
    return found


def evidence(arrays: Arrays, labels: Ints) -> Floats:
    """``log P_j(x_j | y)`` of what members said, float64 ``[n, m, r, s, k]``, the accuracies alone last.

    ``labels`` ``[n, m]`` are class indices; the member's axis is in their order.
    """
    m, k = labels.shape[1], arrays["classes"].shape[1]
    base = alone(labels, arrays["right"].T, arrays["seen"].T, k)
    if not arrays["counts"].size:
        return smoothed(base)
    counts = arrays["counts"][:, np.arange(m), :, labels]
    return smoothed(base, counts, np.add.reduce(arrays["counts"], axis=3).transpose(1, 0, 2))


def alone(labels: Ints, right: Floats, seen: Floats, k: int) -> Floats:
    """What a member's accuracy alone says, float64 ``[n, m, r, k]``; ``right`` and ``seen`` ``[..., m, r]``."""
    said = (labels[:, :, None] == np.arange(k))[:, :, None]
    accuracy = ((right + 8.0) / (seen + 10.0))[..., None]
    found: Floats = np.where(said, accuracy, (1.0 - accuracy) / max(k - 1, 1))
    return found


def smoothed(base: Floats, counts: Floats | None = None, total: Floats | None = None) -> Floats:
    """The evidence ``[n, m, r, s, k]`` of ``base`` alone and around it, where ``counts`` of what was said, of ``total``
    ``[..., m, r, k]``, are kept."""
    n, m, r, k = base.shape
    found = np.empty((n, m, r, 1 if counts is None else 1 + len(STRENGTHS), k))
    if counts is not None and total is not None:
        for i, strength in enumerate(STRENGTHS):
            np.divide(counts + strength * base, total + strength, out=found[:, :, :, i])
    found[:, :, :, -1] = base
    np.log(found, out=found)
    return found


def tables(arrays: Arrays) -> Floats:
    """The evidence of everything that members can say, float64 ``[m, x, k, r, s]``."""
    m, k = arrays["right"].shape[1], arrays["classes"].shape[1]
    found = evidence(arrays, np.repeat(np.arange(k)[:, None], m, axis=1))
    return np.ascontiguousarray(found.transpose(1, 0, 4, 2, 3))


def log_scores(outputs: NDArray[Any]) -> Floats:
    """Clipped logs of members' scores ``[n, m, k]``, float64."""
    found: Floats = np.log(np.maximum(outputs, CLIP, dtype=np.float64))
    return found


def grid(prior: Floats, summed: Floats, scores: Floats) -> Floats:
    """Probabilities of the classes for every source, t and b, float64 ``[n, k, r, g]``.

    ``prior`` ``[r, k]``, or ``[n, r, k]`` by row; ``summed`` ``[n, k, r, s]`` is the evidence of all members together,
    ``scores`` ``[n, m, k]`` their log-scores.
    """
    n, k, r, s = summed.shape
    spoken = np.empty((n, k, r, s + 1))
    spoken[..., :-1] = summed
    spoken[..., -1] = np.add.reduce(scores, axis=1)[:, :, None]
    # Products of a column with a row take less time than broadcasting over an axis of three.
    logits = (spoken.reshape(-1, 1) @ TEMPERS[None]).reshape(n, k, r, s + 1, -1)
    logits[:, :, :, :-1] += prior.swapaxes(-1, -2)[..., None, None]
    # Powers of two scale exactly, so the greatest may be taken away first. Classes come second, so that sums over them
    # run along memory.
    logits -= np.maximum.reduce(logits, axis=1, keepdims=True)
    found: Floats = (logits.reshape(-1, 1) @ SHARPNESS[None]).reshape(n, k, r, -1)
    np.exp(found, out=found)
    found /= np.add.reduce(found, axis=1, keepdims=True)
    return found


def averaged(weights: Floats, probabilities: Floats) -> Floats:
    """The classes' probabilities for every rate, float64 ``[n, r, k]``: the grid by ``weights`` ``[r, g]``, or
    ``[n, r, g]`` by row."""
    by = "rg" if weights.ndim == 2 else "nrg"
    found: Floats = np.einsum(f"nkrg,{by}->nrk", probabilities, weights)
    return found


def before(start: Floats, probabilities: Floats) -> tuple[Floats, Floats]:
    """Log-likelihoods ``[n, ...]`` before each of n outcomes, of which ``probabilities`` were predicted, and after."""
    found = np.empty(probabilities.shape)
    logs = np.log(np.maximum(probabilities, _LEAST))
    now = start
    for i in range(len(logs)):
        found[i] = now
        now = MEMORY * now + logs[i]
    return found, now


def softmax(logits: Floats, axis: int = -1) -> Floats:
    """Over one axis."""
    found = logits - np.maximum.reduce(logits, axis=axis, keepdims=True)
    np.exp(found, out=found)
    found /= np.add.reduce(found, axis=axis, keepdims=True)
    return found
