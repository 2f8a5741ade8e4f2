"""A policy in a simulated world: draw with its probabilities, tell it the drawn strategy's reward, go on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quorate.core.select.assign import draw
from quorate.core.select.base import Feedback, Policy
from quorate.core.types import Scalar


def play(policy: Policy, rewards: NDArray[np.float64], seed: int) -> NDArray[np.intp]:
    """The strategies drawn ``[n]``, where ``rewards`` ``[n, k]`` are what each would have got; it learns every row."""
    uniform = np.random.default_rng(seed).random(len(rewards))
    nothing: dict[str, Scalar] = {}
    state = policy.initial()
    chosen = np.empty(len(rewards), np.intp)
    for i, row in enumerate(rewards):
        p = policy.distribution(state, nothing, nothing).tolist()
        arm = chosen[i] = draw(p, uniform[i])
        known = np.full(len(row), np.nan)
        known[arm] = row[arm]
        state = policy.learn(state, [Feedback(nothing, nothing, tuple(p), int(arm), known, float(i), 1.0)])
    return chosen
