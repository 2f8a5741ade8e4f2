import math

import numpy as np
import pytest
from scipy.stats import binom

from quorate.core.stats.quantile_sequence import log_e_low, quantile_interval, strength


@pytest.mark.parametrize(("q", "n", "s"), [(0.5, 20, 5.0), (0.9, 40, 10.0), (0.05, 30, 1.0)])
def test_evidence_is_fair_at_the_quantile_and_less_above(q: float, n: int, s: float) -> None:
    k = np.arange(n + 1)
    evidence = np.exp([log_e_low(int(i), n, q, s) for i in k])
    assert binom.pmf(k, n, q) @ evidence == pytest.approx(1.0)
    assert binom.pmf(k, n, q + 0.03) @ evidence < 1.0
    assert (np.diff(evidence) < 0).all()


def test_limits_are_order_statistics_around_the_quantile() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1.0, 1001.0))
    low, high = quantile_interval(values, 0.5, 0.05, strength(1000))
    assert low in values
    assert high in values
    assert low < 500.5 < high
    # Symmetric at the median, and about 3 standard errors of a count wide on both sides.
    assert low + high == 1001.0
    assert 500 - low == pytest.approx(3.2 * math.sqrt(250), rel=0.1)


def test_a_monotone_change_of_the_values_changes_the_limits_likewise() -> None:
    values = np.random.default_rng(1).normal(size=700)
    low, high = quantile_interval(values, 0.8, 0.05, strength(700))
    assert quantile_interval(8 * values + 1, 0.8, 0.05, strength(700)) == (8 * low + 1, 8 * high + 1)


@pytest.mark.parametrize("ties", [False, True])
def test_holds_the_quantile_at_every_look(ties: bool) -> None:
    rng = np.random.default_rng(2)
    missed, runs = 0, 150
    for _ in range(runs):
        values = rng.exponential(size=800)
        truth = math.log(4)
        if ties:
            values, truth = np.ceil(values * 2), math.ceil(2 * math.log(4))
        limits = [quantile_interval(values[:n], 0.75, 0.05, strength(800)) for n in range(50, 801, 75)]
        missed += not all(low <= truth <= high for low, high in limits)
    assert missed <= 0.05 * runs


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_values_say_nothing(n: int) -> None:
    assert quantile_interval(np.arange(float(n)), 0.5, 0.05, strength(None)) == (-math.inf, math.inf)


def test_equal_values() -> None:
    assert quantile_interval(np.full(500, 7.0), 0.5, 0.05, strength(500)) == (7.0, 7.0)


def test_strength() -> None:
    assert strength(None) == 125.0
    assert strength(80) == 10.0
    assert strength(2) == 1.0
