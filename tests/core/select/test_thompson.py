import math

import numpy as np
import pytest
from scipy import stats

from quorate.core.select import best_arm
from quorate.core.select.assign import draw
from quorate.core.select.thompson import Thompson, ThompsonParams
from quorate.errors import ConfigError


def test_two_strategies_come_to_the_exact_integral(told) -> None:
    policy = Thompson(["a", "b"])
    rows = [told([1, None], 0)] * 3 + [told([0, None], 0)] * 2 + [told([None, 1], 1)] * 4
    p = policy.distribution(policy.learn(None, rows), {}, {})
    # a ~ Beta(4, 3), b ~ Beta(5, 1), so P(b > a) = 1 - E[a^5], and E[a^5] = (4 5 6 7 8) / (7 8 9 10 11).
    exact = 1 - math.prod(range(4, 9)) / math.prod(range(7, 12))
    assert p[1] == pytest.approx(exact, abs=1e-12)


def test_full_feedback_counts_for_every_strategy(told) -> None:
    policy = Thompson(["a", "b", "c"])
    state = policy.learn(None, [told([1, 0, 1]), told([1, None, 0.25])])
    assert state.arrays["count"].tolist() == [2, 1, 2]
    assert state.arrays["sum"].tolist() == [2, 0, 1.25]


def test_a_fraction_counts_as_so_much_of_a_success(told) -> None:
    policy = Thompson(["a", "b"])
    state = policy.learn(None, [told([0.3, None])] * 10)
    p = policy.distribution(state, {}, {})
    assert p == pytest.approx(best_arm.of_betas(np.array([4.0, 1.0]), np.array([8.0, 1.0])), abs=1e-14)


def test_a_stronger_prior_moves_less(told) -> None:
    rows = [told([1, 0])] * 5
    weak, strong = (Thompson(["a", "b"], ThompsonParams(prior=prior)) for prior in (1.0, 100.0))
    p = [policy.distribution(policy.learn(None, rows), {}, {})[0] for policy in (weak, strong)]
    assert 0.5 < p[1] < 0.8 < p[0]


def test_discounted_counts_by_hand(told) -> None:
    policy = Thompson(["a", "b"], ThompsonParams(discount=0.5))
    state = policy.learn(None, [told([1, None]), told([None, 1], 1), told([0, None])])
    assert state.arrays["count"].tolist() == [1.25, 0.5]
    assert state.arrays["sum"].tolist() == [0.25, 0.5]


def test_half_life_goes_by_the_time_of_the_request_not_by_when_its_reward_came(told) -> None:
    policy = Thompson(["a", "b"], ThompsonParams(half_life_s=10.0))
    early, late = told([1, None], at=100.0), told([None, 1], 1, at=120.0)
    one = policy.learn(policy.learn(None, [early]), [late])
    other = policy.learn(policy.learn(None, [late]), [early])
    assert one.arrays["count"].tolist() == pytest.approx([0.25, 1.0])
    assert other.arrays["count"].tolist() == pytest.approx([0.25, 1.0])
    assert one.arrays["clock"] == other.arrays["clock"] == 120.0


def test_gaussian_posterior_by_hand(told) -> None:
    policy = Thompson(["a", "b"], ThompsonParams(model="gaussian", prior=2.0, prior_mean=0.0, prior_sd=1.0))
    state = policy.learn(None, [told([x, None]) for x in (3.0, 5.0, -2.0)])
    # kappa 5, mean 6/5, sum of squares 2 + 26 + 2*3/5*2^2 = 32.8, scale^2 = 32.8/5/5; the prior: scale^2 = 1/2.
    exact = best_arm.of_students(np.array([1.2, 0.0]), np.sqrt([32.8 / 25, 0.5]), np.array([5.0, 2.0]))
    assert policy.distribution(state, {}, {}) == pytest.approx(exact, abs=1e-12)
    assert not state.arrays["strange"][0]  # nothing is cut


def test_gaussian_with_many_rewards_is_the_normal_test(told) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(10.0, 2.0, 4000), rng.normal(10.05, 2.0, 4000)
    policy = Thompson(["a", "b"], ThompsonParams(model="gaussian"))
    state = policy.learn(None, [told([a, b]) for a, b in zip(x, y, strict=True)])
    z = (x.mean() - y.mean()) / math.sqrt(x.var() / 4000 + y.var() / 4000)
    assert policy.distribution(state, {}, {})[0] == pytest.approx(stats.norm.cdf(z), abs=0.01)


def test_gaussian_rewards_of_any_size_leave_probabilities(told) -> None:
    policy = Thompson(["a", "b", "c"], ThompsonParams(model="gaussian"))
    state = policy.learn(None, [told([1e90, -1e90, 0.0]), told([1e-90, 1e99, None]), told([1e200, None, None])])
    p = policy.distribution(state, {}, {})
    assert p.min() >= 0
    assert p.sum() == pytest.approx(1)
    assert state.arrays["strange"] == 1.0  # beyond 1e100 is as good as infinite


def test_learns_the_same_whatever_the_delay(told) -> None:
    """Rewards that come in lots of 200, long after they were drawn by older probabilities, sum up to the same."""
    policy = Thompson(["a", "b"])
    rng = np.random.default_rng(3)
    rows = [told([float(r), None] if arm == 0 else [None, float(r)], arm) for arm, r in rng.integers(0, 2, (600, 2))]
    late = [rows[i] for i in rng.permutation(600)]
    one, other = policy.initial(), policy.initial()
    for begin in range(0, 600, 200):
        one = policy.learn(one, rows[begin : begin + 200])
        other = policy.learn(other, late[begin : begin + 200])
    assert one.arrays["p"] == pytest.approx(other.arrays["p"], abs=1e-12)


def test_finds_the_best_strategy(told) -> None:
    policy = Thompson(["a", "b", "c"])
    rng, state, means, drawn = np.random.default_rng(0), policy.initial(), (0.3, 0.5, 0.7), []
    for _ in range(1000):
        p = policy.distribution(state, {}, {})
        arm = draw(p, rng.random())
        reward = float(rng.random() < means[arm])
        state = policy.learn(state, [told([reward if i == arm else None for i in range(3)], arm, p)])
        drawn.append(arm)
    assert np.bincount(drawn[-200:], minlength=3)[2] > 160


@pytest.mark.parametrize(
    ("params", "path"),
    [
        (ThompsonParams(prior=0.0), "prior"),
        (ThompsonParams(prior=math.nan), "prior"),
        (ThompsonParams(prior_mean=1.0), "prior_mean"),
        (ThompsonParams(model="gaussian", prior=0.5), "prior"),
        (ThompsonParams(model="gaussian", prior_sd=0.0), "prior_sd"),
    ],
)
def test_refuses_priors_that_are_none(params: ThompsonParams, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Thompson(["a", "b"], params).check()
    assert caught.value.path == path
