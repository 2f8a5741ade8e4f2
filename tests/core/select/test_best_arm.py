import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from quorate.core.select import best_arm


def ordered(a1: int, b1: float, a2: int, b2: float) -> float:
    """P(Beta(a2, b2) > Beta(a1, b1)) as a finite sum, for whole a2 (E. Miller, "Formulas for Bayesian A/B testing")."""

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    terms = (
        log_beta(a1 + i, b1 + b2) - math.log(b2 + i) - log_beta(1 + i, b2) - log_beta(a1, b1) for i in range(int(a2))
    )
    return math.fsum(math.exp(term) for term in terms)


@pytest.mark.parametrize("seed", range(20))
def test_two_betas_come_to_the_finite_sum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(1, 300, 2)
    b = 10.0 ** rng.uniform(-2, 4, 2)
    p = best_arm.of_betas(a.astype(float), b)
    assert p[1] == pytest.approx(ordered(a[0], b[0], a[1], b[1]), abs=1e-10)
    assert p.sum() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    ("a", "b"),
    [([1e6, 1e6 + 900], [1e6, 1e6 - 900]), ([1.0, 1e5], [1.0, 10.0]), ([30.0, 31.0], [2.0, 2.0])],
)
def test_two_betas_come_to_the_integral(a: list[float], b: list[float]) -> None:
    one, other = (stats.beta(x, y) for x, y in zip(a, b, strict=True))
    points = [one.ppf(q) for q in (1e-9, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-9)]
    edges = [0.0, *sorted({x for x in points if 0 < x < 1}), 1.0]
    pieces = itertools.pairwise(edges)
    exact = sum(integrate.quad(lambda x: one.pdf(x) * other.cdf(x), *piece, epsabs=1e-12)[0] for piece in pieces)
    assert best_arm.of_betas(np.array(a), np.array(b))[0] == pytest.approx(exact, abs=1e-8)


def test_many_betas_of_very_different_widths_agree_with_sampling() -> None:
    a, b = np.array([0.05, 3.0, 500.0, 1e6, 20.0]), np.array([0.02, 8.0, 700.0, 2e6, 9.0])
    n = 400_000
    best = np.random.default_rng(1).beta(a, b, (n, 5)).argmax(1)
    sampled = np.bincount(best, minlength=5) / n
    assert best_arm.of_betas(a, b) == pytest.approx(sampled, abs=4 * math.sqrt(0.25 / n))


def test_equal_strategies_share_equally_and_one_has_all() -> None:
    assert best_arm.of_betas(np.full(7, 2.5), np.full(7, 40.0)) == pytest.approx(np.full(7, 1 / 7), abs=1e-13)
    assert best_arm.of_betas(np.array([3.0]), np.array([4.0])).tolist() == [1.0]


def test_what_is_all_but_impossible_is_small_not_zero() -> None:
    p = best_arm.of_betas(np.array([10.0, 60.0]), np.array([60.0, 10.0]))
    assert 0 < p[0] < 1e-15


@pytest.mark.parametrize("freedom", [1.0, 2.0, 30.0, 1e7])
@pytest.mark.parametrize("scale", [1e-3, 0.3, 40.0])
def test_two_students_come_to_the_integral(freedom: float, scale: float) -> None:
    edges = [-np.inf, -50, -1, 0, 0.3, 1, 50, np.inf]
    exact = sum(
        integrate.quad(lambda x: stats.t.pdf(x, freedom, 0.3, 1) * stats.t.cdf(x, 7, 0, scale), *piece, limit=200)[0]
        for piece in itertools.pairwise(edges)
    )
    p = best_arm.of_students(np.array([0.3, 0.0]), np.array([1.0, scale]), np.array([freedom, 7.0]))
    assert p[0] == pytest.approx(exact, abs=1e-8)


def test_normal_posteriors_come_to_the_normal_distribution() -> None:
    p = best_arm.of_students(np.array([0.5, 0.3]), np.array([0.3, 0.4]), np.array([1e9, 1e9]))
    assert p[0] == pytest.approx(stats.norm.cdf(0.2 / 0.5), abs=1e-8)
