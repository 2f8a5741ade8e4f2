"""Two means on the same rows: proportions where they are, sums of groups elsewhere, in pieces or at once."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest

from quorate.core.stats.intervals import paired_difference, wilson
from quorate.core.stats.paired import Paired


def test_proportions() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(300) < 0.8, rng.random(300) < 0.7
    found = Paired(groups=64)  # fewer groups than rows: proportions need none
    for start in range(0, 300, 77):
        part = slice(start, start + 77)
        found.add(first[part].astype(float), second[part].astype(float))
    assert (found.rows, found.proportions) == (300, True)
    assert astuple(found.first())[:3] == pytest.approx(wilson(int(first.sum()), 300))
    assert astuple(found.second())[:3] == pytest.approx(wilson(int(second.sum()), 300))
    assert astuple(found.difference())[:3] == pytest.approx(paired_difference(first, second))
    d = first.astype(float) - second
    assert found.difference().standard_error == pytest.approx(d.std() / math.sqrt(300))


def test_values() -> None:
    """By hand: the difference of [1, 2, 4] and [0.5, 2, 3] is 0.5 on average."""
    found = Paired()
    found.add(np.array([1.0, 2.0, 4.0]), np.array([0.5, 2.0, 3.0]))
    assert (found.first().value, found.second().value) == (7 / 3, 5.5 / 3)
    difference = found.difference()
    assert difference.value == pytest.approx(0.5)
    assert difference.standard_error == pytest.approx(np.std([0.5, 0.0, 1.0], ddof=1) / math.sqrt(3))
    assert math.isnan(Paired().difference().value)


@pytest.mark.parametrize("by", ["decision", "unit"])
def test_rows_that_belong_together_are_one_sample(by: str) -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.random(200) < 0.7).astype(float), (rng.random(200) < 0.6).astype(float)
    place = np.repeat(np.arange(200), 4)
    alone, together = Paired(), Paired()
    alone.add(first, second, np.arange(200), np.arange(200))
    together.add(np.repeat(first, 4), np.repeat(second, 4), place, place if by == "unit" else None)
    assert not together.proportions
    assert together.difference().value == pytest.approx(alone.difference().value)
    assert together.difference().standard_error == pytest.approx(alone.difference().standard_error)


def test_decisions_of_one_row_each_are_on_their_own() -> None:
    found = Paired()
    found.add(np.ones(3), np.zeros(3), np.arange(3))
    found.add(np.ones(2), np.zeros(2), np.arange(2))
    assert found.proportions
    found.add(np.ones(2), np.zeros(2), np.zeros(2, int))
    assert not found.proportions
