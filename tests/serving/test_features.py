"""Combiners that look at features get the rows as they were prepared, whichever way a request goes."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from quorate.codecs.snapshot import CacheRoute, EndpointRoute, PolicyRoute, StrategyRoute
from quorate.core.types import Decision, State
from quorate.serving import answers
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.prompt import PromptDesk
from quorate.training.dynamic import fit_dynamic

NEAR = StrategyRoute("near", "ola", ("a", "b"), 1)
MEAN = StrategyRoute("average", "mean", ("a", "b"), 1)
SIDES = [-2.0, -1.0, 1.0, 2.0]


def state() -> State:
    """Member "a", which says yes, is right left of 0, "b", which says no, right of it."""
    features = np.array([[x, 0.0] for x in SIDES], np.float32)
    outputs = np.tile(np.array([[0.1, 0.9], [0.8, 0.2]], np.float32), (4, 1, 1))
    return fit_dynamic("ola", features, outputs, np.array([1, 1, 0, 0]), ["a", "b"], ["no", "yes"], k=1)


def endpoint(pool: Any, first: StrategyRoute = NEAR, **settings: Any) -> LoadedEndpoint:
    policy = PolicyRoute("fixed", {"strategy": first.name})
    settings = {"deadline_ms": 200.0, "caller_may_choose": True} | settings
    return LoadedEndpoint(EndpointRoute("main", 1, "pool", (NEAR, MEAN), policy, **settings), pool, {"near": state()})


def ask(house: Any, served: LoadedEndpoint, xs: list[float], **call: Any) -> Any:
    made = house.call(len(xs), **call)
    made.raw = {"input": np.array([[x, 0.0] for x in xs], np.float32)}
    return made


def predict(house: Any, served: LoadedEndpoint, xs: list[float], **call: Any) -> Decision:
    decision: Decision = house.run(house.plane.predict(served, ask(house, served, xs, **call)))
    return decision


def labels(decision: Decision) -> list[str]:
    assert decision.answer is not None
    return ["no" if no > yes else "yes" for no, yes in decision.answer.tolist()]


@pytest.mark.parametrize("kind", ["fused", "inline", "threaded", "hosted"])
def test_each_row_is_answered_by_who_is_good_there(house: Any, kind: str) -> None:
    if kind == "fused":
        pool = house.fused(a=0.9, b=0.2)
    else:
        make = getattr(house, kind)
        pool = house.pool(a=make(0.9), b=make(0.2))
    decision = predict(house, endpoint(pool), [-1.5, 1.5, -0.5])
    assert labels(decision) == ["yes", "no", "yes"]
    assert decision.features is not None
    assert decision.features[:, 0].tolist() == [-1.5, 1.5, -0.5]


def test_a_member_that_failed_is_left_out_of_the_choice(house: Any) -> None:
    pool = house.pool(a=house.inline(lambda tensors: 1 / 0), b=house.inline(0.2))
    decision = predict(house, endpoint(pool), [-1.5])
    assert (labels(decision), decision.degraded) == (["no"], True)
    assert decision.features is not None


def test_requests_that_share_a_run_have_their_own_features(house: Any) -> None:
    pool = house.fused(a=0.9, b=0.2)
    served = endpoint(pool)
    desk, told = PromptDesk(house.plane, answers.encode_all), []

    async def turns() -> None:
        for xs in ([-1.0], [1.0, -2.0], [2.0]):
            assert desk.ask(served, ask(house, served, xs), told.append)
        for _ in range(6):
            await asyncio.sleep(0)

    house.run(turns())
    assert house.batches == [3]
    assert [labels(decision) for decision, _ in told] == [["yes"], ["no", "yes"], ["no"]]
    assert [decision.features[:, 0].tolist() for decision, _ in told] == [[-1.0], [1.0, -2.0], [2.0]]


def test_they_are_recorded_whichever_strategy_answers_and_not_where_none_looks(house: Any) -> None:
    pool = house.fused(a=0.9, b=0.2)
    other = predict(house, endpoint(pool, MEAN), [0.5])
    assert (other.served, other.features is None) == ("average", False)
    assert house.predict(house.endpoint(pool, [MEAN])).features is None


def test_an_answer_from_the_cache_has_none(house: Any) -> None:
    served = endpoint(house.fused(a=0.9, b=0.2), cache=CacheRoute(10, 10**6, 60.0))
    first, second = (predict(house, served, [1.0]) for _ in range(2))
    assert (first.source, second.source) == ("policy", "cache")
    assert (first.features is None, second.features) == (False, None)
    assert labels(second) == ["no"]
