"""Likeness of two members: published values, closed forms, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quorate.core.audit.game import Rows
from quorate.core.audit.redundancy import pairs

from .conftest import numbers, scores


def answered(both: int, first: int, second: int, neither: int) -> Rows:
    """Two members of which so many rows are right by both, by the first, by the second, by none."""
    right = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [both, first, second, neither], axis=0)
    n = len(right)
    outputs = np.eye(2, dtype=np.float32)[right]
    return Rows(outputs, np.zeros((n, 2), np.int8), np.ones(n, np.int64), np.arange(n))


def test_figures_of_a_table() -> None:
    (found,) = pairs(answered(40, 10, 20, 30), classes=True)
    assert found.q is not None
    assert found.double_fault is not None
    assert found.q.value == pytest.approx((40.5 * 30.5 - 10.5 * 20.5) / (40.5 * 30.5 + 10.5 * 20.5))
    assert (found.disagreement.value, found.double_fault.value) == (0.3, 0.3)
    assert found.disagreement.low == pytest.approx(0.2191, abs=2e-4)  # Wilson's of 30 in 100
    assert found.disagreement.high == pytest.approx(0.3958, abs=2e-4)
    error = math.sqrt(1 / 40.5 + 1 / 10.5 + 1 / 20.5 + 1 / 30.5)
    log_odds = math.log(40.5 * 30.5 / 10.5 / 20.5)
    assert found.q.low == pytest.approx(math.tanh((log_odds - 1.96 * error) / 2), abs=2e-3)
    assert found.correlation is None


def test_copies_independent_ones_and_opposites() -> None:
    (same,) = pairs(answered(50, 0, 0, 50), classes=True)
    (apart,) = pairs(answered(25, 25, 25, 25), classes=True)
    (opposite,) = pairs(answered(0, 50, 50, 0), classes=True)
    assert same.q is not None
    assert apart.q is not None
    assert opposite.q is not None
    assert same.q.value > 0.99
    assert same.q.low < same.q.value  # even where no row differs, more might
    assert apart.q.value == 0
    assert opposite.q.value < -0.99


def test_q_covers_what_it_is_in_truth() -> None:
    """Independent members: Q is 0; groups of four rows alike."""
    held = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        right = np.repeat(rng.random((80, 2)) < [0.7, 0.6], 4, axis=0).astype(int)
        outputs = np.eye(2, dtype=np.float32)[right]
        rows = Rows(outputs, np.zeros((320, 2), np.int8), np.ones(320, np.int64), np.repeat(np.arange(80), 4))
        (found,) = pairs(rows, classes=True)
        assert found.q is not None
        held += found.q.low <= 0 <= found.q.high
    assert 0.91 <= held / 300 <= 0.985


def test_rows_that_one_did_not_answer_are_left_out() -> None:
    rows = scores(60, [1.0, 1.0, 0.5])
    status = rows.status.copy()
    status[:20, 0] = 1
    status[:, 2] = 1
    found = {(p.first, p.second): p for p in pairs(Rows(rows.outputs, status, rows.truth, rows.group), classes=True)}
    assert found[0, 1].rows == 40
    assert found[1, 2].rows == 0
    assert math.isnan(found[1, 2].disagreement.value)


def test_numbers_have_a_correlation_of_errors() -> None:
    rows = numbers(2000, [1.0, 1.0], seed=1)
    (found,) = pairs(rows, classes=False)
    assert found.q is None
    assert found.correlation is not None
    one, two = (rows.outputs[:, j, 0] - rows.truth for j in (0, 1))
    assert found.correlation.value == pytest.approx(np.corrcoef(one, two)[0, 1], abs=1e-6)
    assert found.correlation.low < 0 < found.correlation.high
    assert found.disagreement.value == pytest.approx(np.abs(one - two).mean(), rel=1e-5)
