"""Temperature scaling: one number that makes all answers less sure, or surer.

    q_i = p_i^(1/T) / sum_j p_j^(1/T)

with T that minimises the negative log-likelihood ``-sum log q_truth`` of held-out rows; that is convex in 1/T. The
order of the classes never changes. Probabilities below a floor are taken for the floor: trees and votes say 0 where
they mean rare. Of the floors in :data:`FLOORS` the one with the least loss is taken.

Reference: C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On calibration of modern neural networks", ICML 2017, eq. 9.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.calibrate.base import Calibration, Matrix
from quorate.core.types import FloatArray, State

FLOORS = (1e-12, 1e-9, 1e-6, 1e-4, 1e-3)
LEAST, MOST = 0.05, 50.0
"""The range of T. At its lower end everything held out was right, and nothing says how sure is too sure."""

_STEPS = 100


class Temperature(Calibration):
    """Meta: ``temperature`` and ``floor``. Without arrays."""

    kind = "temperature"

    def fitted(self, scores: Matrix, y: NDArray[np.int64]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """See :meth:`Calibration.fitted`."""
        k = scores.shape[1]
        found = []
        for floor in (floor for floor in FLOORS if floor < 0.5 / k):
            logits = np.log(np.maximum(scores, floor))
            exponent = _best(logits, y)
            found.append((_loss(logits, y, exponent), 1.0 / exponent, floor))
        _, temperature, floor = min(found)
        return {"temperature": temperature, "floor": floor}, {}

    def probabilities(self, scores: FloatArray, state: State) -> Matrix:
        """See :meth:`Calibration.probabilities`."""
        meta = state.meta
        powers: Matrix = np.maximum(scores, meta["floor"], dtype=np.float64) ** (1.0 / meta["temperature"])
        powers /= np.add.reduce(powers, axis=1, keepdims=True)
        return powers

    def wrong(self, state: State, classes: int) -> str | None:
        """See :meth:`Calibration.wrong`."""
        temperature, floor = state.meta.get("temperature"), state.meta.get("floor")
        if not isinstance(temperature, int | float) or not 0.99 * LEAST <= temperature <= 1.01 * MOST:
            return "'temperature'"
        if not isinstance(floor, int | float) or not 0.0 < floor < 0.5 / classes:
            return "'floor'"
        return None


def negative_log_likelihood(scores: NDArray[Any], y: NDArray[Any], temperature: float, floor: float) -> float:
    """The mean of ``-log q_truth`` over rows ``[n, k]``, in nats."""
    return _loss(np.log(np.maximum(np.asarray(scores, np.float64), floor)), y, 1.0 / temperature)


def _loss(logits: Matrix, y: NDArray[Any], exponent: float) -> float:
    z = exponent * logits
    top = z.max(axis=1)
    total = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    return float((total - z[np.arange(len(y)), y]).mean())


def _best(logits: Matrix, y: NDArray[np.int64]) -> float:
    """The exponent 1/T of least loss: Newton's steps inside a bracket, which is halved where they leave it."""
    true = logits[np.arange(len(y)), y].mean()
    low, high = 1.0 / MOST, 1.0 / LEAST

    def slope(exponent: float) -> tuple[float, float]:
        z = exponent * logits
        q = np.exp(z - z.max(axis=1, keepdims=True))
        q /= q.sum(axis=1, keepdims=True)
        mean = (q * logits).sum(axis=1)
        spread = (q * (logits - mean[:, None]) ** 2).sum(axis=1)
        return float(mean.mean() - true), float(spread.mean())

    if slope(low)[0] >= 0:
        return low
    if slope(high)[0] <= 0:
        return high
    exponent = 1.0
    for _ in range(_STEPS):
        first, second = slope(exponent)
        low, high = (exponent, high) if first < 0 else (low, exponent)
        step = exponent - first / second if second > 0 else 0.0
        after = step if low < step < high else 0.5 * (low + high)
        if abs(after - exponent) <= 1e-12 * exponent:
            return after
        exponent = after
    return exponent
