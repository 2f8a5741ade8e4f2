"""Contributions of rows: their mean is the metric, and of macro F1 also their variance is right."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.core.audit.metrics import contributions, natural, nothing
from quorate.core.stats.f1 import confusion, macro_f1


def drawn(n: int = 400, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    scores = rng.dirichlet(np.ones(k), n)
    scores[np.arange(n), truth] += 0.4
    return scores / scores.sum(axis=1, keepdims=True), truth


def test_means_are_the_metrics() -> None:
    scores, truth = drawn()
    said, hot = scores.argmax(axis=1), np.eye(3)[truth]
    expected = {
        "accuracy": np.mean(said == truth),
        "log_loss": np.mean(np.log(scores[np.arange(400), truth])),
        "brier": -np.mean(((scores - hot) ** 2).sum(axis=1)),
        "macro_f1": macro_f1(confusion(truth, said, 3)),
    }
    for metric, value in expected.items():
        assert contributions(metric, scores, truth).mean() == pytest.approx(value, abs=1e-12), metric
    values = np.array([[1.0], [4.0]])
    assert contributions("mse", values, np.array([0.0, 2.0])).tolist() == [-1.0, -4.0]
    assert contributions("mae", values, np.array([0.0, 2.0])).tolist() == [-1.0, -2.0]
    assert (natural("mse", -4.0), natural("accuracy", 0.5)) == (4.0, 0.5)


def test_a_class_that_never_occurs_is_no_part_of_macro_f1() -> None:
    truth = np.array([0, 0, 1, 1])
    scores = np.eye(4)[[0, 1, 1, 1]]
    assert contributions("macro_f1", scores, truth).mean() == pytest.approx(
        float(macro_f1(confusion(truth, [0, 1, 1, 1], 4)))
    )


def test_the_variance_of_macro_f1_is_that_of_many_samples() -> None:
    """The delta method against the spread of 600 samples of 500 rows each."""
    values, stated = [], []
    for seed in range(600):
        found = contributions("macro_f1", *drawn(500, seed=seed))
        values.append(found.mean())
        stated.append(found.std(ddof=1) / np.sqrt(500))
    assert np.mean(stated) == pytest.approx(np.std(values), rel=0.08)


def test_a_probability_of_zero_costs_a_finite_amount() -> None:
    assert np.isfinite(contributions("log_loss", np.eye(2), np.array([1, 0]))).all()


def test_without_members_frequencies_or_the_middle_are_answered() -> None:
    assert nothing("accuracy", np.array([0, 0, 1]), 3) == pytest.approx([2 / 3, 1 / 3, 0])
    assert nothing("mse", np.array([0.0, 0.0, 9.0]), 1).tolist() == [3.0]
    assert nothing("mae", np.array([0.0, 0.0, 9.0]), 1).tolist() == [0.0]
