import numpy as np
import pytest

from quorate.core.conformal.values import disagreement, interval, of_numbers

ONE = np.ones(1)


def test_disagreement_is_of_those_who_answered() -> None:
    outputs = np.array([[[1.0], [3.0], [100.0]], [[1.0], [5.0], [9.0]], [[1.0], [2.0], [3.0]]], np.float32)
    status = np.array([[0, 0, 1], [0, 0, 0], [0, 2, 1]], np.int8)
    assert disagreement(outputs, status) == pytest.approx([1.0, np.std([1, 5, 9]), np.nan], nan_ok=True)


def test_scores_and_intervals_are_each_others_inverse() -> None:
    rng = np.random.default_rng(0)
    low = rng.normal(size=200)
    high = low + rng.random(200)
    scale = rng.uniform(0.5, 2.0, 200)
    for kind in ("absolute", "normalised", "cqr"):
        some = (low, low) if kind != "cqr" else (low, high)
        for threshold in (0.3, 1.0):
            ends = interval(kind, *some, scale, threshold)
            truth = rng.normal(size=200) * 2
            inside = (truth >= ends[:, 0]) & (truth <= ends[:, 1])
            assert np.array_equal(inside, of_numbers(kind, truth, *some, scale) <= threshold)


def test_an_interval_that_would_be_empty_is_a_point_and_unknown_scales_are_unbounded() -> None:
    crossed = interval("cqr", np.array([1.0]), np.array([2.0]), ONE, -3.0)
    assert crossed.tolist() == [[1.5, 1.5]]
    unknown = interval("normalised", ONE, ONE, np.array([np.nan]), 1.0)
    assert unknown.tolist() == [[-np.inf, np.inf]]
    assert interval("absolute", ONE, ONE, ONE, np.inf).tolist() == [[-np.inf, np.inf]]
