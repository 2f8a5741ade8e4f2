"""A worker follows what policies have learned, and is not led astray by what it cannot use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate import plugins
from quorate.codecs import learned
from quorate.codecs.learned import Learned
from quorate.codecs.snapshot import PolicyRoute, RewardRoute, Routing, StrategyRoute
from quorate.core.params import NoParams
from quorate.core.select.base import Policy
from quorate.core.types import State
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.generation import Generation
from quorate.serving.learned import AT_ONCE, LearnedStates

STRATEGIES = [StrategyRoute("a", "single", ("a",), 1), StrategyRoute("b", "single", ("b",), 1)]


class Told(Policy):
    """Its state is its probabilities."""

    kind = "told"
    Params = NoParams
    learns = True

    def check(self) -> None:
        pass

    def initial(self) -> State:
        return State("told", 1, {}, {"p": np.array([1.0, 0.0])})

    def distribution(self, state: Any, context: Any, facts: Any) -> Any:
        return state.arrays["p"].copy()


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch) -> None:
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda f, n: Told if (f, n) == ("policies", "told") else load(f, n))


def served(house: Any) -> LoadedEndpoint:
    made: LoadedEndpoint = house.endpoint(
        house.fused(a=0.9, b=0.2), STRATEGIES, PolicyRoute("told", reward=RewardRoute())
    )
    return made


def generation(**endpoints: LoadedEndpoint) -> Generation:
    return Generation(1, Routing(1), endpoints=endpoints)


def publish(folder: Path, endpoint: LoadedEndpoint, version: int, *, key: str | None = None, **arrays: Any) -> None:
    state = State("told", 1, {}, {name: np.array(value) for name, value in arrays.items()})
    made = Learned("main", endpoint.learner_key if key is None else key, version, state)
    learned.write(folder, {"main": learned.pack(made)}, {"main": version})


def test_the_newest_state_is_drawn_by_and_recorded(house: Any, tmp_path: Path) -> None:
    endpoint, states = served(house), LearnedStates(tmp_path)
    decision = house.predict(endpoint)
    assert (decision.assigned, decision.propensities, decision.state_version) == ("a", (1.0, 0.0), 0)
    states.follow(generation(main=endpoint))
    publish(tmp_path, endpoint, 1, p=[0.0, 1.0])
    assert not states.follow(generation(main=endpoint))
    decision = house.predict(endpoint)
    assert (decision.assigned, decision.propensities, decision.state_version) == ("b", (0.0, 1.0), 1)


def test_the_next_generation_is_given_what_is_its(house: Any, tmp_path: Path) -> None:
    endpoint, states = served(house), LearnedStates(tmp_path)
    publish(tmp_path, endpoint, 7, p=[0.5, 0.5])
    states.follow(generation(main=endpoint))
    same = served(house)
    other = house.endpoint(house.fused(a=0.9, b=0.2), STRATEGIES[::-1], PolicyRoute("told", reward=RewardRoute()))
    fixed = house.endpoint(house.fused(a=0.9, b=0.2), STRATEGIES)
    for each, version in ((same, 7), (other, 0), (fixed, 0)):
        states.apply(generation(main=each))
        assert each.state_version == version


def damaged(path: Path) -> None:
    path.write_bytes(b"?" * 100)


@pytest.mark.parametrize(
    ("change", "arrays", "logged"),
    [
        (damaged, {"p": [0.0, 1.0]}, "damaged"),
        (lambda path: None, {"q": [0.0, 1.0]}, "KeyError"),
    ],
)
def test_a_state_that_cannot_be_used_is_told_once_and_the_one_before_stays(
    house: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Any, arrays: Mapping[str, Any], logged: str
) -> None:
    endpoint, states = served(house), LearnedStates(tmp_path)
    publish(tmp_path, endpoint, 1, p=[0.0, 1.0])
    states.follow(generation(main=endpoint))
    publish(tmp_path, endpoint, 2, **arrays)
    change(tmp_path / "main-2.qs")
    for _ in range(3):
        states.follow(generation(main=endpoint))
    assert caplog.text.count("goes on with what its policy knew before") == 1
    assert logged in caplog.text
    assert endpoint.state_version == 1
    publish(tmp_path, endpoint, 3, p=[0.5, 0.5])
    states.follow(generation(main=endpoint))
    assert endpoint.state_version == 3


def test_a_file_that_is_gone_again_is_looked_for_again(house: Any, tmp_path: Path) -> None:
    endpoint, states = served(house), LearnedStates(tmp_path)
    publish(tmp_path, endpoint, 1, p=[0.0, 1.0])
    content = (tmp_path / "main-1.qs").read_bytes()
    (tmp_path / "main-1.qs").unlink()
    states.follow(generation(main=endpoint))
    assert endpoint.state_version == 0
    (tmp_path / "main-1.qs").write_bytes(content)
    states.follow(generation(main=endpoint))
    assert endpoint.state_version == 1


def test_of_many_only_some_are_taken_at_once(house: Any, tmp_path: Path) -> None:
    endpoint, states = served(house), LearnedStates(tmp_path)
    names = [f"e{i:02}" for i in range(2 * AT_ONCE + 1)]
    state = State("told", 1, {}, {"p": np.array([0.0, 1.0])})
    packed = {name: learned.pack(Learned(name, endpoint.learner_key, 1, state)) for name in names}
    learned.write(tmp_path, packed, dict.fromkeys(names, 1))
    served_now = generation(**{name: served(house) for name in names})
    assert [states.follow(served_now) for _ in range(4)] == [True, True, False, False]
    assert {each.state_version for each in served_now.endpoints.values()} == {1}


def test_many_that_are_gone_are_no_endless_work(house: Any, tmp_path: Path) -> None:
    endpoint, states = served(house), LearnedStates(tmp_path)
    learned.write(tmp_path, {}, {f"e{i}": 1 for i in range(3 * AT_ONCE)})
    assert not states.follow(generation(main=endpoint))


def test_a_damaged_index_is_told_once(house: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    endpoint, states = served(house), LearnedStates(tmp_path)
    (tmp_path / learned.INDEX).write_bytes(b"{")
    assert [states.follow(generation(main=endpoint)) for _ in range(3)] == [False] * 3
    assert caplog.text.count("index of learned states") == 1


def test_what_is_not_served_is_held_for_later(house: Any, tmp_path: Path) -> None:
    endpoint, states = served(house), LearnedStates(tmp_path)
    publish(tmp_path, endpoint, 1, p=[0.0, 1.0])
    states.follow(generation())
    states.apply(generation(main=endpoint))
    assert endpoint.state_version == 1
