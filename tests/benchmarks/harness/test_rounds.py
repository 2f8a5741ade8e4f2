"""Rounds, medians, ratios."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.harness.rounds import Interval, median_interval, ratio, schedule

NAMES = ["a", "b", "c", "d"]


def test_every_system_is_measured_once_a_round_in_an_order_of_the_seed() -> None:
    rounds = list(schedule(NAMES, 7, seed=3))
    assert len(rounds) == 7
    assert all(sorted(order) == NAMES for order in rounds)
    assert rounds == list(schedule(NAMES, 7, seed=3))
    assert rounds != list(schedule(NAMES, 7, seed=4))


def test_every_second_round_reverses_the_one_before() -> None:
    rounds = list(schedule(NAMES, 6, seed=0))
    for first, second in zip(rounds[::2], rounds[1::2], strict=True):
        assert second == first[::-1]


def test_the_order_is_drawn_anew_every_two_rounds() -> None:
    assert len(set(list(schedule(NAMES, 40, seed=0))[::2])) > 5


@pytest.mark.parametrize(
    ("n", "low", "high", "coverage"),
    [(1, 1, 1, 0.0), (2, 1, 2, 0.5), (5, 1, 5, 0.9375), (6, 1, 6, 0.96875), (10, 2, 9, 0.978515625)],
)
def test_the_interval_is_the_tabulated_one(n: int, low: int, high: int, coverage: float) -> None:
    """The sign-test intervals of any table of order statistics."""
    values = list(range(n, 0, -1))
    assert median_interval(values) == Interval(low, (n + 1) / 2, high, coverage)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_the_interval_holds_the_median_and_is_as_narrow_as_its_level_allows(values: list[float]) -> None:
    found = median_interval(values)
    ordered, n = sorted(values), len(values)
    assert found.low <= found.middle <= found.high
    k = next(k for k in range(1, n + 1) if (ordered[k - 1], ordered[n - k]) == (found.low, found.high))
    assert found.coverage >= 0.95 or (k == 1 and n < 6)
    narrower = 1 - 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n
    ties = ordered[k - 1] == ordered[min(k, n - 1)]
    assert narrower < 0.95 or ties


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        median_interval([])


def test_a_ratio_compares_within_rounds() -> None:
    """The machine halves its speed in the second round; the ratio does not see it."""
    assert ratio([200.0, 100.0, 200.0], [100.0, 50.0, 100.0]) == Interval(2.0, 2.0, 2.0, 0.75)


def test_a_single_value_holds_for_all_rounds() -> None:
    assert ratio([1.0, 2.0, 6.0], [2.0]) == Interval(0.5, 1.0, 3.0, 0.75)
    assert ratio([2.0], [1.0, 2.0, 4.0]) == Interval(0.5, 1.0, 2.0, 0.75)


def test_rounds_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0, 3.0], [1.0, 2.0])
