"""Intervals that hold together: as often as they say, also where rows come in groups."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quorate.core.audit.together import MOST_GROUPS, standard_error, together


def coverage(groups: int, size: int, runs: int = 200) -> float:
    """How often all intervals of five correlated means hold."""
    held = 0
    for seed in range(runs):
        rng = np.random.default_rng([groups, seed])
        common = rng.standard_normal((groups, 1))
        per_group = np.repeat(common + rng.standard_normal((groups, 5)), size, axis=0)
        rows = per_group + 0.3 * rng.standard_normal((groups * size, 5))
        found = together(rows, np.repeat(np.arange(groups), size), rng)
        held += all(each.low <= 0 <= each.high for each in found)
    return held / runs


@pytest.mark.parametrize(("groups", "size"), [(60, 1), (40, 4)])
def test_all_hold_at_once_as_often_as_stated(groups: int, size: int) -> None:
    assert 0.91 <= coverage(groups, size) <= 0.985


def test_they_are_wider_than_one_alone_and_narrower_than_bonferroni() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1000, 1)) + 0.2 * rng.standard_normal((1000, 8))
    found = together(rows, np.arange(1000), rng)
    half = (found[0].high - found[0].low) / 2 / found[0].standard_error
    assert 1.96 < half < 2.74


def test_no_difference_seen_is_no_certainty() -> None:
    rng = np.random.default_rng(0)
    (one,) = together(np.zeros((500, 1)), np.arange(500), rng, least=1.0)
    assert one.high == pytest.approx(1.96 * math.sqrt(2) / 500, rel=0.01)
    (bare,) = together(np.zeros((500, 1)), np.arange(500), rng)
    assert (bare.low, bare.high) == (0.0, 0.0)
    (more,) = together(np.zeros((500, 1)), np.arange(500), rng, more=np.array([0.01]))
    assert more.high == pytest.approx(0.0196, rel=0.01)


def test_groups_count_not_rows() -> None:
    rng = np.random.default_rng(1)
    values = np.repeat(rng.standard_normal(200), 5)
    grouped = standard_error(values, np.repeat(np.arange(200), 5))
    assert grouped == pytest.approx(values[::5].std(ddof=1) / math.sqrt(200))
    assert standard_error(values, np.arange(1000)) == pytest.approx(grouped / math.sqrt(5), rel=0.01)
    assert standard_error(values, np.zeros(1000, int)) == math.inf
    assert math.isnan(together(values[:, None], np.zeros(1000, int), rng)[0].low)
    assert math.isnan(together(np.zeros((0, 2)), np.zeros(0, int), rng)[1].value)


def test_very_many_groups_are_put_together() -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_normal((4 * MOST_GROUPS, 1))
    (found,) = together(values, np.arange(len(values)), rng)
    assert found.standard_error == pytest.approx(1 / math.sqrt(len(values)), rel=0.06)
