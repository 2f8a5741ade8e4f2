"""Isotonic calibration is scikit-learn's isotonic regression, one class against the rest."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from quorate.core.calibrate.isotonic import Isotonic, non_decreasing
from quorate.core.types import State

RNG = np.random.default_rng(5)


def reference(scores: np.ndarray, hit: np.ndarray, asked: np.ndarray) -> np.ndarray:
    fitted = IsotonicRegression(out_of_bounds="clip").fit(scores.astype(np.float64), hit.astype(float))
    found: np.ndarray = fitted.predict(asked.astype(np.float64))
    return found


@pytest.mark.parametrize("rounded", [1, 2, 7])
def test_two_classes_have_the_values_of_isotonic_regression(rounded: int) -> None:
    one = np.round(RNG.beta(0.5, 0.5, size=500), rounded).astype(np.float32)
    scores = np.column_stack([1 - one, one])
    y = (RNG.random(500) < one**2).astype(int)
    state = Isotonic().fit(scores, y, {})
    asked = np.linspace(0, 1, 1001, dtype=np.float32)
    found = Isotonic().probabilities(np.column_stack([1 - asked, asked]), state)
    np.testing.assert_allclose(found[:, 1], reference(one, y, asked), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_several_classes_are_those_of_each_against_the_rest_by_their_sum() -> None:
    k = 6
    scores = RNG.dirichlet(np.full(k, 0.4), size=800).astype(np.float32)
    y = (scores.cumsum(axis=1) > RNG.random((800, 1))).argmax(axis=1)
    y[:100] = RNG.integers(k, size=100)
    state = Isotonic().fit(scores, y, {})
    asked = RNG.dirichlet(np.full(k, 0.4), size=300).astype(np.float32)
    each = np.stack([reference(scores[:, c], y == c, asked[:, c]) for c in range(k)], axis=1)
    total = each.sum(axis=1, keepdims=True)
    assert (total > 0).all()
    np.testing.assert_allclose(Isotonic().probabilities(asked, state), each / total, atol=1e-6)


def test_a_row_that_no_class_claims_stays_as_it_is() -> None:
    scores = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]], np.float32)
    state = Isotonic().fit(scores, np.array([0, 1, 2]), {})
    low = np.array([[0.04, 0.03, 0.02]], np.float32)
    np.testing.assert_array_equal(Isotonic().probabilities(low, state), low)


def test_pooling_is_the_closest_monotone_fit() -> None:
    means, weights = RNG.normal(size=200), RNG.integers(1, 9, size=200).astype(float)
    expected = IsotonicRegression().fit_transform(np.arange(200), means, sample_weight=weights)
    np.testing.assert_allclose(non_decreasing(means, weights), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"values": np.zeros(2)}, "array 'thresholds'"),
        ({"thresholds": np.array([1.0, 0.0]), "values": np.zeros(2)}, "array 'thresholds'"),
        ({"thresholds": np.array([0.1, 1.0]), "values": np.zeros(2)}, "array 'thresholds'"),
        ({"thresholds": np.array([0.0, 1.0]), "values": np.zeros(3)}, "array 'values'"),
        ({"thresholds": np.array([0.0, 1.0]), "values": np.array([0.0, np.nan])}, "array 'values'"),
    ],
)
def test_a_state_that_does_not_fit_is_told(arrays: dict[str, np.ndarray], says: str) -> None:
    assert Isotonic().wrong(State("isotonic", 1, {}, arrays), 2) == says
