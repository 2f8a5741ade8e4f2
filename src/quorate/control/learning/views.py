"""What a policy and combiners have learned, as it is shown."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from quorate.control.learning.combining import Combining
from quorate.control.learning.learner import Learning
from quorate.control.view import View
from quorate.core.select import guard
from quorate.core.select.learner import Learner
from quorate.core.types import State
from quorate.store.learners import StoredLearner

_MOST = 1000


class RewardView(View):
    """What is learned from: ``low`` counts as 0 and ``high`` as 1."""

    metric: str
    low: float
    high: float


class CombinerView(View):
    """What the combiner of a strategy has learned."""

    kind: str
    rows: int = Field(description="Outcomes that it has learned from.")
    trust: dict[str, float] = Field(description="Weights of its experts: the members and ways to combine them.")
    certificate: float = Field(
        description="How much more it has lost than any one expert, at most: mistakes of a draw by the weights, or "
        "squared error."
    )


class ArmView(View):
    """What is known of one strategy. ``share`` is its probability for a request without context.

    ``known`` is how many rewards it has, weighed where the policy forgets, and ``mean`` their mean in the metric's
    unit; ``best`` the probability that it is the best of all. None where the policy keeps no such thing.
    """

    strategy: str
    share: float
    known: float | None
    mean: float | None
    best: float | None


class GuardView(View):
    """The guard rails of a policy. ``guarded``: the baseline has the traffic now, but for the floors.

    ``bound`` is the lower end of the confidence sequence for the reward of the traffic less the baseline's, in rewards
    from 0 to 1; the baseline gets the traffic while it is below ``-tolerance``. None where nothing is known yet.
    """

    floor: float
    baseline: str | None
    tolerance: float
    guarded: bool
    bound: float | None


class LearnerView(View):
    """What an endpoint's policy has learned, and combiners of its strategies. Times are Unix seconds."""

    endpoint: str
    policy: str
    reward: RewardView | None = Field(description="What the policy learns from; null where only combiners learn.")
    version: int = Field(description="Of the state; 0 before anything was learned. Decisions record it.")
    since: float | None = Field(description="When learning began, for these strategies and settings.")
    updated: float | None
    rows: dict[str, int] = Field(description="Rows of which something became known, by what became of them.")
    arms: list[ArmView]
    guard: GuardView | None = Field(description="None where the policy has no guard rails.")
    shares: dict[str, float] = Field(description="Probability of each strategy for a request without context.")
    state: dict[str, Any] = Field(description="What the policy keeps; arrays of up to 1,000 numbers, else their shape.")
    combiners: dict[str, CombinerView] = Field(description="What combiners have learned, by strategy.")


class WarmStartView(View):
    """A warm start: the policy learns anew from decisions made from ``since`` on. Times are Unix seconds.

    ``learned`` are rows by what became of them, once it is done; ``error`` is why it failed.
    """

    endpoint: str
    state: Literal["queued", "running", "done", "failed"]
    since: float
    author: str
    asked: float
    ended: float | None
    learned: dict[str, int] | None
    error: str | None


def view(learning: Learning, stored: StoredLearner | None) -> LearnerView:
    """A learner as it is shown; one of another policy than is served counts as none."""
    mine = stored if stored is not None and stored.key == learning.key else None
    state = learning.state(mine)
    known, reward = learning.known(mine), learning.reward
    shares = learning.policy.distribution(state if reward else None, {}, {}).tolist()
    rails = _guard(learning, state)
    arrays = {name: _shown(array) for name, array in state.arrays.items()}
    return LearnerView(
        endpoint=learning.name,
        policy=learning.policy.kind,
        reward=None if reward is None else RewardView(metric=reward.metric, low=reward.low, high=reward.high),
        version=0 if mine is None else mine.version,
        since=None if mine is None else mine.since,
        updated=None if mine is None else mine.updated,
        rows={} if mine is None else dict(mine.counts),
        arms=_arms(learning, state, shares, rails),
        guard=rails,
        shares=dict(zip(learning.policy.strategies, shares, strict=True)),
        state={**state.meta, **arrays},
        combiners={each.name: _combiner(each, each.state(known)) for each in learning.combining},
    )


def _combiner(each: Combining, state: State | None) -> CombinerView:
    told = each.combiner.told(each.members, state)
    return CombinerView(kind=each.combiner.kind, rows=told.rows, trust=dict(told.trust), certificate=told.certificate)


def _guard(learning: Learning, state: State) -> GuardView | None:
    policy = learning.policy
    if not isinstance(policy, Learner):
        return None
    p = policy.params
    bound = guard.lower_bound(state.arrays["guard"]) if p.baseline is not None else -math.inf
    return GuardView(
        floor=p.floor,
        baseline=p.baseline,
        tolerance=p.tolerance,
        guarded=bool(state.arrays["guarded"][0]),
        bound=bound if math.isfinite(bound) else None,
    )


def _arms(learning: Learning, state: State, shares: list[float], rails: GuardView | None) -> list[ArmView]:
    names, reward = learning.policy.strategies, learning.reward
    k = len(names)
    count, total, windowed = (_by_arm(state, name, k) for name in ("count", "sum", "evidence"))
    count = windowed if count is None else count
    best: list[float | None] = [None] * k
    if learning.policy.kind == "thompson" and rails is not None and not rails.guarded and k * rails.floor < 1:
        best = [min(max((share - rails.floor) / (1 - k * rails.floor), 0.0), 1.0) for share in shares]
    return [
        ArmView(
            strategy=name,
            share=shares[i],
            known=None if count is None else count[i],
            mean=None
            if reward is None or count is None or total is None or not count[i]
            else reward.low + total[i] / count[i] * (reward.high - reward.low),
            best=best[i],
        )
        for i, name in enumerate(names)
    ]


def _by_arm(state: State, name: str, k: int) -> list[float] | None:
    """A state's array with one number a strategy; None where it has none."""
    array = state.arrays.get(name)
    if array is None or array.shape != (k,):
        return None
    found: list[float] = np.asarray(array, np.float64).tolist()
    return found


def _shown(array: NDArray[Any]) -> Any:
    """Its numbers, those that JSON has none for as None; of a large one the shape."""
    if array.size > _MOST:
        return f"{array.dtype} {list(array.shape)}"
    plain = array.astype(object)
    if array.dtype.kind == "f":
        plain[~np.isfinite(array)] = None
    return plain.tolist()
