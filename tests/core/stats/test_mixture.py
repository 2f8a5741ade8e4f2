import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.stats import mixture

ALPHAS = (0.2, 0.05, 0.001)


@pytest.mark.parametrize("z", [0.0, 1.3, 4.0])
@pytest.mark.parametrize("r", [0.1, 1.0, 30.0])
def test_the_normal_mixture_is_the_integral_over_effects(z: float, r: float) -> None:
    d = np.linspace(-12, 12, 200_001)
    weights = np.exp(-d * d / 2) / math.sqrt(2 * math.pi)
    # With information 1: S = z, effects of standard deviation sqrt(r).
    integrand = weights * np.exp(d * math.sqrt(r) * z - d * d * r / 2)
    assert float(mixture.log_e_normal(z, r)) == pytest.approx(math.log(np.trapezoid(integrand, d)), abs=1e-6)


@given(z=st.floats(-8, 8), a=st.floats(0.01, 8))
def test_the_points_are_the_mean_of_two_likelihood_ratios(z: float, a: float) -> None:
    plain = (math.exp(a * z - a * a / 2) + math.exp(-a * z - a * a / 2)) / 2
    assert float(mixture.log_e_points(z, a)) == pytest.approx(math.log(plain), abs=1e-9)


@given(z=st.floats(-8, 8), a=st.floats(0.01, 8))
def test_the_tuned_one_is_the_mixture_of_both(z: float, a: float) -> None:
    plain = 0.9 * math.exp(mixture.log_e_points(z, a)) + 0.1 * math.exp(mixture.log_e_normal(z, a * a))
    assert float(mixture.log_e_tuned(z, a)) == pytest.approx(math.log(plain), abs=1e-9)


@pytest.mark.parametrize(
    "log_e", [mixture.log_e_points, mixture.log_e_tuned, lambda z, a: mixture.log_e_normal(z, a * a)]
)
@pytest.mark.parametrize("a", [0.3, 1.0, 3.0])
def test_the_mean_evidence_is_1_without_a_difference(log_e, a: float) -> None:
    z = np.linspace(-40, 40, 200_001)
    weighted = np.exp(log_e(z, a) - z * z / 2) / math.sqrt(2 * math.pi)
    assert np.trapezoid(weighted, z) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_critical_values_invert_the_evidence(alpha: float) -> None:
    a = np.array([1e-3, 0.1, 0.7, 2.0, 5.0, 40.0, 1e4])
    level = np.full(len(a), -math.log(alpha))
    np.testing.assert_allclose(mixture.log_e_normal(mixture.z_normal(a * a, alpha), a * a), level, rtol=1e-9)
    np.testing.assert_allclose(mixture.log_e_points(mixture.z_points(a, alpha), a), level, rtol=1e-6)
    np.testing.assert_allclose(mixture.log_e_tuned(mixture.z_tuned(a, alpha), a), level, rtol=1e-6)


def test_without_information_nothing_is_refuted() -> None:
    for z in (mixture.z_normal, mixture.z_points, mixture.z_tuned):
        assert math.isinf(float(z(0.0, 0.05)))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_recommended_tuning_is_nearly_the_best(alpha: float) -> None:
    r = np.geomspace(0.1, 1000, 4001)
    # r is t² I: the width at I = 1 of a mixture with t² = r.
    best = mixture.z_normal(r, alpha).min()
    assert float(mixture.z_normal(mixture.tuned_for(1.0, alpha), alpha)) == pytest.approx(best, rel=2e-3)
    assert mixture.tuned_for(50.0, alpha) == pytest.approx(mixture.tuned_for(1.0, alpha) / 50)


def test_the_tuned_interval_shrinks_to_nothing_and_that_of_the_points_does_not() -> None:
    # Half widths in units of the effect: z / a.
    a = np.array([3.0, 30.0, 300.0])
    assert (mixture.z_points(a, 0.05) / a)[-1] == pytest.approx(0.5, abs=0.01)
    assert (mixture.z_tuned(a, 0.05) / a)[-1] < 0.02


def test_a_walk_rarely_leaves_when_looked_at_a_thousand_times() -> None:
    rng = np.random.default_rng(3)
    steps = 1000
    walks = np.cumsum(rng.normal(size=(2000, steps)), axis=1)
    n = np.arange(1, steps + 1)
    z, a = walks / np.sqrt(n), 3.5 * np.sqrt(n / steps)
    for found in (mixture.z_tuned(a, 0.05), mixture.z_normal(8 * n / steps, 0.05), mixture.z_points(a, 0.05)):
        assert (np.abs(z) > found).any(axis=1).mean() < 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 2000)
    assert (np.abs(z) > 1.96).any(axis=1).mean() > 0.4
