"""META-DES: a model learned beforehand says whether a member is competent, from five kinds of evidence.

For member j and an input, with its region of k neighbours and its k_p reference rows of the most similar outputs:

    f1  [k]    whether j is right on each neighbour, the nearest first
    f2  [k]    the score that j gives each neighbour's true class
    f3         the share of neighbours on which j is right
    f4  [k_p]  whether j is right on each of the reference rows with similar outputs, the most similar first
    f5         the greatest score of j's own answer

Each is binned in tenths (0 below 0.1, … 10 at 1), and a multinomial naive Bayes model tells competent from not:
``log-odds = b + sum_i c_i bin(f_i)``. ``w_j = 1`` where that is above 0 (a probability above one half), else 0; where
no member is competent all vote. The model is fitted on the reference rows themselves, each with its region among the
others. Features, bins and model are those of DESlib's defaults, with k = 7 and k_p = 5.

Reference: R. Cruz, R. Sabourin, G. Cavalcanti, T. Ren, "META-DES: a dynamic ensemble selection framework using
meta-learning", Pattern Recognition 48(5), 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.competence import Dynamic, Region, alike
from quorate.core.types import FloatArray, State

EDGES = np.linspace(0.1, 1, 10)
"""Where the bins begin."""


class MetaDes(Dynamic):
    """Dynamic ensemble selection by meta-learning.

    Its state has besides: meta ``kp``; arrays ``profiles`` and ``profile_norms``, ``supports`` uint8 ``[r, m]`` (bins
    of the scores of the true class), ``coefficients`` float64 ``[2 k + k_p + 2]`` and ``intercept`` float64 ``[1]``.
    """

    kind = "meta-des"

    def shapes(self, meta: Mapping[str, Any], members: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Dynamic.shapes`."""
        return {
            "profiles": (),
            "supports": (-1, members),
            "coefficients": (2 * meta["k"] + meta["kp"] + 2,),
            "intercept": (1,),
        }

    def weights(self, region: Region, state: State) -> NDArray[np.float64]:
        """See :meth:`Dynamic.weights`."""
        similar = alike(region.outputs, region.ok, state, int(state.meta["kp"]))
        bins = evidence(region, state.arrays["supports"][region.neighbours], state.arrays["hits"][similar])
        odds = np.add.reduce(bins * state.arrays["coefficients"][:, None], axis=1) + state.arrays["intercept"]
        competent: NDArray[np.bool_] = odds > 0
        return competent.astype(np.float64)


def evidence(region: Region, supports: NDArray[np.uint8], hits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The binned features uint8 ``[n, 2 k + k_p + 2, m]``, in the order f1 to f5.

    ``supports`` uint8 ``[n, k, m]`` are binned scores of the neighbours' true classes, ``hits`` ``[n, k_p, m]`` those
    on the rows with similar outputs.
    """
    n, k, m = region.hits.shape
    kp = hits.shape[1]
    bins = np.empty((n, 2 * k + kp + 2, m), np.uint8)
    np.multiply(region.hits, 10, out=bins[:, :k])
    bins[:, k : 2 * k] = supports
    bins[:, 2 * k] = binned(np.arange(k + 1) / k)[np.add.reduce(region.hits, axis=1, dtype=np.intp)]
    np.multiply(hits, 10, out=bins[:, 2 * k + 1 : 2 * k + 1 + kp])
    bins[:, -1] = binned(np.maximum.reduce(region.outputs, axis=2))
    return bins


def binned(values: NDArray[Any] | FloatArray) -> NDArray[np.uint8]:
    """Bins 0 to 10 of values in 0..1: the number of :data:`EDGES` that are not above a value; of NaN any.

    >>> binned(np.array([0.0, 0.09, 0.1, 0.55, 1.0])).tolist()
    [0, 0, 1, 5, 10]
    """
    return np.searchsorted(EDGES, np.asarray(values, np.float64), side="right").astype(np.uint8)
