"""The quantile against what is known of it: the distribution of the coverage, and published numbers."""

import numpy as np
import pytest
from scipy import stats

from quorate.core.conformal.quantile import rank, rows_needed


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
def test_it_is_the_least_rank_that_covers(coverage: float) -> None:
    for n in range(1, 2000):
        k = rank(n, coverage)
        assert k / (n + 1) >= coverage - 1e-12
        assert k == 1 or (k - 1) / (n + 1) < coverage
        assert (k <= n) == (n >= rows_needed(coverage))


def test_the_coverage_has_the_beta_distribution() -> None:
    n, coverage = 40, 0.9
    k = rank(n, coverage)
    scores = np.sort(np.random.default_rng(0).random((4000, n)), axis=1)
    # Of uniform scores the threshold itself is the share of new ones below it.
    assert stats.kstest(scores[:, k - 1], stats.beta(k, n + 1 - k).cdf).pvalue > 0.01
    assert stats.kstest(scores[:, k - 2], stats.beta(k, n + 1 - k).cdf).pvalue < 1e-6


@pytest.mark.parametrize(
    ("slack", "rows", "too_few"),
    [(0.1, 22, 9), (0.05, 102, 85), (0.01, 2491, 2400), (0.005, 9812, 9600), (0.001, 244390, 243000)],
)
def test_rows_for_a_slack_are_those_published(slack: float, rows: int, too_few: int) -> None:
    """Angelopoulos and Bates, "A gentle introduction to conformal prediction", table 1: calibration rows with which the
    coverage is within a slack of 0.9 with probability 0.9."""

    def within(n: int) -> float:
        found = stats.beta(rank(n, 0.9), n + 1 - rank(n, 0.9))
        return float(found.cdf(0.9 + slack) - found.cdf(0.9 - slack))

    assert within(rows) >= 0.9
    assert within(too_few) < 0.9
