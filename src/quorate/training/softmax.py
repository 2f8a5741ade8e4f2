"""Penalised softmax regression on top of known logits.

    min over V, b of  mean_i -log softmax(o_i + x_i V + b)_{y_i} + (penalty / 2n) |V|^2

``o`` are logits that are there already (an opinion pool's); the penalty draws the answer towards theirs. The objective
is convex; L-BFGS (scipy) finds its minimum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.cascade.posterior import softmax

Floats = NDArray[np.float64]
_STEPS = 400
_GRADIENT, _GAIN = 3e-5, 1e-8


def fit_pool(logs: Floats, y: NDArray[np.integer[Any]], bias_penalty: float = 1.0) -> tuple[Floats, Floats]:
    """Weights ``[m]`` and biases ``[k]`` of a log-linear pool of centred logarithms ``[n, m, k]``.

    The weights start equal and have a weak penalty towards that, so that they exist where members always agree.
    """
    n, m, k = logs.shape
    start = np.full(m, 1.0 / m)

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights, biases = flat[:m], flat[m:]
        value, slope = _fit(np.einsum("nmk,m->nk", logs, weights) + biases, y)
        value += 0.5 / n * (((weights - start) ** 2).sum() + bias_penalty * (biases**2).sum())
        gradient = np.concatenate(
            [
                np.einsum("nmk,nk->m", logs, slope) + (weights - start) / n,
                slope.sum(axis=0) + bias_penalty / n * biases,
            ]
        )
        return value, gradient

    found = _minimum(loss, np.concatenate([start, np.zeros(k)]))
    return found[:m], found[m:]


def fit_corrections(
    x: Floats, y: NDArray[np.integer[Any]], offset: Floats, penalty: float, start: Floats | None = None
) -> Floats:
    """V ``[F, k]`` for columns ``x`` ``[n, F]`` and logits ``offset`` ``[n, k]``; ``start`` is where to look first."""
    n, shape = len(x), (x.shape[1], offset.shape[1])
    across = np.ascontiguousarray(x.T)

    def loss(flat: Floats) -> tuple[float, Floats]:
        v = flat.reshape(shape)
        value, slope = _fit(offset + x @ v, y)
        return value + 0.5 * penalty / n * float(flat @ flat), (across @ slope + penalty / n * v).reshape(-1)

    first = np.zeros(shape) if start is None else start
    return _minimum(loss, first.reshape(-1)).reshape(shape)


def log_loss(p: Floats, y: NDArray[np.integer[Any]]) -> float:
    """Mean ``-log p_y`` in nats."""
    return -float(np.log(np.maximum(p[np.arange(len(y)), y], 1e-300)).mean())


def _fit(logits: Floats, y: NDArray[np.integer[Any]]) -> tuple[float, Floats]:
    """The mean negative log-likelihood and its derivative by the logits ``[n, k]``."""
    rows = np.arange(len(y))
    p = softmax(logits)
    value = log_loss(p, y)
    p[rows, y] -= 1.0
    p /= len(y)
    return value, p


def _minimum(loss: Any, start: Floats) -> Floats:
    from scipy.optimize import minimize

    found: Floats = minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS, "gtol": _GRADIENT, "ftol": _GAIN}
    ).x
    return found
