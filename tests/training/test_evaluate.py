"""Evaluation: figures checked by hand, and the same combiners that serve."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quorate.core.stats.intervals import paired_difference, wilson
from quorate.training.evaluate import _compared, majority_label, score

TRUTH = np.array([0, 0, 1, 1, 2])
OUTPUT = np.array(
    [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.9, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]], dtype=np.float32
)


def test_a_score_is_what_its_names_say() -> None:
    found = score("a", "member", ("a",), OUTPUT, TRUTH)
    assert found.right.tolist() == [True, False, True, True, True]
    assert found.accuracy == wilson(4, 5)
    # F1 by class: 2/3, 4/5, 1
    assert found.macro_f1.estimate == pytest.approx((2 / 3 + 4 / 5 + 1) / 3)
    assert found.macro_f1.low < found.macro_f1.estimate < 1.0
    assert found.log_loss == pytest.approx(-sum(map(math.log, (0.8, 0.2, 0.9, 1.0, 0.5))) / 5, rel=1e-6)


def test_a_certain_mistake_costs_a_finite_log_loss() -> None:
    wrong = np.array([[0.0, 1.0]], np.float32)
    assert 10 < score("a", "member", ("a",), wrong, np.array([0])).log_loss < 20


def test_the_bootstrap_is_seeded() -> None:
    first, again = (score("a", "member", ("a",), OUTPUT, TRUTH, seed=1) for _ in range(2))
    assert first.macro_f1 == again.macro_f1


def test_comparisons_are_paired_and_hold_together() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)

    def noisy(wrong: int) -> np.ndarray:
        label = truth.copy()
        label[:wrong] = 1 - label[:wrong]
        return np.eye(2, dtype=np.float32)[label]

    best = score("m", "member", ("m",), noisy(40), truth)
    same, better = (score(n, "mean", ("m", "n"), noisy(wrong), truth) for n, wrong in (("same", 40), ("better", 10)))
    found = _compared(best, [same, better])
    assert [c.strategy for c in found] == ["same", "better"]
    assert found[0].difference.estimate == 0
    assert found[1].difference == paired_difference(better.right, best.right, level=0.975)
    assert found[1].difference.low > 0
    alone = _compared(best, [better])[0].difference
    assert alone.low > found[1].difference.low, "one comparison alone may be surer"


def test_the_majority_is_the_most_frequent_label() -> None:
    assert majority_label(np.array(["b", "a", "b"])) == "b"
    assert majority_label(np.array(["b", "a"])) == "a"
