"""Numbers: each member's bias, all members' error covariance, and the combination of least variance.

With errors ``e_j = x_j - y``, sums under a forgetting rate give biases ``b_j = sum e_j / (n_j + 1)`` and the covariance
``S_ij = (sum e_i e_j + v 1[i = j]) / (n_ij + 1) - b_i b_j`` (one pseudo-outcome of the members' mean square v).
``S_p = (1 - p) S + p diag(S)`` counts members as independent for p = 1 and as dependent as they have been for p = 0.
The answer is ``sum_j w_j (x_j - b_j)`` with ``w = S_p^-1 1 / (1' S_p^-1 1)``, over the members that answered.

Reference: J. M. Bates, C. W. J. Granger, "The combination of forecasts", Operational Research Quarterly 20, 1969.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.online.confusion import RATES, Arrays, Bools, Floats

INDEPENDENCE = np.array([1.0, 0.5, 0.1])
"""The p above."""


def start(m: int) -> dict[str, NDArray[Any]]:
    """Nothing seen of ``m`` members."""
    r = len(RATES)
    return {"errors": np.zeros((r, m)), "products": np.zeros((r, m, m)), "pairs": np.zeros((r, m, m))}


def count(arrays: dict[str, NDArray[Any]], values: Floats, ok: Bools, truths: Floats) -> dict[str, NDArray[Any]]:
    """Put new sums in the place of those in ``arrays`` after each of n rows, of which members ``ok`` ``[n, m]`` said
    ``values`` and ``truths`` came; the sums before each, with n in front."""
    error = np.where(ok, values - truths[:, None], 0.0)
    new = {
        "errors": error[:, None],
        "products": (error[:, :, None] * error[:, None, :])[:, None],
        "pairs": (ok[:, :, None] & ok[:, None, :])[:, None],
    }
    before = {}
    for name, more in new.items():
        now = arrays[name]
        rates, found = RATES.reshape(-1, *(1,) * (now.ndim - 1)), np.empty((len(more), *now.shape))
        for i, each in enumerate(more):
            found[i] = now
            now = now * rates + each
        arrays[name], before[name] = now, found
    return before


def moments(arrays: Arrays) -> tuple[Floats, Floats]:
    """Biases float64 ``[..., r, m]`` and covariances ``[..., r, p, m, m]``, positive definite, for every rate and p."""
    products, pairs = arrays["products"], arrays["pairs"]
    own, seen = (np.diagonal(each, axis1=-2, axis2=-1) for each in (products, pairs))
    bias = arrays["errors"] / (seen + 1.0)
    total = seen.sum(axis=-1)
    scale = np.where(total > 0.0, own.sum(axis=-1) / np.maximum(total, 1e-300), 0.0)
    scale = np.where(scale > 0.0, scale, 1.0)
    each = np.eye(products.shape[-1])
    raw = (products + scale[..., None, None] * each) / (pairs + 1.0) - bias[..., :, None] * bias[..., None, :]
    diagonal = np.maximum(np.diagonal(raw, axis1=-2, axis2=-1), 1e-6 * scale[..., None])
    p = INDEPENDENCE[:, None, None]
    apart = diagonal[..., None, :, None] * each
    mixed = (1.0 - p) * raw[..., None, :, :] * (1.0 - each) + apart
    return bias, _definite(mixed)


def combined(bias: Floats, covariances: Floats, values: Floats, ok: Bools) -> Floats:
    """Answers float64 ``[n, r * p]`` to ``values`` ``[n, m]`` of members ``ok`` ``[n, m]``, at least one a row.

    ``bias`` and ``covariances`` are as in :func:`moments`, with n in front where each row has its own.
    """
    found = np.empty((len(values), covariances.shape[-4] * covariances.shape[-3]))
    patterns, which = np.unique(ok, axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        rows, some = which.reshape(-1) == i, np.flatnonzero(pattern)
        own = bias.ndim == 3
        theirs = (covariances[rows] if own else covariances)[..., some[:, None], some]
        apart = values[rows][:, None, some] - (bias[rows] if own else bias)[..., some]
        found[rows] = np.einsum("...rpm,...rm->...rp", shares(theirs), apart).reshape(int(rows.sum()), -1)
    return found


def shares(covariances: Floats) -> Floats:
    """Weights of least variance, float64 ``[..., m]``; they sum to 1.

    >>> shares(np.diag([1.0, 3.0])).tolist()
    [0.75, 0.25]
    """
    solved = np.linalg.solve(covariances, np.ones((*covariances.shape[:-1], 1)))[..., 0]
    found: Floats = solved / solved.sum(axis=-1, keepdims=True)
    return found


def _definite(matrices: Floats) -> Floats:
    """The same with a ridge where members have never been seen apart: a thousandth of the mean variance."""
    m = matrices.shape[-1]
    floor = 1e-3 * np.trace(matrices, axis1=-2, axis2=-1) / m
    try:
        np.linalg.cholesky(matrices - floor[..., None, None] * np.eye(m))
    except np.linalg.LinAlgError:
        ridge = np.maximum(floor - np.linalg.eigvalsh(matrices)[..., 0], 0.0)
    else:
        return matrices  # no eigenvalue is below the floor, at a tenth of the cost of finding them
    found: Floats = matrices + ridge[..., None, None] * np.eye(m)
    return found
