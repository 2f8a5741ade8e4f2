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
FULL = 24
"""Classes up to which whole confusion matrices are counted."""
MEMORY = 0.995
"""What the logarithm of a likelihood still counts when the next one comes."""
CLIP = 1e-3
"""The least score that is taken from a member: what one that says "impossible" can do is limited."""
_LEAST = 1e-9
_MID = 1
"""The strength whose evidence weighs members one by one (:mod:`.exponents`): the second."""


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


def count(arrays: dict[str, NDArray[Any]], labels: Ints, ok: Bools, truth: int) -> None:
    """Put new counts in the place of those in ``arrays``, after members ``[m]`` said ``labels`` and ``truth`` came."""
    j = np.flatnonzero(ok)
    rates = RATES[:, None]
    if arrays["counts"].size:
        counts = arrays["counts"] * RATES[:, None, None, None]
        counts[:, j, truth, labels[j]] += 1.0
        arrays["counts"] = counts
    arrays["right"] = arrays["right"] * rates + (ok & (labels == truth))
    arrays["seen"] = arrays["seen"] * rates + ok
    classes = arrays["classes"] * rates
    classes[:, truth] += 1.0
    arrays["classes"] = classes


def priors(arrays: Arrays) -> Floats:
    """Log-probabilities of the classes, float64 ``[r, k]``."""
    classes = arrays["classes"]
    found: Floats = np.log((classes + 1.0) / (np.add.reduce(classes, axis=1, keepdims=True) + classes.shape[1]))
    return found


def evidence(arrays: Arrays, labels: Ints) -> Floats:
    """``log P_j(x_j | y)`` of what members said, float64 ``[n, m, r, s, k]``, the accuracies alone last.

    ``labels`` ``[n, m]`` are class indices; the member's axis is in their order.
    """
    n, m = labels.shape
    k = arrays["classes"].shape[1]
    said = (labels[:, :, None] == np.arange(k))[:, :, None]
    right = ((arrays["right"] + 8.0) / (arrays["seen"] + 10.0)).T[:, :, None]
    base = np.where(said, right, (1.0 - right) / max(k - 1, 1))
    found = np.empty((n, m, len(RATES), sources(k) - 1, k))
    if arrays["counts"].size:
        counts = arrays["counts"][:, np.arange(m), :, labels]
        total = np.add.reduce(arrays["counts"], axis=3).transpose(1, 0, 2)
        for i, strength in enumerate(STRENGTHS):
            np.divide(counts + strength * base, total + strength, out=found[:, :, :, i])
    found[:, :, :, -1] = base
    np.log(found, out=found)
    return found


def tables(arrays: Arrays) -> Floats:
    """The evidence of everything that members can say, float64 ``[x, m, r, s, k]``."""
    m, k = arrays["right"].shape[1], arrays["classes"].shape[1]
    return evidence(arrays, np.repeat(np.arange(k)[:, None], m, axis=1))


def member_evidence(found: Floats) -> Floats:
    """Of :func:`evidence`, that of one strength: float64 ``[n, m, r, k]``."""
    return found[:, :, :, min(_MID, found.shape[3] - 1)]


def log_scores(outputs: NDArray[Any]) -> Floats:
    """Clipped logs of members' scores ``[n, m, k]``, float64."""
    found: Floats = np.log(np.maximum(outputs, CLIP, dtype=np.float64))
    return found


def grid(prior: Floats, found: Floats, scores: Floats) -> Floats:
    """Probabilities of the classes for every source, t and b, float64 ``[n, k, r, g]``."""
    n, _, r, s, k = found.shape
    spoken = np.empty((n, k, r, s + 1))
    spoken[:, :, :, :-1] = np.add.reduce(found, axis=1).transpose(0, 3, 1, 2)
    spoken[:, :, :, -1] = np.add.reduce(scores, axis=1)[:, :, None]
    logits = spoken[..., None] * TEMPERS
    logits[:, :, :, :-1] += prior.T[:, :, None, None]
    # Classes come second, so that sums over them run along memory.
    return softmax((logits[..., None] * SHARPNESS).reshape(n, k, r, -1), 1)


def averaged(weights: Floats, probabilities: Floats) -> Floats:
    """The classes' probabilities for every rate, float64 ``[n, r, k]``: the grid by ``weights`` ``[r, g]``."""
    found: Floats = np.einsum("nkrg,rg->nrk", probabilities, weights)
    return found


def fit(before: Floats, probabilities: Floats) -> Floats:
    """Log-likelihoods after one more outcome, of which ``probabilities`` were predicted."""
    found: Floats = MEMORY * before + np.log(np.maximum(probabilities, _LEAST))
    return found


def softmax(logits: Floats, axis: int = -1) -> Floats:
    """Over one axis."""
    found = logits - np.maximum.reduce(logits, axis=axis, keepdims=True)
    np.exp(found, out=found)
    found /= np.add.reduce(found, axis=axis, keepdims=True)
    return found
