"""Venn-Abers: two isotonic regressions a row, worked out in one pass; and what they promise, by simulation."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from quorate.core.calibrate.isotonic import grouped
from quorate.core.calibrate.venn_abers import VennAbers, steps
from quorate.core.types import State

RNG = np.random.default_rng(7)


def by_definition(scores: np.ndarray, y: np.ndarray, s: float) -> tuple[float, float]:
    """p0 and p1: the isotonic regression with one row more, at that row."""
    found = []
    for label in (0.0, 1.0):
        x, target = np.append(scores, s), np.append(y, label)
        found.append(float(IsotonicRegression().fit(x, target).predict([s])[0]))
    return found[0], found[1]


@pytest.mark.parametrize("rounded", [1, 6])
@pytest.mark.parametrize("n", [1, 2, 12, 60])
def test_it_is_the_two_regressions_of_the_definition(rounded: int, n: int) -> None:
    for _ in range(4):
        one = np.round(RNG.random(n), rounded).astype(np.float32)
        y = (RNG.random(n) < one).astype(int)
        state = VennAbers().fit(np.column_stack([1 - one, one]), y, {})
        asked = np.unique(np.concatenate([one, RNG.random(8).astype(np.float32), np.float32([0, 1])]))
        p0, p1 = VennAbers().pairs(np.column_stack([1 - asked, asked]), state)
        expected = np.array([by_definition(one.astype(float), y, float(s)) for s in asked])
        np.testing.assert_allclose(np.column_stack([p0, p1]), expected, atol=1e-9)
        assert (p0 <= p1).all()


def test_the_two_become_one_and_several_classes_are_divided_by_their_sum() -> None:
    k = 4
    scores = RNG.dirichlet(np.full(k, 0.5), size=300).astype(np.float32)
    y = (scores.cumsum(axis=1) > RNG.random((300, 1))).argmax(axis=1)
    state = VennAbers().fit(scores, y, {})
    asked = RNG.dirichlet(np.full(k, 0.5), size=20).astype(np.float32)
    each = np.empty((20, k))
    for c in range(k):
        for row in range(20):
            p0, p1 = by_definition(scores[:, c].astype(float), (y == c).astype(int), float(asked[row, c]))
            each[row, c] = p1 / (1 - p0 + p1)
    expected = each / each.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(VennAbers().probabilities(asked, state), expected, atol=1e-9)


def test_the_one_of_the_label_that_comes_true_is_calibrated() -> None:
    """Theorem 1 of the paper, for any scores: here they are too sure, and calibration has 15 rows only."""
    selected, came = [], []
    for _ in range(3000):
        chance = RNG.beta(0.7, 0.7, size=21)
        y = (RNG.random(21) < chance).astype(float)
        scores = chance**4 / (chance**4 + (1 - chance) ** 4)  # over-confident
        x, means, weights = grouped(scores[:15], y[:15] == 1)
        p0, p1 = steps(means, weights)
        for s, truth in zip(scores[15:], y[15:], strict=True):
            pair = p0[np.searchsorted(x, s, side="right")], p1[np.searchsorted(x, s, side="left")]
            selected.append(pair[int(truth)])
            came.append(truth)
    p, y = np.array(selected), np.array(came)
    # Rows of one calibration set share it, so the error is that of the sets' means.
    for low in np.arange(0, 1, 0.2):
        mine = (p >= low) & ((p < low + 0.2) | ((low > 0.75) & (p <= 1)))
        gap = np.where(mine, y - p, 0.0).reshape(3000, 6).sum(axis=1)
        assert abs(gap.sum()) < 4 * np.sqrt((gap**2).sum()) + 1e-9
    # The scores themselves are far off, so the test can fail.
    assert np.abs(scores - chance).mean() > 0.05


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({}, "array 'thresholds'"),
        ({"thresholds": np.array([0.5, 0.4])}, "array 'thresholds'"),
        ({"thresholds": np.array([1.5])}, "array 'thresholds'"),
        ({"thresholds": np.array([2.5])}, "array 'thresholds'"),
        ({"thresholds": np.array([0.5]), "lower": np.zeros(1), "upper": np.zeros(2)}, "array 'lower'"),
        ({"thresholds": np.array([0.5]), "lower": np.zeros(2), "upper": np.full(2, 2.0)}, "array 'upper'"),
    ],
)
def test_a_state_that_does_not_fit_is_told(arrays: dict[str, np.ndarray], says: str) -> None:
    assert VennAbers().wrong(State("venn-abers", 1, {}, arrays), 2) == says
