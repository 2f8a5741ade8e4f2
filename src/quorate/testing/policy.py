"""The contract of a policy as generated checks; a third party's policy goes through the same as the built-ins."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.codecs import state as codec
from quorate.core.select.base import Feedback, Policy
from quorate.core.types import Scalar, State

CONTEXTS: tuple[Mapping[str, Scalar], ...] = ({}, {"user_id": "u1", "age": 40, "score": 0.5, "new": True, "city": None})
"""An empty context, and one with every type of value; a policy must cope with both."""


def check_policy(
    policy_cls: type[Policy],
    *,
    params: Any = None,
    strategies: Sequence[str] = ("a", "b", "c"),
    contexts: Sequence[Mapping[str, Scalar]] = CONTEXTS,
    facts: Sequence[Mapping[str, Scalar]] = ({},),
    seed: int = 0,
) -> None:
    """Check that a policy keeps the contract of :class:`Policy`; :class:`AssertionError` says what it broke.

    A learning policy is fed generated feedback (from ``seed``): of the drawn strategy, of all, of decisions without
    a reward, of several rows at once; at last of rows that are odd: rewards that are no numbers, the same row again,
    contradictions, times that go backward. Its probabilities must stay exact all along, and its state storable.
    """
    if not issubclass(policy_cls, Policy) or not getattr(policy_cls, "kind", ""):
        raise AssertionError(f"{policy_cls.__name__} must be a subclass of Policy with a kind.")
    policy = policy_cls(strategies, params)
    policy.check()
    state = policy.initial()
    if policy.learns != (state is not None):
        raise AssertionError(f"learns is {policy.learns}, but initial() returns {'a' if state else 'no'} state.")
    if policy.watches and not policy.learns:
        raise AssertionError("a policy that watches decisions must learn.")
    rng = np.random.default_rng(seed)
    for step in range(24):
        context, found = dict(contexts[step % len(contexts)]), dict(facts[step % len(facts)])
        p = _ask(policy, state, context, found)
        batch = [_feedback(rng, p, context, found, step + i / 8, policy.watches) for i in range(1 + step % 3)]
        state = _learn(policy, state, batch)
        _stored(policy, state)
    if policy.learns:
        _odd(policy, state, dict(contexts[0]), dict(facts[0]))


def _ask(
    policy: Policy, state: State | None, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]
) -> NDArray[np.float64]:
    before = _copies(state), dict(context), dict(facts)
    first = policy.distribution(state, context, facts)
    kept = np.array(first)
    k = len(policy.strategies)
    if not isinstance(first, np.ndarray) or first.dtype != np.float64 or first.shape != (k,):
        raise AssertionError(f"distribution() must return float64 [{k}]; got {first!r}.")
    if not (first >= 0).all() or not abs(float(first.sum()) - 1.0) < 1e-9:
        raise AssertionError(f"probabilities must be non-negative and sum to 1; got {first.tolist()}.")
    first[:] = np.nan  # a policy that hands out its own array is found by the next question
    if not np.array_equal(policy.distribution(state, context, facts), kept):
        raise AssertionError("distribution() gave another answer for the same state and context.")
    if before != (_copies(state), dict(context), dict(facts)):
        raise AssertionError("distribution() changed the state, the context or the facts it was given.")
    return kept


def _learn(policy: Policy, state: State | None, feedback: Sequence[Feedback]) -> State | None:
    before = _copies(state)
    after = policy.learn(state, feedback)
    if before != _copies(state):
        raise AssertionError("learn() changed the state it was given; it must return a new one.")
    if not policy.learns and after is not state:
        raise AssertionError("a policy that does not learn must return the state unchanged.")
    if policy.learns:
        if not isinstance(after, State):
            raise AssertionError(f"learn() of a policy that learns must return a State; got {after!r}.")
        single = state
        for each in feedback:
            single = policy.learn(single, [each])
        assert single is not None
        if not _alike(after, single):
            raise AssertionError("learn() came to another state for the same feedback one by one.")
    return after


def _odd(policy: Policy, state: State | None, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]) -> None:
    """Rewards that are no numbers, the same row again, contradictions and times that go backward do no harm."""
    k = len(policy.strategies)
    p = tuple(_ask(policy, state, context, facts).tolist())
    likely = p.index(max(p))
    for rewards, at in (
        (np.full(k, np.nan), 0.0),
        (np.ones(k), 1_700_000_000.0),
        (np.zeros(k), 1_700_000_000.0),
        (np.zeros(k), 1_600_000_000.0),
        (np.ones(k), math.nan),
    ):
        row = Feedback(context, facts, p, likely, rewards, at, 1.0)
        state = _learn(policy, state, [row, row])
        _ask(policy, state, context, facts)


def _stored(policy: Policy, state: State | None) -> None:
    """A state is as good after it was written and read."""
    if state is not None:
        again = codec.decode(codec.encode(state))
        p, q = (policy.distribution(each, {}, {}) for each in (state, again))
        if not np.array_equal(p, q):
            raise AssertionError("distribution() gave another answer for a state that was written and read.")


def _feedback(
    rng: np.random.Generator,
    p: NDArray[np.float64],
    context: Mapping[str, Scalar],
    facts: Mapping[str, Scalar],
    at: float,
    watches: bool,
) -> Feedback:
    assigned = int(rng.choice(len(p), p=p))
    rewards = rng.integers(0, 2, len(p)).astype(np.float64)
    known = rng.integers(0, 3 if watches else 2)
    if known == 0:
        rewards[np.arange(len(p)) != assigned] = np.nan
    elif known == 2:
        rewards[:] = np.nan
    return Feedback(context, facts, tuple(p.tolist()), assigned, rewards, 1_700_000_000.0 + at, 1.0)


def _alike(one: State, other: State) -> bool:
    names = one.arrays.keys()
    return names == other.arrays.keys() and all(_close(one.arrays[name], other.arrays[name]) for name in names)


def _close(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Equal but for rounding, which is coarser in single precision."""
    if one.dtype.kind != "f":
        return one.dtype == other.dtype and np.array_equal(one, other)
    tolerance = 1e-9 if one.dtype.itemsize > 4 else 1e-5
    return one.shape == other.shape and np.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


def _copies(state: State | None) -> Any:
    if state is None:
        return None
    return copy.deepcopy(dict(state.meta)), {name: array.tobytes() for name, array in state.arrays.items()}
