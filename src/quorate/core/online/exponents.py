"""A log-linear pool whose exponents are learned: how much each member counts beside the others.

``P(y) ~ exp(e_0 log P(y) + sum_j e_j log P_j(x_j | y) + sum_j f_j log s_j(y))`` with the classes' prior, the members'
confusion evidence (:mod:`.confusion`) and their log-scores. Two members that always say the same get half the exponent
each: what tempering does for all alike, this does for each, and for scores f_j is a member's own temperature.

Exponents are learned by online Newton steps on the log loss, that is a Gaussian posterior moved by every outcome
(an extended Kalman filter): with features F ``[d, k]``, q the prediction and y the truth,
``Q <- r Q + (1 - r) Q_0 + F (diag(q) - q q') F'`` and ``e <- e + Q^-1 F (onehot(y) - q)``.

References: G. E. Hinton, "Training products of experts by minimizing contrastive divergence", Neural Computation 14,
2002; Y. Ollivier, "Online natural gradient as a Kalman filter", Electronic Journal of Statistics 12, 2018.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.online.confusion import RATES, Arrays, Floats, Ints, softmax

KEEPS = np.array([0, 2])
"""Of :data:`~quorate.core.online.confusion.RATES`, those with exponents."""
SPREAD = 0.3
"""Standard deviation of an exponent before anything was seen."""
_MID = 1
"""Of the strengths, that whose evidence is weighed: the second."""


def start(m: int) -> dict[str, NDArray[Any]]:
    """Every member's evidence counts alike, their scores do not yet."""
    begin = np.zeros(1 + 2 * m)
    begin[0] = 1.0
    begin[1 : 1 + m] = min(1.5 / m, 1.0)
    return {
        "exponents": np.tile(begin, (len(KEEPS), 1)),
        "precision": np.tile(np.eye(1 + 2 * m) / SPREAD**2, (len(KEEPS), 1, 1)),
    }


def own(found: Floats) -> Floats:
    """Of :func:`~quorate.core.online.confusion.evidence`, what exponents apply to: float64 ``[n, m, r, k]``."""
    return found[:, :, KEEPS, min(_MID, found.shape[3] - 1)]


def features(prior: Floats, said: Floats, scores: Floats) -> Floats:
    """What exponents apply to, float64 ``[n, r, d, k]``: of the classes ``[..., r, k]`` (all rates), of members
    ``[n, m, r, k]`` (:func:`own`) and the log-scores ``[n, m, k]``."""
    n, m, r, k = said.shape
    made = np.empty((n, r, 1 + 2 * m, k))
    made[:, :, 0] = prior[..., KEEPS, :]
    made[:, :, 1 : 1 + m] = said.swapaxes(1, 2)
    made[:, :, 1 + m :] = scores[:, None]
    return made


def pooled(arrays: Arrays, made: Floats) -> Floats:
    """Probabilities of the classes, float64 ``[n, r, k]``."""
    return softmax((arrays["exponents"][:, None, :] @ made)[:, :, 0])


def learn(arrays: dict[str, NDArray[Any]], made: Floats, truths: Ints) -> Floats:
    """Put new exponents in the place of those in ``arrays`` after each of n rows ``[n, r, d, k]`` and its class; what
    was predicted before each, ``[n, r, k]``."""
    n, r, d, k = made.shape
    keep = RATES[KEEPS][:, None, None]
    begin = (1.0 - keep) * (np.eye(d) / SPREAD**2)
    exponents, precision = arrays["exponents"][:, None, :].copy(), arrays["precision"].copy()
    predicted = np.empty((n, r, 1, k))
    for i, truth in enumerate(truths.tolist()):
        row, q = made[i], predicted[i]
        np.matmul(exponents, row, out=q)
        q -= np.maximum.reduce(q, axis=2, keepdims=True)
        np.exp(q, out=q)
        q /= np.add.reduce(q, axis=2, keepdims=True)
        centred = row - row @ q.swapaxes(1, 2)
        precision *= keep
        precision += begin
        precision += (centred * q) @ centred.swapaxes(1, 2)
        exponents += np.linalg.solve(precision, centred[:, :, truth, None]).swapaxes(1, 2)
    arrays["exponents"], arrays["precision"] = exponents[:, 0], precision
    return predicted[:, :, 0]
