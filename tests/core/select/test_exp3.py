import math

import numpy as np
import pytest

from quorate.core.select.exp3 import Exp3, Exp3Params
from quorate.core.select.ucb import Ucb
from quorate.errors import ConfigError


def test_weights_by_hand(told) -> None:
    policy = Exp3(["a", "b"])
    state = policy.learn(None, [told([0.25, None], 0, [0.5, 0.5]), told([None, 1], 1, [0.2, 0.8])])
    assert state.arrays["losses"].tolist() == [1.5, 0.0]  # (1 - 0.25) / 0.5, and (1 - 1) / 0.8
    weights = np.exp(-math.sqrt(math.log(2) / (2 * 2)) * np.array([1.5, 0.0]))
    assert policy.distribution(state, {}, {}) == pytest.approx(weights / weights.sum())


def test_losses_are_weighted_by_the_probability_that_was_recorded_not_by_todays(told) -> None:
    policy = Exp3(["a", "b"])
    state = policy.learn(None, [told([0, None], 0, [0.5, 0.5])] * 20)
    assert policy.distribution(state, {}, {})[0] < 0.05
    late = policy.learn(state, [told([0, None], 0, [0.5, 0.5])])
    assert (late.arrays["losses"] - state.arrays["losses"]).tolist() == [2.0, 0.0]


def test_full_feedback_needs_no_propensities(told) -> None:
    policy = Exp3(["a", "b"])
    state = policy.learn(None, [told([1, 0.25], 0, [0.0, 1.0])])
    assert state.arrays["losses"].tolist() == [0.0, 0.75]
    assert state.arrays["strange"].tolist() == [0.0]


def test_partial_feedback_counts_for_the_assigned_strategy_alone(told) -> None:
    policy = Exp3(["a", "b", "c"])
    state = policy.learn(None, [told([0.5, 0.0, None], 0, [0.5, 0.25, 0.25])])
    assert state.arrays["losses"].tolist() == [1.0, 0.0, 0.0]


def test_what_cannot_have_been_drawn_is_counted_and_left_out(told) -> None:
    policy = Exp3(["a", "b"])
    rows = [told([0, None], 0, [0.0, 1.0]), told([None, 1], 0), told([0, None], 0, [math.nan, 1.0])]
    state = policy.learn(None, rows)
    assert state.arrays["losses"].tolist() == [0.0, 0.0]
    assert state.arrays["count"].tolist() == [0.0]
    assert state.arrays["strange"].tolist() == [3.0]


def test_discounted_losses_by_hand(told) -> None:
    policy = Exp3(["a", "b"], Exp3Params(discount=0.5, rate=2.0))
    state = policy.learn(None, [told([0, 1]), told([0, 1]), told([1, 0])])
    assert state.arrays["losses"].tolist() == [0.75, 1.0]
    eta = 2.0 * math.sqrt(math.log(2) / (2 * 1.75))
    assert policy.distribution(state, {}, {})[0] == pytest.approx(1 / (1 + math.exp(-eta * 0.25)))


def test_regret_stays_under_the_bound_against_an_opponent(told) -> None:
    """The strategy that has had more of the probability so far gets reward 0, the other one 1."""
    n = 2000
    policy = Exp3(["a", "b"])
    state, got, best = policy.initial(), 0.0, np.zeros(2)
    rng = np.random.default_rng(0)
    for _ in range(n):
        p = policy.distribution(state, {}, {})
        rewards = [float(p[0] < p[1]), float(p[0] >= p[1])]
        arm = int(rng.random() >= p[0])
        got += p @ rewards
        best += rewards
        state = policy.learn(state, [told([rewards[i] if i == arm else None for i in range(2)], arm, p)])
    regret = best.max() - got
    assert regret < 2 * math.sqrt(n * 2 * math.log(2))


def test_refuses_a_rate_of_nothing() -> None:
    with pytest.raises(ConfigError, match="rate must be a number above 0"):
        Exp3(["a", "b"], Exp3Params(rate=0.0)).check()


def test_the_bound_that_it_states() -> None:
    assert Exp3(["a", "b"]).regret_bound(500) == pytest.approx(2 * math.sqrt(500 * 2 * math.log(2)))
    rushed = Exp3(["a", "b", "c"], Exp3Params(rate=2.0, floor=0.01))
    assert rushed.regret_bound(100) == pytest.approx(2.5 * math.sqrt(100 * 3 * math.log(3)) + 3 * 0.01 * 100)
    for forgets in (Exp3Params(discount=0.99), Exp3Params(half_life_s=60.0), Exp3Params(baseline="a", floor=0.02)):
        assert Exp3(["a", "b"], forgets).regret_bound(100) is None
    assert Ucb(["a"]).regret_bound(100) is None


@pytest.mark.parametrize("k", [2, 5])
def test_the_stated_bound_holds_where_only_the_drawn_reward_is_known(told, k: int) -> None:
    """Against an opponent that takes from whoever is ahead: the expected loss, so without chance of its own draws."""
    n, rng = 400, np.random.default_rng(k)
    policy = Exp3([f"s{i}" for i in range(k)])
    regrets = []
    for _ in range(8):
        state, own, lost = policy.initial(), 0.0, np.zeros(k)
        for _ in range(n):
            p = policy.distribution(state, {}, {})
            losses = np.zeros(k)
            losses[p.argmax()] = 1.0
            own += float(p @ losses)
            lost += losses
            drawn = int(rng.choice(k, p=p))
            rewards = [None] * k
            rewards[drawn] = 1.0 - losses[drawn]
            state = policy.learn(state, [told(rewards, drawn, p.tolist())])
        regrets.append(own - lost.min())
    bound = policy.regret_bound(n)
    assert bound is not None
    assert 0.0 < np.mean(regrets) <= bound
