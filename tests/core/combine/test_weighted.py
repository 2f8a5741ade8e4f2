import math

import numpy as np
import pytest

from quorate.core.combine.weighted import Weighted, WeightedParams
from quorate.core.types import OutputSpec, State
from quorate.errors import ConfigError

SCORES = OutputSpec("scores", classes=("a", "b"))
OUTPUTS = np.array([[[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]], np.float32)


def state(weights: list[float], members: tuple[str, ...] = ("x", "y", "z"), version: int = 1) -> State:
    return State("weighted", version, {"members": list(members)}, {"weights": np.array(weights)})


def test_declared_and_fitted_weights_answer_alike() -> None:
    status = np.zeros((1, 3), np.int8)
    declared = Weighted(WeightedParams((4.0, 2.0, 2.0))).combine(OUTPUTS, status)
    assert declared.tolist() == [[0.625, 0.375]]
    np.testing.assert_array_equal(Weighted().combine(OUTPUTS, status, state([4.0, 2.0, 2.0])), declared)


def test_weights_are_renormalised_over_the_members_that_answered() -> None:
    answer = Weighted(WeightedParams((3.0, 1.0, 50.0))).combine(OUTPUTS, np.array([[0, 0, 1]], np.int8))
    assert answer.tolist() == [[0.75, 0.25]]


def test_members_of_weight_zero_count_equally_when_only_they_answered() -> None:
    answer = Weighted(WeightedParams((0.0, 0.0, 1.0))).combine(OUTPUTS, np.array([[0, 0, 2]], np.int8))
    assert answer.tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((1.0, 2.0), "one weight for each of the 3 members"),
        ((1.0, -0.5, 1.0), "not negative"),
        ((0.0, 0.0, 0.0), "at least one above 0"),
        ((1.0, math.inf, 1.0), "finite"),
        ((1.0, math.nan, 1.0), "finite"),
    ],
)
def test_refuses_weights_that_are_none(weights: tuple[float, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Weighted(WeightedParams(weights)).check(["x", "y", "z"], SCORES, None)
    assert caught.value.path == "weights"
    with pytest.raises(ConfigError, match=message) as caught:
        Weighted().check(["x", "y", "z"], SCORES, state(list(weights)))
    assert caught.value.path == "state"


@pytest.mark.parametrize(
    ("weights", "given", "got"), [(None, None, "neither"), ((1.0, 1.0, 1.0), state([1, 1, 1]), "both")]
)
def test_needs_weights_or_a_state(weights: tuple[float, ...] | None, given: State | None, got: str) -> None:
    with pytest.raises(ConfigError, match=got):
        Weighted(WeightedParams(weights)).check(["x", "y", "z"], SCORES, given)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (state([1, 1, 1], members=("y", "x", "z")), r"fitted on the members \[y, x, z\]; the strategy has \[x, y, z\]"),
        (state([1, 1, 1], version=2), "version 1; got kind 'weighted' version 2"),
        (State("stack", 1), "got kind 'stack'"),
    ],
)
def test_refuses_a_state_of_other_members_kind_or_version(wrong: State, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Weighted().check(["x", "y", "z"], SCORES, wrong)
    assert caught.value.path == "state"
