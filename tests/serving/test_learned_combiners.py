"""A strategy's combiner answers by what was published last, and the version on record is the one that answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate import plugins
from quorate.codecs import learned
from quorate.codecs.learned import NOTHING, Known, Learned
from quorate.codecs.snapshot import CacheRoute, PolicyRoute, Routing, StrategyRoute
from quorate.core.combine.online import Online
from quorate.core.types import OutputSpec, State
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.generation import Generation
from quorate.serving.learned import LearnedStates

STRATEGIES = [StrategyRoute("online", "online", ("a", "b"), 1), StrategyRoute("mean", "mean", ("a", "b"), 1)]
WRONG, RIGHT = 0.9, 0.2
"""Member a says yes, which is wrong; b says no, less surely than a."""


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda f, n: Online if (f, n) == ("combiners", "online") else load(f, n))


def served(house: Any, **settings: Any) -> LoadedEndpoint:
    made: LoadedEndpoint = house.endpoint(house.fused(a=WRONG, b=RIGHT), STRATEGIES, **settings)
    return made


def taught() -> State:
    """After outcomes that show a to be wrong."""
    outputs = np.tile(np.array([[[1 - WRONG, WRONG], [1 - RIGHT, RIGHT]]], np.float32), (30, 1, 1))
    spec = OutputSpec("scores", ("no", "yes"))
    state = Online().learn(None, outputs, np.zeros((30, 2), np.int8), np.zeros(30), spec)
    assert state is not None
    return state


def publish(folder: Path, endpoint: LoadedEndpoint, version: int, *, key: str | None = None) -> None:
    known = Known(endpoint.strategies["online"].learner_key if key is None else key, taught())
    made = Learned("main", "", version, NOTHING, {"online": known})
    learned.write(folder, {"main": learned.pack(made)}, {"main": version})


def said(house: Any, endpoint: LoadedEndpoint, **call: Any) -> tuple[int, int]:
    """The class, and the state on record."""
    decision = house.predict(endpoint, **call)
    return int(decision.answer[0].argmax()), decision.state_version


def test_it_answers_by_what_was_learned_and_the_decision_says_by_which_version(house: Any, tmp_path: Path) -> None:
    endpoint, states = served(house, caller_may_choose=True), LearnedStates(tmp_path)
    assert said(house, endpoint) == (1, 0)
    publish(tmp_path, endpoint, 4)
    states.follow(Generation(1, Routing(1), endpoints={"main": endpoint}))
    assert said(house, endpoint) == (0, 4)
    assert said(house, endpoint, strategy="online") == (0, 4)
    assert said(house, endpoint, strategy="mean") == (1, 0)
    decision = house.predict(endpoint)
    state = learned.read(tmp_path, "main", 4).combiners["online"].state
    replayed = Online().combine(decision.outputs, decision.status, state)
    assert np.array_equal(replayed, decision.answer)


def test_a_request_under_way_keeps_what_it_chose(house: Any, tmp_path: Path) -> None:
    endpoint, states = served(house), LearnedStates(tmp_path)
    choice = endpoint.choose(None, {}, lambda: 0.0)
    publish(tmp_path, endpoint, 1)
    states.follow(Generation(1, Routing(1), endpoints={"main": endpoint}))
    assert (choice.state_version, choice.strategy.state) == (0, None)
    now = endpoint.choose(None, {}, lambda: 0.0)
    assert now.state_version == 1
    assert now.strategy.state is not None


def test_what_was_learned_of_other_members_is_not_used(house: Any, tmp_path: Path) -> None:
    endpoint, states = served(house), LearnedStates(tmp_path)
    publish(tmp_path, endpoint, 1, key="of other members")
    states.follow(Generation(1, Routing(1), endpoints={"main": endpoint}))
    assert said(house, endpoint) == (1, 0)


def test_a_fallback_and_a_new_generation_know_it_too(house: Any, tmp_path: Path) -> None:
    endpoint, states = served(house, fallback=("online",)), LearnedStates(tmp_path)
    publish(tmp_path, endpoint, 1)
    states.follow(Generation(1, Routing(1), endpoints={}))
    states.apply(Generation(2, Routing(2), endpoints={"main": endpoint}))
    assert said(house, endpoint) == (0, 1)
    assert endpoint.fallback[0] is endpoint.strategies["online"]


def test_a_blind_arm_answers_by_the_state_on_record(house: Any, tmp_path: Path) -> None:
    policy = PolicyRoute("fixed", {"strategy": "online"}, blind=True)
    endpoint, states = served(house, policy=policy), LearnedStates(tmp_path)
    publish(tmp_path, endpoint, 2)
    states.follow(Generation(1, Routing(1), endpoints={"main": endpoint}))
    assert said(house, endpoint) == (0, 2)


def test_an_answer_that_was_kept_is_not_given_once_more_is_known(house: Any, tmp_path: Path) -> None:
    endpoint, states = served(house, cache=CacheRoute(10, 1 << 20, 300.0)), LearnedStates(tmp_path)
    assert [house.predict(endpoint).source for _ in range(2)] == ["policy", "cache"]
    publish(tmp_path, endpoint, 1)
    states.follow(Generation(1, Routing(1), endpoints={"main": endpoint}))
    decision = house.predict(endpoint)
    assert (decision.source, decision.state_version) == ("policy", 1)


def test_a_state_that_cannot_be_used_is_told_and_the_one_before_stays(
    house: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint, states = served(house), LearnedStates(tmp_path)
    publish(tmp_path, endpoint, 1)
    generation = Generation(1, Routing(1), endpoints={"main": endpoint})
    states.follow(generation)
    known = Known(endpoint.strategies["online"].learner_key, State("online", 1, {"output": "scores"}, {}))
    made = Learned("main", "", 2, NOTHING, {"online": known})
    learned.write(tmp_path, {"main": learned.pack(made)}, {"main": 2})
    states.follow(generation)
    assert "goes on with what its policy knew before" in caplog.text
    assert said(house, endpoint) == (0, 1)


def test_one_that_was_reset_has_forgotten(house: Any, tmp_path: Path) -> None:
    endpoint, states = served(house), LearnedStates(tmp_path)
    generation = Generation(1, Routing(1), endpoints={"main": endpoint})
    publish(tmp_path, endpoint, 1)
    states.follow(generation)
    assert said(house, endpoint) == (0, 1)
    learned.write(tmp_path, {"main": learned.pack(Learned("main", "", 2, NOTHING, {}))}, {"main": 2})
    states.follow(generation)
    assert said(house, endpoint) == (1, 2)
