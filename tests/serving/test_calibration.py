"""Calibrated strategies: combine, then calibrate, whichever way a request goes; and none where the state is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import CalibrationRoute, EndpointRoute, PolicyRoute, StrategyRoute
from quorate.control.learning.answering import LoggedStrategy
from quorate.core.calibrate.methods import METHODS, calibrate, fit, strategy_of
from quorate.core.combine.mean import Mean
from quorate.core.types import State
from quorate.serving import answers
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.prompt import PromptDesk

RNG = np.random.default_rng(4)
ROUTE = CalibrationRoute("sure", 1, {"state.json": "digest"})
SURE = StrategyRoute("sure", "mean", ("a", "b"), 1, calibrate=ROUTE)
PLAIN = StrategyRoute("plain", "mean", ("a", "b"), 1)


def state(method: str = "temperature") -> State:
    yes = RNG.random(200).astype(np.float32)
    truths = (RNG.random(200) < 0.3 + 0.4 * yes).astype(int)
    return fit(method, np.column_stack([1 - yes, yes]), truths, ("no", "yes"), strategy_of(Mean(), ("a", "b")))


def endpoint(pool: Any, fitted: State | None, first: StrategyRoute = SURE, **settings: Any) -> LoadedEndpoint:
    policy = PolicyRoute("fixed", {"strategy": first.name})
    route = EndpointRoute("main", 1, "pool", (SURE, PLAIN), policy, deadline_ms=200.0, **settings)
    return LoadedEndpoint(route, pool, {}, calibrations={} if fitted is None else {"sure": fitted})


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("kind", ["fused", "threaded", "hosted"])
def test_an_answer_is_what_was_combined_calibrated(house: Any, kind: str, method: str) -> None:
    make = getattr(house, kind if kind != "fused" else "inline")
    pool = house.fused(a=0.9, b=0.7) if kind == "fused" else house.pool(a=make(0.9), b=make(0.7))
    fitted = state(method)
    plain = house.predict(endpoint(pool, fitted, PLAIN), rows=2)
    served = house.predict(endpoint(pool, fitted), rows=2)
    np.testing.assert_array_equal(served.answer, calibrate(plain.answer, fitted))
    assert not np.array_equal(served.answer, plain.answer)
    np.testing.assert_array_equal(served.outputs, plain.outputs)  # members' own outputs stay as they are
    # What learners and reliability make of the record is what was answered.
    files = state_codec.encode(fitted)
    route = StrategyRoute("sure", "mean", ("a", "b"), 1, calibrate=CalibrationRoute("s", 1, {n: n for n in files}))
    logged = LoggedStrategy.of(route, ("a", "b"), files.__getitem__)
    np.testing.assert_array_equal(logged.answer(served.outputs, served.status), served.answer)
    np.testing.assert_array_equal(logged.combined(served.outputs, served.status), plain.answer)


def test_prompt_requests_that_share_a_run_are_calibrated_together(house: Any) -> None:
    fitted = state()
    served = endpoint(house.fused(a=0.9, b=0.7), fitted)
    desk, told = PromptDesk(house.plane, answers.encode_all), []

    async def turns() -> None:
        for rows in (1, 2):
            assert desk.ask(served, house.call(rows), told.append)
        for _ in range(6):
            await asyncio.sleep(0)

    house.run(turns())
    assert house.batches == [2]
    (first, body), (second, _) = told
    expected = calibrate(np.array([[0.2, 0.8]], np.float32), fitted)
    np.testing.assert_allclose(first.answer, expected, atol=1e-6)
    np.testing.assert_allclose(second.answer, np.tile(expected, (2, 1)), atol=1e-6)
    assert f'"confidence":{float(first.answer.max()):.4f}'[:18].encode() in body.replace(b" ", b"")


def test_with_a_lost_calibration_the_fallback_answers(house: Any) -> None:
    pool = house.fused(a=0.9, b=0.7)
    lost = house.predict(endpoint(pool, None, fallback=("plain",)))
    assert (lost.assigned, lost.served, lost.degraded) == ("sure", "plain", True)
    assert not endpoint(pool, None).strategies["sure"].simple
    assert endpoint(pool, state()).strategies["sure"].simple
