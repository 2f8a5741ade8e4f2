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

from quorate.core.online.confusion import RATES, Arrays, Floats, member_evidence, softmax

KEEPS = np.array([0, 2])
"""Of :data:`~quorate.core.online.confusion.RATES`, those with exponents."""
SPREAD = 0.3
"""Standard deviation of an exponent before anything was seen."""


def start(m: int) -> dict[str, NDArray[Any]]:
    """Every member's evidence counts alike, their scores do not yet."""
    begin = np.zeros(1 + 2 * m)
    begin[0] = 1.0
    begin[1 : 1 + m] = min(1.5 / m, 1.0)
    return {
        "exponents": np.tile(begin, (len(KEEPS), 1)),
        "precision": np.tile(np.eye(1 + 2 * m) / SPREAD**2, (len(KEEPS), 1, 1)),
    }


def features(prior: Floats, found: Floats, scores: Floats) -> Floats:
    """What exponents apply to, float64 ``[n, r, d, k]``: of the classes ``[r, k]``, the evidence and the log-scores."""
    n, m, *_, k = found.shape
    made = np.empty((n, len(KEEPS), 1 + 2 * m, k))
    made[:, :, 0] = prior[KEEPS]
    made[:, :, 1 : 1 + m] = member_evidence(found)[:, :, KEEPS].transpose(0, 2, 1, 3)
    made[:, :, 1 + m :] = scores[:, None]
    return made


def pooled(arrays: Arrays, made: Floats) -> Floats:
    """Probabilities of the classes, float64 ``[n, r, k]``."""
    return softmax((arrays["exponents"][:, None, :] @ made)[:, :, 0])


def learn(arrays: dict[str, NDArray[Any]], made: Floats, predicted: Floats, truth: int) -> None:
    """Put new exponents in the place of those in ``arrays``; ``made`` ``[r, d, k]`` and ``predicted`` ``[r, k]``."""
    keep = RATES[KEEPS][:, None, None]
    centred = made - (made @ predicted[:, :, None])
    begin = np.eye(made.shape[1]) / SPREAD**2
    precision = keep * arrays["precision"] + (1.0 - keep) * begin
    precision += (centred * predicted[:, None, :]) @ centred.transpose(0, 2, 1)
    step = np.linalg.solve(precision, centred[:, :, truth, None])[:, :, 0]
    arrays["precision"] = precision
    arrays["exponents"] = arrays["exponents"] + step
