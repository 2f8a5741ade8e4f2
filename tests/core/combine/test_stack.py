import dataclasses
from typing import Any

import numpy as np
import pytest

from quorate.core.combine.stack import Stack
from quorate.core.types import OutputSpec, State
from quorate.errors import ConfigError

MEMBERS = ["x", "y"]
SCORES = OutputSpec("scores", classes=("a", "b"))
VALUES = OutputSpec("values", names=("t",))


def scores_state(**changes: Any) -> State:
    """Both members: twice x's log-probabilities plus y's. x alone: half of x's. y alone: not fitted."""
    eye = np.eye(2)
    coefficients = np.stack([np.vstack([2 * eye, eye]), np.vstack([0.5 * eye, 0 * eye])])
    state = State(
        "stack",
        1,
        {"output": "scores", "members": MEMBERS, "classes": ["a", "b"], "clip": 0.01},
        {
            "subsets": np.array([[True, True], [True, False]]),
            "coefficients": coefficients,
            "intercepts": np.array([[0.0, np.log(2)], [0.0, 0.0]]),
        },
    )
    return dataclasses.replace(state, **changes)


def test_each_set_of_present_members_has_its_own_coefficients_and_the_rest_get_the_mean() -> None:
    x, y = [0.6, 0.4], [0.25, 0.75]
    outputs = np.array([[x, y]] * 4, np.float32)
    status = np.array([[0, 0], [0, 1], [2, 0], [1, 1]], np.int8)
    answer = Stack().combine(outputs, status, scores_state())
    both = np.array([0.36 * 0.25, 0.16 * 0.75 * 2])
    x_alone = np.sqrt(x)
    np.testing.assert_allclose(answer[0], both / both.sum(), rtol=1e-6)
    np.testing.assert_allclose(answer[1], x_alone / x_alone.sum(), rtol=1e-6)
    np.testing.assert_allclose(answer[2], y, rtol=1e-6)
    assert np.isnan(answer[3]).all()
    whole = Stack().combine(outputs[:1], status[:1], scores_state())
    np.testing.assert_array_equal(whole[0], answer[0])


def test_clipping_limits_what_a_certain_member_can_do() -> None:
    outputs = np.array([[[1.0, 0.0], [0.5, 0.5]]], np.float32)
    answer = Stack().combine(outputs, np.zeros((1, 2), np.int8), scores_state())
    odds = np.array([1.0, 0.01**2 * 2])
    np.testing.assert_allclose(answer[0], odds / odds.sum(), rtol=1e-5)


def test_values_are_a_linear_model() -> None:
    state = State(
        "stack",
        1,
        {"output": "values", "members": MEMBERS, "classes": ["t"]},
        {
            "subsets": np.array([[True, True], [False, True]]),
            "coefficients": np.array([[[0.25], [0.5]], [[0.0], [2.0]]]),
            "intercepts": np.array([[1.0], [-1.0]]),
        },
    )
    Stack().check(MEMBERS, VALUES, state)
    outputs = np.array([[[4.0], [8.0]], [[np.nan], [8.0]], [[4.0], [np.nan]]], np.float32)
    answer = Stack().combine(outputs, np.array([[0, 0], [1, 0], [0, 1]], np.int8), state)
    assert answer.tolist() == [[6.0], [15.0], [4.0]]


def test_check_accepts_what_fits() -> None:
    Stack().check(MEMBERS, SCORES, scores_state())


def _arrays(**changes: Any) -> dict[str, Any]:
    return {**scores_state().arrays, **changes}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "needs a fitted state"),
        (scores_state(kind="weighted"), "got kind 'weighted'"),
        (scores_state(version=2), "got kind 'stack' version 2"),
        (scores_state(meta={**scores_state().meta, "members": ["y", "x"]}), r"members \[y, x\]"),
        (scores_state(meta={**scores_state().meta, "classes": ["b", "a"]}), r"scores \[b, a\]; .* scores \[a, b\]"),
        (scores_state(meta={**scores_state().meta, "output": "values"}), "fitted for values"),
        (scores_state(meta={**scores_state().meta, "clip": 0.0}), "do not fit"),
        (scores_state(arrays=_arrays(coefficients=np.zeros((2, 4, 3)))), "do not fit"),
        (scores_state(arrays=_arrays(intercepts=np.full((2, 2), np.nan))), "not finite"),
        (scores_state(arrays=_arrays(subsets=np.array([[True, False], [True, True]]))), "do not fit"),
        (scores_state(arrays={}), "do not fit"),
    ],
)
def test_check_refuses_a_state_that_does_not_fit(state: State | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Stack().check(MEMBERS, SCORES, state)
    assert caught.value.path == "state"
