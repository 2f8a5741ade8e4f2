"""A policy in a simulated world: draw with its probabilities, tell it the drawn strategy's reward, go on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quorate.core.select.assign import draw
from quorate.core.select.base import Feedback, Policy
from quorate.core.types import Scalar


def play(policy: Policy, rewards: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The probabilities drawn with ``[n, k]``, where ``rewards`` ``[n, k]`` are what each strategy would have got.

    It learns after every row. What is lost on average, given these probabilities, varies less than what one draw loses.
    """
    uniform = np.random.default_rng(seed).random(len(rewards))
    nothing: dict[str, Scalar] = {}
    state = policy.initial()
    shares = np.empty(rewards.shape)
    for i, row in enumerate(rewards):
        shares[i] = policy.distribution(state, nothing, nothing)
        p = shares[i].tolist()
        arm = draw(p, uniform[i])
        known = np.full(len(row), np.nan)
        known[arm] = row[arm]
        state = policy.learn(state, [Feedback(nothing, nothing, tuple(p), arm, known, float(i), 1.0)])
    return shares
