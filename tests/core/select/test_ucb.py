import math

import numpy as np
import pytest

from quorate.core.select.ucb import Ucb, UcbParams
from quorate.errors import ConfigError


def test_bounds_by_hand(told) -> None:
    policy = Ucb(["a", "b"], UcbParams(floor=0.0))
    state = policy.learn(None, [told([1, None]), told([0, None]), told([1, None]), told([None, 0.5], 1)])
    expected = [2 / 3 + math.sqrt(2 * math.log(4) / 3), 0.5 + math.sqrt(2 * math.log(4) / 1)]
    assert state.arrays["bounds"] == pytest.approx(expected)
    assert policy.distribution(state, {}, {}).tolist() == [0.0, 1.0]


def test_discounted_bounds_by_hand(told) -> None:
    policy = Ucb(["a", "b"], UcbParams(floor=0.0, discount=0.5, exploration=0.6))
    state = policy.learn(None, [told([None, 1], 1), told([1, None]), told([1, None]), told([0, None])])
    na, nb = 1.75, 0.125
    doubt = [2 * math.sqrt(0.6 * math.log(na + nb) / n) for n in (na, nb)]
    assert state.arrays["bounds"] == pytest.approx([0.75 / na + doubt[0], 1.0 + doubt[1]])


def test_strategies_without_a_reward_come_first_and_share(told) -> None:
    policy = Ucb(["a", "b", "c"], UcbParams(floor=0.1))
    state = policy.learn(None, [told([1, None, None])])
    assert policy.distribution(state, {}, {}) == pytest.approx([0.1, 0.45, 0.45])


def test_equal_bounds_share(told) -> None:
    policy = Ucb(["a", "b", "c"], UcbParams(floor=0.0))
    state = policy.learn(None, [told([1, 0, 1]), told([0, 0, 0])])
    assert policy.distribution(state, {}, {}).tolist() == [0.5, 0.0, 0.5]


def test_what_has_faded_away_counts_as_never_seen(told) -> None:
    policy = Ucb(["a", "b"], UcbParams(floor=0.0, discount=0.5))
    state = policy.learn(None, [told([None, 0], 1)] + [told([1, None])] * 60)
    assert policy.distribution(state, {}, {}).tolist() == [0.0, 1.0]
    assert np.isinf(state.arrays["bounds"][1])


def test_refuses_negative_exploration() -> None:
    with pytest.raises(ConfigError, match="exploration must be a number of at least 0"):
        Ucb(["a", "b"], UcbParams(exploration=-1.0)).check()
