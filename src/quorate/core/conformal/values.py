"""How far a number is from its answer, and the interval of numbers that are no further: conformal regression.

- ``absolute``: the absolute residual. Every interval has the same width.
- ``normalised``: the residual over how much the members disagree, so that intervals are wide where they do (after
  Papadopoulos, Proedrou, Vovk, Gammerman, "Inductive confidence machines for regression", ECML 2002).
- ``cqr``: how far outside two answered quantiles a number is (Romano, Patterson, Candès, "Conformalized quantile
  regression", NeurIPS 2019, equation 6).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import FloatArray, Status, StatusArray

Kind = Literal["absolute", "normalised", "cqr"]
KINDS: tuple[str, ...] = get_args(Kind)
Numbers = NDArray[np.float64]


def disagreement(outputs: FloatArray, status: StatusArray) -> Numbers:
    """The standard deviation of the members' numbers, float64 ``[n]``, of ``outputs`` ``[n, m, 1]`` under ``status``.

    NaN where fewer than two members answered: one alone does not disagree with anybody.

    >>> disagreement(np.array([[[1.0], [3.0]]], np.float32), np.zeros((1, 2), np.int8)).tolist()
    [1.0]
    """
    ok = (status == Status.OK) & np.isfinite(outputs[:, :, 0])
    numbers = np.where(ok, outputs[:, :, 0], 0.0).astype(np.float64)
    count = ok.sum(axis=1)
    few = np.maximum(count, 1)
    middle = numbers.sum(axis=1) / few
    squares = (np.where(ok, numbers - middle[:, None], 0.0) ** 2).sum(axis=1) / few
    found: Numbers = np.where(count >= 2, np.sqrt(squares), np.nan)
    return found


def of_numbers(kind: str, truth: Numbers, low: Numbers, high: Numbers, scale: Numbers) -> Numbers:
    """Scores ``[n]`` of true numbers; ``low`` and ``high`` are the answered quantiles, or twice the answered number.

    ``scale`` ``[n]`` is 1 but for ``normalised``.
    """
    found: Numbers = np.maximum(low - truth, truth - high)
    return found / scale if kind == "normalised" else found


def interval(kind: str, low: Numbers, high: Numbers, scale: Numbers, threshold: float) -> Numbers:
    """The numbers whose score is not above ``threshold``, ``[n, 2]``; an empty interval is the point in its middle.

    Unbounded where the threshold is infinite, or the scale is not known.

    >>> interval("absolute", np.array([2.0]), np.array([2.0]), np.ones(1), 0.5).tolist()
    [[1.5, 2.5]]
    """
    reach = threshold * scale if kind == "normalised" else np.full(len(low), threshold)
    reach = np.where(np.isnan(reach), np.inf, reach)
    found = np.stack([low - reach, high + reach], axis=1)
    crossed = found[:, 0] > found[:, 1]
    found[crossed] = found[crossed].mean(axis=1, keepdims=True)
    return found
