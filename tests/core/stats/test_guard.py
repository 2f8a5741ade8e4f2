import math

import numpy as np
import pytest

from quorate.core.stats.guard import guard
from quorate.core.stats.missing import missingness
from quorate.core.stats.rewards import bounds, scalarise


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (-0.5, 3.0, "safe"),
        (-0.9, -0.1, "safe"),
        (-1.5, 0.5, "open"),
        (-1.5, -0.2, "harmed"),
        (-3.0, -1.1, "unacceptable"),
        (-math.inf, math.inf, "open"),
        (math.nan, math.nan, "open"),
    ],
)
def test_guard_rails(low: float, high: float, says: str) -> None:
    assert guard(low, high, 1.0, higher_is_better=True) == says
    assert guard(-high, -low, 1.0, higher_is_better=False) == says


def test_a_margin_is_not_negative() -> None:
    for margin in (-1.0, math.nan):
        with pytest.raises(ValueError, match="margin"):
            guard(0, 1, margin, higher_is_better=True)


def test_missing_outcomes_that_differ_are_found_and_equal_ones_are_not() -> None:
    found = missingness(10_000, 6_000, 10_000, 5_500)
    assert found.differs
    assert found.difference == pytest.approx(-0.05)
    assert found.low < found.difference < found.high < 0
    same = missingness(10_000, 6_000, 10_000, 6_010)
    assert not same.differs
    assert same.low < 0 < same.high


def test_missingness_rarely_alarms_over_many_looks() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(300):
        known = np.cumsum(rng.binomial(200, 0.6, (2, 40)), axis=1)
        looks = [
            missingness(200 * (i + 1), int(known[0, i]), 200 * (i + 1), int(known[1, i]), alpha=0.05) for i in range(40)
        ]
        alarms += any(look.differs for look in looks)
    assert alarms / 300 <= 0.05


def test_missingness_without_units_and_with_none_or_all_known() -> None:
    empty = missingness(0, 0, 10, 5)
    assert not empty.differs
    assert (empty.low, empty.high) == (-1.0, 1.0)
    for known in (0, 500):
        assert not missingness(500, known, 500, known).differs
    with pytest.raises(ValueError, match="between 0"):
        missingness(5, 6, 5, 5)


def test_rewards_as_one() -> None:
    rewards = {"right": [1.0, 0.0, math.nan], "ms": [10.0, 20.0, 30.0], "other": [math.nan] * 3}
    np.testing.assert_array_equal(scalarise(rewards, {"right": 1.0, "ms": -0.1}), [0.0, -2.0, math.nan])
    assert bounds({"right": (0, 1), "ms": (0, 50)}, {"right": 2.0, "ms": -0.1}) == (-5.0, 2.0)


@pytest.mark.parametrize(
    ("rewards", "weights", "says"),
    [
        ({"a": [1.0]}, {}, "finite weight"),
        ({"a": [1.0]}, {"a": math.inf}, "finite weight"),
        ({"a": [1.0]}, {"b": 1.0}, "no reward named b; there are a"),
        ({"a": [1.0], "b": [1.0, 2.0]}, {"a": 1.0, "b": 1.0}, "one entry per unit"),
    ],
)
def test_refuses_rewards_that_do_not_fit(rewards: dict, weights: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        scalarise(rewards, weights)
