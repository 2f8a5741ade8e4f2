"""The contract of a policy as generated checks; a third party's policy goes through the same as the built-ins."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.select.base import Policy
from quorate.core.types import Decision, MemberRun, Outcome, Scalar, State, Status

CONTEXTS: tuple[Mapping[str, Scalar], ...] = ({}, {"user_id": "u1", "age": 40, "score": 0.5, "new": True, "city": None})
"""An empty context, and one with every type of value; a policy must cope with both."""


def check_policy(
    policy_cls: type[Policy],
    *,
    params: Any = None,
    strategies: Sequence[str] = ("a", "b", "c"),
    contexts: Sequence[Mapping[str, Scalar]] = CONTEXTS,
    seed: int = 0,
) -> None:
    """Check that a policy keeps the contract of :class:`Policy`; :class:`AssertionError` says what it broke.

    A learning policy is fed generated outcomes (from ``seed``); its probabilities must stay exact all along.
    """
    if not issubclass(policy_cls, Policy) or not getattr(policy_cls, "kind", ""):
        raise AssertionError(f"{policy_cls.__name__} must be a subclass of Policy with a kind.")
    policy = policy_cls(strategies, params)
    policy.check()
    state = policy.initial()
    if policy.learns != (state is not None):
        raise AssertionError(f"learns is {policy.learns}, but initial() returns {'a' if state else 'no'} state.")
    rng = np.random.default_rng(seed)
    for step in range(12):
        context = dict(contexts[step % len(contexts)])
        probabilities = _ask(policy, state, context)
        chosen = int(rng.choice(len(strategies), p=probabilities))
        decision = _decision(policy.strategies, probabilities, chosen, context)
        state = _learn(policy, state, decision, Outcome(decision.id, 0, rewards={"reward": float(rng.integers(2))}))


def _ask(policy: Policy, state: State | None, context: Mapping[str, Scalar]) -> NDArray[np.float64]:
    before = _copies(state), dict(context)
    first = policy.distribution(state, context)
    kept = np.array(first)
    k = len(policy.strategies)
    if not isinstance(first, np.ndarray) or first.dtype != np.float64 or first.shape != (k,):
        raise AssertionError(f"distribution() must return float64 [{k}]; got {first!r}.")
    if not (first >= 0).all() or not abs(float(first.sum()) - 1.0) < 1e-9:
        raise AssertionError(f"probabilities must be non-negative and sum to 1; got {first.tolist()}.")
    first[:] = np.nan  # a policy that hands out its own array is found by the next question
    if not np.array_equal(policy.distribution(state, context), kept):
        raise AssertionError("distribution() gave another answer for the same state and context.")
    if before != (_copies(state), dict(context)):
        raise AssertionError("distribution() changed the state or the context it was given.")
    return kept


def _learn(policy: Policy, state: State | None, decision: Decision, outcome: Outcome) -> State | None:
    before = _copies(state)
    after = policy.update(state, decision, outcome)
    if before != _copies(state):
        raise AssertionError("update() changed the state it was given; it must return a new one.")
    if not policy.learns and after is not state:
        raise AssertionError("a policy that does not learn must return the state unchanged.")
    if policy.learns and not isinstance(after, State):
        raise AssertionError(f"update() of a policy that learns must return a State; got {after!r}.")
    return after


def _decision(
    strategies: tuple[str, ...], probabilities: NDArray[np.float64], chosen: int, context: Mapping[str, Scalar]
) -> Decision:
    answer = np.array([[0.75, 0.25]], np.float32)
    return Decision(
        id="018bcfe5-6800-7000-8000-000000000000",
        endpoint="endpoint",
        revision=1,
        state_version=0,
        source="policy",
        arrived=1_700_000_000.0,
        queue_ms=0.1,
        latency_ms=1.0,
        context=context,
        strategies=strategies,
        propensities=tuple(probabilities.tolist()),
        assigned=strategies[chosen],
        served=strategies[chosen],
        members=(MemberRun("m", 1, Status.OK, 0.5),),
        outputs=answer[:, None],
        status=np.zeros((1, 1), np.int8),
        answer=answer,
        degraded=False,
        rows=1,
        input_digest=bytes(32),
        classes=("no", "yes"),
    )


def _copies(state: State | None) -> Any:
    if state is None:
        return None
    return copy.deepcopy(dict(state.meta)), {name: array.tobytes() for name, array in state.arrays.items()}
