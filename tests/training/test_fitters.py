import math
from typing import Any

import numpy as np
import pytest

from quorate.codecs.state import decode, encode
from quorate.core.combine.mean import Mean
from quorate.core.combine.stack import Stack
from quorate.core.combine.weighted import LEAST_WEIGHT, Weighted
from quorate.core.types import OutputSpec, State, Status
from quorate.errors import InvalidInput
from quorate.training.fitters import fit_log_odds_weights, fit_stack, fit_stack_values

MEMBERS = ["fine", "overconfident", "confused", "guessing"]
CLASSES = ["a", "b", "c"]
OUTPUT = OutputSpec("scores", classes=("a", "b", "c"))


def softmax(logits: Any) -> Any:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def classification(n: int, seed: int) -> tuple[Any, Any]:
    """Four members: one fine, one right as often but far too sure, one that swaps two classes, one that guesses."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    true = np.eye(3)[y]
    shared = rng.normal(size=(n, 3))
    logits = np.stack(
        [
            1.5 * true + 0.6 * shared + 0.6 * rng.normal(size=(n, 3)),
            8.0 * (1.5 * true + 0.6 * shared + 0.8 * rng.normal(size=(n, 3))),
            2.0 * true[:, [1, 0, 2]] + 0.8 * rng.normal(size=(n, 3)),
            rng.normal(size=(n, 3)),
        ],
        axis=1,
    )
    return softmax(logits).astype(np.float32), y


def accuracy(answer: Any, y: Any) -> float:
    return float((answer.argmax(axis=1) == y).mean())


def log_loss(answer: Any, y: Any) -> float:
    return float(-np.log(np.maximum(answer[np.arange(len(y)), y], 1e-7)).mean())


def calibration_error(answer: Any, y: Any, bins: int = 10) -> float:
    confidence, right = answer.max(axis=1), answer.argmax(axis=1) == y
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(right[place == b].sum() - confidence[place == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(y))


@pytest.fixture(scope="module")
def fitted() -> State:
    outputs, y = classification(1500, seed=0)
    return fit_stack(outputs, y, MEMBERS, CLASSES, C=1.0)


@pytest.mark.parametrize(
    "present",
    [
        (1, 1, 1, 1),
        (0, 1, 1, 1),
        (1, 0, 1, 1),
        (1, 1, 0, 1),
        (1, 1, 1, 0),
        (0, 1, 1, 0),
        (1, 1, 0, 0),
        (0, 1, 0, 1),
        (0, 0, 1, 0),
    ],
)
def test_stacking_with_missing_members_is_right_more_often_and_calibrated_better_than_the_mean(
    fitted: State, present: tuple[int, ...]
) -> None:
    outputs, y = classification(3000, seed=1)
    missing = np.array(present) == 0
    outputs[:, missing] = np.nan
    status = np.where(missing, np.int8(Status.FAILED), np.int8(Status.OK))[None].repeat(len(y), axis=0)
    stacked, mean = Stack().combine(outputs, status, fitted), Mean().combine(outputs, status)
    assert accuracy(stacked, y) >= accuracy(mean, y) - 0.01
    assert log_loss(stacked, y) < log_loss(mean, y) - 0.01
    assert calibration_error(stacked, y) < min(0.04, calibration_error(mean, y))


def test_coefficients_of_the_full_set_alone_would_not_do(fitted: State) -> None:
    """Why each set has its own: to fill a missing member's place with indifference costs accuracy or calibration."""
    outputs, y = classification(3000, seed=1)
    filled = outputs.copy()
    filled[:, 2] = 1 / 3
    status = np.zeros((len(y), 4), np.int8)
    naive = Stack().combine(filled, status, fitted)
    status[:, 2] = Status.FAILED
    own = Stack().combine(outputs, status, fitted)
    assert log_loss(own, y) < log_loss(naive, y) - 0.01


def test_a_stack_state_fits_its_combiner_and_says_what_it_is(fitted: State) -> None:
    Stack().check(MEMBERS, OUTPUT, fitted)
    assert fitted.arrays["subsets"].shape == (15, 4)
    assert fitted.meta == {"output": "scores", "members": MEMBERS, "classes": CLASSES, "clip": 0.001, "C": 1.0}


def test_a_state_comes_back_from_its_files(fitted: State) -> None:
    back = decode(encode(fitted))
    Stack().check(MEMBERS, OUTPUT, back)
    outputs, _ = classification(20, seed=2)
    status = (np.arange(80).reshape(20, 4) % 3).astype(np.int8)
    np.testing.assert_array_equal(Stack().combine(outputs, status, back), Stack().combine(outputs, status, fitted))


def test_absent_members_have_no_coefficients(fitted: State) -> None:
    for subset, coefficients in zip(fitted.arrays["subsets"], fitted.arrays["coefficients"], strict=True):
        assert not coefficients.reshape(4, 3, 3)[~subset].any()
        assert coefficients.reshape(4, 3, 3)[subset].any(axis=(1, 2)).all()


def test_two_classes() -> None:
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 800)
    positive = 1 / (1 + np.exp(-(2 * y - 1)[:, None] - rng.normal(size=(800, 2))))
    outputs = np.stack([1 - positive, positive], axis=2).astype(np.float32)
    state = fit_stack(outputs[:400], y[:400], ["x", "y"], ["no", "yes"], C=1.0)
    Stack().check(["x", "y"], OutputSpec("scores", classes=("no", "yes")), state)
    answer = Stack().combine(outputs[400:], np.zeros((400, 2), np.int8), state)
    assert accuracy(answer, y[400:]) > 0.85
    assert calibration_error(answer, y[400:]) < 0.06


def test_the_strength_is_chosen_by_cross_validation_and_seeded() -> None:
    outputs, y = classification(90, seed=5)
    one, again = (fit_stack(outputs[:, :2], y, MEMBERS[:2], CLASSES, max_missing=0, seed=4) for _ in range(2))
    assert one.meta == again.meta
    np.testing.assert_array_equal(one.arrays["coefficients"], again.arrays["coefficients"])
    # Members that know nothing deserve the strongest penalty, plenty of good data a weak one.
    noise = np.random.default_rng(0).dirichlet(np.ones(3), size=(60, 4)).astype(np.float32)
    weak = fit_stack(noise, np.arange(60) % 3, MEMBERS, CLASSES, max_missing=0)
    many, truth = classification(1500, seed=6)
    strong = fit_stack(many, truth, MEMBERS, CLASSES, max_missing=0)
    assert weak.meta["C"] == 0.01 < strong.meta["C"]


@pytest.mark.parametrize(
    ("m", "max_missing", "subsets"), [(2, None, 3), (5, None, 31), (6, None, 22), (6, 1, 7), (3, 0, 1)]
)
def test_which_sets_are_fitted(m: int, max_missing: int | None, subsets: int) -> None:
    rng = np.random.default_rng(0)
    state = fit_stack_values(
        rng.normal(size=(40, m, 1)).astype(np.float32),
        rng.normal(size=(40, 1)),
        [f"m{i}" for i in range(m)],
        ["t"],
        max_missing=max_missing,
    )
    found = state.arrays["subsets"]
    assert found.shape == (subsets, m)
    assert found[0].all()
    assert len(np.unique(found, axis=0)) == subsets
    assert found.any(axis=1).all()


def test_values_are_regressed_per_set() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=(600, 2))
    noise = rng.normal(size=(600, 3, 2)) * np.array([0.2, 0.5, 1.0])[None, :, None]
    outputs = (2 * y[:, None] + 3 + noise).astype(np.float32)
    members, names = ["x", "y", "z"], ["s", "t"]
    state = fit_stack_values(outputs[:300], y[:300], members, names)
    Stack().check(members, OutputSpec("values", names=("s", "t")), state)
    for missing, worst in (([], 0.1), ([0], 0.25), ([0, 1], 0.5)):
        status = np.zeros((300, 3), np.int8)
        status[:, missing] = Status.FAILED
        answer = Stack().combine(outputs[300:], status, state)
        assert np.sqrt(((answer - y[300:]) ** 2).mean()) < worst


def test_members_that_agree_perfectly_share_their_weight() -> None:
    y = np.random.default_rng(2).normal(size=(50, 1))
    outputs = np.repeat(y[:, None], 2, axis=1).astype(np.float32)
    state = fit_stack_values(outputs, y, ["x", "y"], ["t"])
    assert state.arrays["coefficients"][0].ravel() == pytest.approx([0.5, 0.5], abs=1e-6)


def test_log_odds_weights_follow_the_formula() -> None:
    outputs, y = classification(500, seed=7)
    state = fit_log_odds_weights(outputs, y, MEMBERS)
    Weighted().check(MEMBERS, OUTPUT, state)
    right = (outputs.argmax(axis=2) == y[:, None]).sum(axis=0)
    p = (right + 0.5) / 501
    formula = np.log(p / (1 - p)) + math.log(2)
    np.testing.assert_allclose(state.arrays["weights"], np.maximum(formula, LEAST_WEIGHT))
    assert state.arrays["weights"][3] < 0.3 < state.arrays["weights"][0]


def test_a_member_that_is_always_right_has_a_finite_weight() -> None:
    y = np.arange(30) % 3
    outputs = np.stack([np.eye(3)[y], np.eye(3)[(y + 1) % 3]], axis=1).astype(np.float32)
    weights = fit_log_odds_weights(outputs, y, ["right", "wrong"]).arrays["weights"]
    assert weights.tolist() == pytest.approx([math.log(61) + math.log(2), LEAST_WEIGHT])


def test_weights_beat_the_mean_when_members_differ() -> None:
    outputs, y = classification(1500, seed=0)
    test_outputs, truth = classification(3000, seed=1)
    status = np.zeros((len(truth), 4), np.int8)
    weighted = Weighted().combine(test_outputs, status, fit_log_odds_weights(outputs, y, MEMBERS))
    assert accuracy(weighted, truth) > accuracy(Mean().combine(test_outputs, status), truth) + 0.02


GOOD, TRUTH = classification(60, seed=9)


def _nan() -> Any:
    outputs = GOOD.copy()
    outputs[3, 1] = np.nan
    return outputs


@pytest.mark.parametrize(
    ("outputs", "y", "message", "path"),
    [
        (GOOD[:, :3], TRUTH, r"expected outputs \[n, 4, 3\].*got \[60, 3, 3\]", "outputs"),
        (GOOD[:0], TRUTH[:0], "n above 0", "outputs"),
        (GOOD, TRUTH[:-1], r"one truth for each of the 60 rows; got \[59\]", "y"),
        (_nan(), TRUTH, "must be finite", "outputs"),
        (GOOD, TRUTH + 1, r"0\.\.2; got 1\.\.3", "y"),
        (GOOD, np.array(CLASSES)[TRUTH], "class indices", "y"),
        (GOOD, TRUTH.astype(float), "class indices", "y"),
        (GOOD, np.minimum(TRUTH, 1), "at least 3 rows of every class; class 'c' has 0", "y"),
    ],
)
def test_refuses_what_cannot_be_fitted(outputs: Any, y: Any, message: str, path: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        fit_stack(outputs, y, MEMBERS, CLASSES)
    assert caught.value.path == path


def test_refuses_a_number_of_missing_members_that_leaves_none() -> None:
    with pytest.raises(InvalidInput, match=r"0\.\.3 for 4 members; got 4"):
        fit_stack(GOOD, TRUTH, MEMBERS, CLASSES, max_missing=4, C=1.0)
    with pytest.raises(InvalidInput, match=r"finite true values \[60, 3\]"):
        fit_stack_values(GOOD, np.zeros((60, 2)), MEMBERS, ["s", "t", "u"])
