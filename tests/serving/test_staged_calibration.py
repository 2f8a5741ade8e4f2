"""A calibrated plan of several stages: each row by the map of those that answered it, on a way that stays as it was."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from quorate import plugins
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import CalibrationRoute, ConformalRoute, EndpointRoute, PolicyRoute, StrategyRoute
from quorate.control.learning.answering import LoggedStrategy
from quorate.core.calibrate.methods import calibrate
from quorate.core.types import Decision, State
from quorate.serving import answers
from quorate.serving.cost import Cost
from quorate.serving.endpoint import LoadedEndpoint
from quorate.training.conformal import fit_conformal
from tests.ladder import Ladder, ladder

CLASSES = ("no", "yes")
STATE = ladder([["a"], ["b"]])
FLAT = {"temperature": 1.0, "floor": 1e-6}
SURE = State(
    "temperature",
    2,
    FLAT | {"classes": CLASSES, "own": [FLAT | {"temperature": 2.0}, FLAT | {"temperature": 0.5}]},
    {"sets": np.array([[True, False], [True, True]])},
)
PLAIN = StrategyRoute(
    "steps", "ladder", ("a", "b"), 1, plan="stepwise", state={n: n for n in state_codec.encode(STATE)},
    stages=(("a",), ("b",)), conformal=ConformalRoute({"c": "c"}),
)  # fmt: skip
STEPS = msgspec.structs.replace(PLAIN, calibrate=CalibrationRoute("sure", 1, {n: f"{n}!" for n in PLAIN.state or {}}))
ROWS = [(0.9, 0.5), (0.6, 0.7), (0.85, 0.1), (0.55, 0.3)]
"""What members a and b say for "yes"; the ladder stops where it is 0.8 sure."""


@pytest.fixture(autouse=True)
def _ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda f, n: Ladder if (f, n) == ("combiners", "ladder") else load(f, n))


def sets() -> State:
    yes = np.random.default_rng(0).random(60)
    y = (np.random.default_rng(1).random(60) < yes).astype(np.int64)
    return fit_conformal(np.stack([1 - yes, yes], axis=1).astype(np.float32), y, CLASSES)


def reads(column: int) -> Any:
    def answer(tensors: Any) -> Any:
        yes = tensors["input"][:, column]
        return np.stack([1 - yes, yes], axis=1).astype(np.float32)

    return answer


class Bench:
    def __init__(self, house: Any, route: StrategyRoute = STEPS, b: Any = None) -> None:
        self.house = house
        self.pool = house.pool(a=house.inline(reads(0)), b=(b or house.inline)(reads(1)))
        policy = PolicyRoute("fixed", {"strategy": "steps"})
        self.endpoint = LoadedEndpoint(
            EndpointRoute("main", 1, "pool", (route,), policy, deadline_ms=200.0),
            self.pool,
            {"steps": STATE},
            calibrations={} if route.calibrate is None else {"steps": SURE},
            conformal={"steps": sets()},
        )

    def ask(self, rows: Any = ROWS, **more: Any) -> Decision:
        call = self.house.call(len(rows), **more)
        call.raw = {"input": np.array(rows, np.float32)}
        found: Decision = self.house.run(self.house.plane.predict(self.endpoint, call))
        return found

    def shown(self, decision: Decision) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(answers.encode(self.endpoint, decision))["predictions"]
        return found


def test_rows_go_the_same_way_to_the_same_labels_and_are_as_sure_as_those_who_answered_are(house: Any) -> None:
    plain, sure = Bench(house, PLAIN).ask(), Bench(house).ask()
    assert plain.answer is not None
    assert sure.answer is not None
    assert sure.status.tolist() == plain.status.tolist() == [[0, 2], [0, 0], [0, 2], [0, 0]]
    np.testing.assert_array_equal(sure.outputs, plain.outputs)
    np.testing.assert_array_equal(sure.answer.argmax(axis=1), plain.answer.argmax(axis=1))
    np.testing.assert_array_equal(sure.answer, calibrate(plain.answer, SURE, plain.status))
    # 0.9 at a temperature of 2 is sqrt(0.9) / (sqrt(0.9) + sqrt(0.1)); 0.65 at 0.5 is 0.65^2 / (0.65^2 + 0.35^2).
    assert sure.answer[0, 1] == pytest.approx(0.75, abs=1e-6)
    assert sure.answer[1, 1] == pytest.approx(0.4225 / 0.545, abs=1e-6)


def test_what_is_made_of_the_record_is_what_was_answered(house: Any) -> None:
    decision = Bench(house).ask()
    files = state_codec.encode(STATE) | {f"{n}!": data for n, data in state_codec.encode(SURE).items()}
    logged = LoggedStrategy.of(STEPS, ("a", "b"), files.__getitem__)
    np.testing.assert_array_equal(logged.answer(decision.outputs, decision.status), decision.answer)


def test_a_failed_member_leaves_a_set_without_a_map_and_the_common_one_answers(house: Any) -> None:
    bench = Bench(house)
    bench.pool.members[0].unit.answer = lambda tensors: 1 / 0
    decision = bench.ask([(0.9, 0.7)])
    assert decision.status.tolist() == [[1, 0]]
    assert decision.answer is not None
    assert decision.answer[0, 1] == pytest.approx(0.7, abs=1e-6)


def test_a_caller_who_must_be_sure_is_told_by_what_is_answered(house: Any) -> None:
    """What members say is 0.9 sure; calibrated it is 0.75, and that is what the caller asks about."""
    decision = Bench(house).ask([(0.9, 0.9)], min_confidence=0.85)
    assert decision.status.tolist() == [[0, 0]]
    assert not decision.abstained
    assert Bench(house, PLAIN).ask([(0.9, 0.9)], min_confidence=0.85).status.tolist() == [[0, 2]]


def test_sets_of_a_way_that_was_not_its_own_promise_nothing_and_say_so(house: Any) -> None:
    bench = Bench(house)
    own = bench.ask(coverage=0.9)
    assert own.facts == {"coverage": 0.9}
    assert all("set" in row and row["reason"] != "degraded" for row in bench.shown(own))
    further = bench.ask(coverage=0.9, min_confidence=0.1)
    assert further.facts == {"coverage": 0.9, "min_confidence": 0.1, "coverage.diverted": True}
    assert [row["reason"] for row in bench.shown(further)] == ["degraded"] * 4
    assert not further.degraded
    assert bench.ask().facts == {}
    late = Bench(house, b=lambda answer: house.hosted(answer, 0.01))
    late.pool.members[1].unit.measured(Cost(1e6, 0.0))  # it cannot end in time, and is not begun
    cut = late.ask(coverage=0.9)
    assert cut.status[:, 1].tolist() == [2] * 4
    assert cut.facts == {"coverage": 0.9, "coverage.diverted": True}
    assert [row["reason"] for row in late.shown(cut)] == ["degraded"] * 4
