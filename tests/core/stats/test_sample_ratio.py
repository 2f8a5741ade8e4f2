import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln

from quorate.core.stats.sample_ratio import ALPHA, dirichlet, log_evidence, sample_ratio


def test_two_arms_are_a_beta_binomial() -> None:
    found = float(dirichlet([60, 40], [0.5, 0.5], 20.0))
    assert found == pytest.approx(betaln(10 + 60, 10 + 40) - betaln(10, 10) + 100 * math.log(2))


@given(counts=st.lists(st.integers(0, 5000), min_size=3, max_size=3))
def test_the_next_unit_is_a_fair_bet(counts: list[int]) -> None:
    shares = np.array([0.5, 0.3, 0.2])
    now = log_evidence(counts, shares, 100.0)
    later = log_evidence(np.array(counts) + np.eye(3), shares, 100.0)
    assert shares @ np.exp(later - now) == pytest.approx(1.0, rel=1e-6)


def test_sound_traffic_rarely_alarms_and_a_fault_is_found() -> None:
    rng = np.random.default_rng(0)
    for share, low, high in ((0.5, 0.0, 0.004), (0.51, 0.95, 1.0)):
        first = np.cumsum(rng.binomial(1000, share, (2000, 100)), axis=1)
        counts = np.stack([first, np.arange(1000, 100_001, 1000) - first], axis=-1)
        alarms = (log_evidence(counts, np.array([0.5, 0.5])) >= -math.log(ALPHA)).any(axis=1).mean()
        assert low <= alarms <= high


def test_a_gross_fault_is_found_soon() -> None:
    found = sample_ratio([700, 300], [1, 1])
    assert found.mismatch
    assert found.p_value < 1e-6
    assert found.shares == (0.7, 0.3)
    assert sample_ratio([0, 40], [1, 1]).mismatch
    assert sample_ratio([100, 0, 90], [1, 1, 1]).mismatch
    assert not sample_ratio([510, 490], [1, 1]).mismatch


def test_weights_need_not_add_up_and_order_does_not_matter() -> None:
    one, other = sample_ratio([900, 90, 10], [90, 9, 1]), sample_ratio([10, 900, 90], [0.01, 0.9, 0.09])
    assert one.e_value == pytest.approx(other.e_value)
    assert one.expected == (0.9, 0.09, 0.01)
    assert one.e_value < 1


def test_no_units_and_arms_without_weight() -> None:
    empty = sample_ratio([0, 0], [1, 1])
    assert (empty.p_value, empty.e_value, empty.mismatch) == (1.0, 1.0, False)
    assert all(math.isnan(share) for share in empty.shares)
    assert not sample_ratio([50, 50, 0], [1, 1, 0]).mismatch
    stray = sample_ratio([50, 50, 1], [1, 1, 0])
    assert (stray.p_value, stray.mismatch) == (0.0, True)


def test_enormous_counts() -> None:
    found = sample_ratio([10**12, 2 * 10**12], [1, 1])
    assert found.mismatch
    assert found.p_value == 0.0
    assert found.e_value == math.inf


@pytest.mark.parametrize(
    ("counts", "weights", "says"),
    [
        ([1], [1], "two arms at least"),
        ([1, 2], [1], "per arm"),
        ([1, -2], [1, 1], "whole numbers"),
        ([1, 2.5], [1, 1], "whole numbers"),
        ([1, math.nan], [1, 1], "whole numbers"),
        ([1, 2], [0, 0], "not all 0"),
        ([1, 2], [1, math.inf], "finite"),
    ],
)
def test_refuses_what_is_no_count_or_weight(counts: list[float], weights: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        sample_ratio(counts, weights)
