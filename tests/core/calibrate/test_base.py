"""Labels never move: the closest probabilities in which the label that was answered is the greatest."""

import numpy as np
import pytest

from quorate.core.calibrate.base import check_rows, keeping_labels
from quorate.core.calibrate.methods import METHODS
from quorate.errors import InvalidInput

RNG = np.random.default_rng(1)


def test_what_keeps_the_label_is_left_as_it_is() -> None:
    answer = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)
    probabilities = np.array([[0.5, 0.3, 0.2], [0.3, 0.3, 0.4]])
    np.testing.assert_array_equal(keeping_labels(probabilities, answer), probabilities.astype(np.float32))


def test_a_label_that_would_move_shares_the_mean_with_the_classes_above_it() -> None:
    answer = np.array([[0.1, 0.1, 0.8], [0.6, 0.3, 0.1]], np.float32)
    found = keeping_labels(np.array([[0.5, 0.35, 0.15], [0.1, 0.6, 0.3]]), answer)
    np.testing.assert_allclose(found, [[1 / 3, 1 / 3, 1 / 3], [0.35, 0.35, 0.3]], atol=1e-6)
    assert found.argmax(axis=1).tolist() == [2, 0]


@pytest.mark.parametrize("k", [2, 3, 10])
def test_it_is_the_projection_onto_what_keeps_the_label(k: int) -> None:
    probabilities = RNG.dirichlet(np.full(k, 0.4), size=300)
    answer = RNG.dirichlet(np.full(k, 0.4), size=300).astype(np.float32)
    label = answer.argmax(axis=1)
    found = keeping_labels(probabilities, answer).astype(np.float64)
    np.testing.assert_array_equal(found.argmax(axis=1), label)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)
    # The projection x of p onto a convex set: (p - x)(z - x) <= 0 for every z in the set.
    for _ in range(50):
        z = RNG.dirichlet(np.full(k, 0.7), size=300)
        top = z.argmax(axis=1)
        at = np.arange(300)
        z[at, top], z[at, label] = z[at, label], z[at, top]
        assert (((probabilities - found) * (z - found)).sum(axis=1) <= 1e-6).all()


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("k", [2, 5])
def test_no_method_moves_a_label(method: str, k: int) -> None:
    scores = RNG.dirichlet(np.full(k, 0.2), size=400).astype(np.float32)
    scores[:50] = np.eye(k, dtype=np.float32)[RNG.integers(k, size=50)]  # votes
    scores[50:100] = 1.0 / k
    state = METHODS[method].fit(scores, RNG.integers(k, size=400), {})
    answer = np.concatenate([scores, RNG.dirichlet(np.full(k, 0.5), size=400).astype(np.float32)])
    found = METHODS[method].apply(answer, state)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.argmax(axis=1), answer.argmax(axis=1))
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-5)
    assert found.min() >= 0
    assert METHODS[method].wrong(state, k) is None
    # A row's answer depends on that row only.
    np.testing.assert_array_equal(METHODS[method].apply(answer[7:8], state), found[7:8])


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("k", [2, 4])
def test_rows_without_an_answer_have_none_afterwards(method: str, k: int) -> None:
    scores = RNG.dirichlet(np.ones(k), size=60).astype(np.float32)
    state = METHODS[method].fit(scores, RNG.integers(k, size=60), {})
    some = np.concatenate([scores[:1], np.full((1, k), np.nan, np.float32)])
    found = METHODS[method].apply(some, state)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
    assert METHODS[method].apply(some[:0], state).shape == (0, k)


@pytest.mark.parametrize(
    ("scores", "y", "match"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "n above 0"),
        (np.full((3, 1), 1.0), np.zeros(3, int), "two classes"),
        (np.full((3, 2), 0.5), np.zeros(2, int), "as many truths"),
        (np.full((3, 2), 2.0), np.zeros(3, int), "probabilities"),
        (np.full((3, 2), np.nan), np.zeros(3, int), "probabilities"),
        (np.full((3, 2), 0.5), np.full(3, 2), "0..1"),
        (np.full((3, 2), 0.5), np.zeros(3), "integers"),
    ],
)
def test_rows_that_cannot_be_fitted_on_are_refused(scores: np.ndarray, y: np.ndarray, match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        check_rows(scores, y)
