"""Several answers at once: segments, guard rails, rewards.

*Holm* keeps the probability of any false claim at alpha, whatever the dependence. *Benjamini-Yekutieli* keeps the
expected share of false claims among the claims, whatever the dependence. *e-BH* does the same with e-values, at
stopping times too.

References: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979; Y.
Benjamini, D. Yekutieli, "The control of the false discovery rate in multiple testing under dependency", Ann. Statist.
29, 2001; R. Wang, A. Ramdas, "False discovery rate control with e-values", JRSS B 84(3), 2022.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def holm(p_values: ArrayLike) -> Floats:
    """Adjusted p-values ``[k]``: those <= alpha may be claimed.

    >>> holm([0.01, 0.04, 0.03, 0.005]).round(3).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    p = _p_values(p_values)
    order = np.argsort(p, kind="stable")
    grown = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _back(np.minimum(grown, 1.0), order)


def benjamini_yekutieli(p_values: ArrayLike) -> Floats:
    """Adjusted p-values ``[k]``: claiming those <= q keeps the false discovery rate at q.

    >>> benjamini_yekutieli([0.01, 0.04, 0.03, 0.005]).round(4).tolist()
    [0.0417, 0.0833, 0.0833, 0.0417]
    """
    p = _p_values(p_values)
    k = len(p)
    order = np.argsort(p, kind="stable")
    rank = np.arange(1, k + 1)
    scaled = p[order] * k * (1 / rank).sum() / rank
    return _back(np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0), order)


def e_bh(e_values: ArrayLike, level: float) -> NDArray[np.bool_]:
    """Which of the hypotheses ``[k]`` may be claimed at false discovery rate ``level``.

    >>> e_bh([100.0, 50.0, 2.0, 1.0], 0.05).tolist()
    [True, True, False, False]
    """
    e = np.asarray(e_values, np.float64)
    if e.ndim != 1 or np.isnan(e).any() or (e < 0).any():
        raise ValueError("expected e-values in one dimension, none negative or NaN.")
    if not 0.0 < level < 1.0:
        raise ValueError(f"the level lies between 0 and 1, like 0.05; got {level}.")
    k = len(e)
    largest = np.sort(e)[::-1]
    enough = np.flatnonzero(largest * np.arange(1, k + 1) * level >= k)
    if not len(enough):
        return np.zeros(k, bool)
    return np.asarray(e >= largest[enough[-1]])


def _p_values(p_values: ArrayLike) -> Floats:
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("expected p-values in one dimension, each from 0 to 1.")
    return p


def _back(values: Floats, order: NDArray[np.int64]) -> Floats:
    found = np.empty(len(values))
    found[order] = values
    return found
