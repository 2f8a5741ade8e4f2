"""A pool for cascades, whose truth is known: members that cost more are surer and less often wrong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from quorate.core.types import State
from quorate.training.cascade import fit_cascade

MEMBERS = ("small", "middle", "large")
CLASSES = ("a", "b", "c")
COSTS = {"small": 1.0, "middle": 4.0, "large": 10.0}
NOISE = (1.3, 0.9, 0.5)


def pool(n: int, seed: int, noise: Sequence[float] = NOISE, k: int = 3) -> tuple[Any, Any]:
    """Outputs ``[n, m, k]`` and truths ``[n]``; half of the rows are easy for everybody."""
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    hard = rng.random(n) < 0.5
    signal = np.where(hard, 0.9, 2.2)[:, None, None] * np.eye(k)[y][:, None]
    logits = signal + np.asarray(noise)[:, None] * rng.normal(size=(n, len(noise), k))
    scores = np.exp(2.0 * logits)
    return (scores / scores.sum(axis=2, keepdims=True)).astype(np.float32), y


@cache
def fitted(seed: int = 0, n: int = 800, cost: float = 4.0) -> State:
    """A cascade over :func:`pool`, held to a mean cost."""
    outputs, y = pool(n, seed)
    return fit_cascade(outputs, y, MEMBERS, CLASSES, costs=COSTS, within={"cost": cost}, seed=seed)
