"""Feedback as columns is the feedback it was made of."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.core.select.base import Feedback
from quorate.core.select.columns import FeedbackColumns, joined
from quorate.core.select.thompson import Thompson


def rows(n: int, k: int = 3, seed: int = 0) -> list[Feedback]:
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        p = tuple(rng.dirichlet(np.ones(k)).tolist())
        rewards = np.where(rng.random(k) < 0.3, np.nan, rng.random(k))
        at = float(rng.integers(5))
        found.append(Feedback({"i": i}, {"load": 0.5}, p, i % k, rewards, at, float(rng.random()), i % 4 == 0))
    return found


def same(one: Feedback, other: Feedback) -> bool:
    plain = [(*each[:4], *each[5:]) for each in (one, other)]
    return plain[0] == plain[1] and np.array_equal(one.rewards, other.rewards, equal_nan=True)


def alike(one: FeedbackColumns, other: list[Feedback]) -> bool:
    return len(one) == len(other) and all(map(same, one, other))


def test_rows_come_back_one_by_one_in_slices_and_in_order() -> None:
    told = rows(20)
    columns = FeedbackColumns.of(told, 3)
    assert alike(columns, told)
    assert all(same(columns[i], told[i]) for i in (0, 7, -1))
    assert alike(columns[3:9:2], told[3:9:2])
    assert alike(columns.take(np.array([5, 2, 2])), [told[5], told[2], told[2]])
    assert alike(columns.by_time(), sorted(told, key=lambda each: each.at))
    assert alike(joined([columns[:5], columns[5:5], columns[5:]]), told)
    with pytest.raises(IndexError):
        columns[20]


def test_nothing_is_no_feedback() -> None:
    assert not FeedbackColumns.of([], 3)
    assert FeedbackColumns.of([], 3).rewards.shape == (0, 3)


def test_rows_about_other_strategies_are_refused() -> None:
    with pytest.raises(ValueError, match=r"3 strategies; got \[2, 3\]"):
        FeedbackColumns.of([*rows(2), *rows(1, 2)], 3)
    with pytest.raises(ValueError, match="about 2 strategies; got 3"):
        Thompson(["a", "b"]).learn(None, FeedbackColumns.of(rows(4), 3))


def test_a_policy_learns_the_same_of_both() -> None:
    policy, told = Thompson(["a", "b", "c"]), rows(50)
    one, other = policy.learn(None, told), policy.learn(None, FeedbackColumns.of(told, 3))
    assert one.arrays.keys() == other.arrays.keys()
    assert all(np.array_equal(one.arrays[name], other.arrays[name], equal_nan=True) for name in one.arrays)
