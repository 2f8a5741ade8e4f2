import math

import numpy as np
import pytest
from scipy.stats import binom

from quorate.core.stats.learn_then_test import accepted, bounded_p, exact_p


def test_the_exact_p_value_is_a_binomial_tail() -> None:
    assert exact_p(3, 20, 0.3) == pytest.approx(sum(math.comb(20, i) * 0.3**i * 0.7 ** (20 - i) for i in range(4)))
    assert exact_p(20, 20, 0.3) == 1.0


@pytest.mark.parametrize("bound", [0.05, 0.2, 0.5])
def test_p_values_are_no_smaller_than_they_may_be(bound: float) -> None:
    """At the edge of the hypothesis P(p <= u) <= u: for 0/1 losses exactly, for others by simulation."""
    n = 60
    chance = binom.pmf(np.arange(n + 1), n, bound)
    p = np.array([exact_p(losses, n, bound) for losses in range(n + 1)])
    rng = np.random.default_rng(0)
    shape = rng.beta(2.0, 2.0 * (1.0 - bound) / bound, size=(1500, n))  # of mean `bound`
    means = shape.mean(axis=1)
    grid = np.linspace(0, 1, 101)
    values = np.array([bounded_p(mean, n, bound) for mean in means])
    two = np.array([bounded_p(losses / n, n, bound) for losses in range(n + 1)])
    for level in grid:
        assert chance[p <= level].sum() <= level + 1e-12
        assert chance[two <= level].sum() <= level + 1e-12
        assert (values <= level).mean() <= level + 3 * math.sqrt(level / 1500) + 1e-12


def test_bounded_losses_of_no_more_than_the_bound_alone_speak_for_it() -> None:
    assert bounded_p(0.5, 100, 0.4) == 1.0
    assert bounded_p(0.1, 100, 0.4) < 1e-6
    assert bounded_p(0.1, 1000, 0.4) < bounded_p(0.1, 100, 0.4)
    assert bounded_p(0.9, 10, 1.0) == 0.0


def test_testing_stops_at_the_first_setting_that_is_not_accepted() -> None:
    assert accepted([0.2, 0.01], 0.1) == 0
    assert accepted([], 0.1) == 0
    assert accepted([0.01, 0.02, 0.03], 0.05) == 3


def test_a_sequence_of_settings_errs_no_more_often_than_its_risk() -> None:
    """Twelve settings of falling accuracy, errors common to them; the seventh is the first that breaks the promise."""
    rng = np.random.default_rng(1)
    risk, n, runs, promised = 0.1, 300, 3000, 0.8
    accuracy = np.linspace(0.86, 0.75, 12)  # the seventh is at 0.8, just kept; the eighth is below
    bad = int(np.flatnonzero(accuracy < promised - 1e-12)[0])
    table = [exact_p(losses, n, 1 - promised) for losses in range(n + 1)]
    broken = 0
    for _ in range(runs):
        together = rng.random(n) < 0.5
        luck = np.where(together, rng.random(n), rng.random((12, n)))
        lost = (luck >= accuracy[:, None]).sum(axis=1)
        broken += accepted((table[losses] for losses in lost), risk) > bad
    assert broken / runs <= risk + 3 * math.sqrt(risk / runs)
    assert broken > 0, "the promise is tight enough to be broken at times"
