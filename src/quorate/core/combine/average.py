"""The weighted average over ok members that several combiners share.

For row i with ok members A_i: ``answer_i = sum_{j in A_i} w_j x_ij / sum_{j in A_i} w_j``. Renormalising over the
members that answered keeps a convex combination convex, so probabilities stay probabilities. Where every ok member
has weight 0 they count equally, so the answer is defined for every non-empty A_i.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import Status, StatusArray

OK = int(Status.OK)
"""As a plain int: numpy takes microseconds to compare with a member of an enum."""


def average(
    outputs: NDArray[Any], status: StatusArray, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Average ``outputs`` ``[n, m, k]`` over the ok members of a row, into float64 ``[n, k]``; NaN where none is.

    ``weights`` float64 ``[m]``, non-negative, not all 0; None means equal ones. Summed in double precision, where sums
    of probabilities given in single precision are exact: the order of members leaves no trace.

    >>> outputs = np.array([[[0.5, 0.5], [1.0, 0.0], [np.nan, np.nan]]], np.float32)
    >>> average(outputs, np.array([[0, 0, 1]], np.int8)).tolist()
    [[0.75, 0.25]]
    """
    if not np.count_nonzero(status):
        whole: NDArray[np.float64]
        if weights is None:
            whole = np.add.reduce(outputs, axis=1, dtype=np.float64) / outputs.shape[1]
        else:
            whole = (weights @ outputs) / np.add.reduce(weights)
        return whole
    if weights is None:
        weights = np.ones(outputs.shape[1])
    ok = status == OK
    weighted = np.where(ok, weights, 0.0)
    total = weighted.sum(axis=1, keepdims=True)
    weighted = np.where(total > 0, weighted, ok)
    total = weighted.sum(axis=1, keepdims=True)
    clean = np.where(ok[:, :, None], outputs, 0.0)
    sums = (weighted[:, None, :] @ clean)[:, 0]
    answer: NDArray[np.float64] = np.divide(sums, total, out=np.full(sums.shape, np.nan), where=total > 0)
    return answer
