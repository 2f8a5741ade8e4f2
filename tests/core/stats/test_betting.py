import itertools
import math

import numpy as np
import pytest

from quorate.core.stats.bernstein import sums
from quorate.core.stats.betting import Gamblers, log_capitals
from quorate.core.stats.predictable import before, spread_bets


def test_running_moments_use_only_the_past() -> None:
    x = np.array([1.0, 0.0, 0.5])
    mean, variance = before(x)
    # Waudby-Smith and Ramdas 2024: mean_t = (1/2 + sum) / (t + 1), variance_t = (1/4 + sum of squares) / (t + 1).
    np.testing.assert_allclose(mean, [0.5, 0.75, 0.5])
    np.testing.assert_allclose(variance, [0.25, (0.25 + 0.0625) / 2, (0.25 + 0.0625 + 0.25) / 3])
    np.testing.assert_allclose(spread_bets(np.array([0.25]), 0.05, None), math.sqrt(8 * math.log(40) / math.log(2)))
    np.testing.assert_allclose(spread_bets(np.array([0.25]), 0.05, 50), math.sqrt(8 * math.log(40) / 50))


def outcomes(n: int) -> tuple[np.ndarray, np.ndarray]:
    """All sequences of n coins, and their probabilities if 1 has probability 0.3."""
    coins = np.array(list(itertools.product([0.0, 1.0], repeat=n)))
    return coins, np.prod(np.where(coins == 1, 0.3, 0.7), axis=1)


@pytest.mark.parametrize("effect", [None, 0.2])
def test_capital_is_fair_at_the_true_mean(effect: float | None) -> None:
    coins, probability = outcomes(9)
    for capital in log_capitals(coins, 0.3, 0.05, effect=effect, planned=20):
        np.testing.assert_allclose(probability @ np.exp(capital), 1.0)


def test_bernsteins_evidence_is_no_more_than_fair() -> None:
    coins, probability = outcomes(9)
    for evidence in sums(coins, 0.05).log_e(0.3):
        assert (probability @ np.exp(evidence) <= 1 + 1e-12).all()


def test_capital_by_hand() -> None:
    x = np.array([1.0, 0.0])
    first, second = spread_bets(before(x)[1], 0.05, 100)
    higher, lower = (float(np.exp(side[-1])) for side in log_capitals(x, 0.4, 0.05, planned=100))
    assert higher == pytest.approx((1 + first * 0.6) * (1 - second * 0.4))
    assert lower == pytest.approx((1 - first * 0.6) * (1 + second * 0.4))


def test_the_interval_is_where_capital_reaches_the_level() -> None:
    x = np.random.default_rng(0).beta(2, 5, 400)
    gamblers = Gamblers(x, 0.05, effect=0.05, planned=400)
    low, high = gamblers.interval(0.05)
    assert low < x.mean() < high
    assert gamblers.capital(low).higher == pytest.approx(math.log(40), abs=1e-6)
    assert gamblers.capital(high).lower == pytest.approx(math.log(40), abs=1e-6)
    assert gamblers.capital(low).higher == pytest.approx(
        float(log_capitals(x, low, 0.05, effect=0.05, planned=400)[0][-1])
    )


def test_bernsteins_interval_by_hand_and_against_its_evidence() -> None:
    x = np.random.default_rng(0).beta(2, 5, 400)
    found = sums(x, 0.05, 400)
    low, high = found.interval(0.05)
    above, _ = found.log_e(low)
    _, below = found.log_e(high)
    assert float(above[-1]) == pytest.approx(math.log(40)) == float(below[-1])
    mean, variance = before(x)
    bets = np.minimum(np.sqrt(2 * math.log(40) / (variance * 400)), 0.5)
    cost = (4 * (x - mean) ** 2 * (-np.log(1 - bets) - bets) / 4).sum()
    assert (high - low) / 2 == pytest.approx((math.log(40) + cost) / bets.sum())
    assert (high + low) / 2 == pytest.approx((bets * x).sum() / bets.sum())


def test_betting_is_narrower_than_bernstein_and_both_hold_the_truth_at_every_look() -> None:
    rng = np.random.default_rng(1)
    x = rng.beta(2, 5, (400, 600))
    above, below = log_capitals(x, 2 / 7, 0.05, planned=600)
    assert ((above >= math.log(40)) | (below >= math.log(40))).any(axis=1).mean() < 0.05
    above, below = sums(x, 0.05, 600).log_e(2 / 7)
    assert ((above >= math.log(40)) | (below >= math.log(40))).any(axis=1).mean() < 0.05
    bet, closed = (found.interval(0.05) for found in (Gamblers(x[0], 0.05, planned=600), sums(x[0], 0.05, 600)))
    assert bet[1] - bet[0] < closed[1] - closed[0]


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_values(value: float) -> None:
    x = np.full(500, value)
    for low, high in (Gamblers(x, 0.05, effect=0.1, planned=500).interval(0.05), sums(x, 0.05, 500).interval(0.05)):
        assert 0.0 <= low <= value <= high <= 1.0
        assert high - low < 0.3


def test_nothing_seen_is_nothing_known() -> None:
    nothing = np.empty(0)
    assert Gamblers(nothing, 0.05, effect=0.1).interval(0.05) == (0.0, 1.0) == sums(nothing, 0.05).interval(0.05)
    assert Gamblers(nothing, 0.05, effect=0.1).capital(0.5).log_e == pytest.approx(0.0)
