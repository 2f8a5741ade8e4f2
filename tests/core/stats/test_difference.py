"""Estimates and standard errors against closed forms, scipy and resampling."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind

from quorate.core.stats.difference import difference, influence, woodruff_se
from quorate.core.stats.metric import Metric, Sample
from quorate.core.stats.relative import relative

MEAN = Metric("mean")


def arms(n: int = 400, m: int = 300) -> tuple[Sample, Sample]:
    rng = np.random.default_rng(0)
    return Sample(rng.gamma(2, 3, n)), Sample(rng.gamma(2, 3.3, m))


def test_means_are_welchs() -> None:
    control, treatment = arms()
    found = difference(MEAN, control, treatment)
    other = ttest_ind(treatment.values, control.values, equal_var=False)
    assert found.estimate / found.welch == pytest.approx(other.statistic)


def test_arms_of_unequal_size_get_the_larger_of_both_standard_errors() -> None:
    control, treatment = arms()
    found = difference(MEAN, control, treatment)
    v0, v1 = (arm.values.var(ddof=1) for arm in (control, treatment))
    pooled = math.sqrt((400 * v0 + 300 * v1) / 700 * (1 / 400 + 1 / 300))
    assert found.se == pytest.approx(max(found.welch, pooled))
    turned = difference(MEAN, treatment, control)
    assert turned.se == found.se
    calm = difference(MEAN, control, Sample(treatment.values / 9))
    assert calm.se > 1.1 * calm.welch
    equal = difference(MEAN, control.first(300), treatment)
    assert equal.se == pytest.approx(equal.welch, rel=1e-12)


def test_a_small_arm_whose_large_values_have_not_come_is_not_taken_for_a_sure_one() -> None:
    # One in two hundred: no success yet among 100 units of the small arm, and 5 of 1,000 in the large one.
    values = np.zeros(1000)
    values[:5] = 1.0
    found = difference(MEAN, Sample(values), Sample(np.zeros(100)))
    assert found.se > 3 * found.welch


def test_shares_have_a_standard_error_where_all_units_agree() -> None:
    found = difference(Metric("binary"), Sample(np.zeros(98)), Sample(np.ones(98)))
    assert found.estimate == 1.0
    assert found.control.se == pytest.approx(math.sqrt(0.01 * 0.99 / 98)) == found.treatment.se


def test_a_ratio_is_the_delta_method() -> None:
    rng = np.random.default_rng(1)
    pages = rng.geometric(0.2, 5000).astype(float)
    clicks = rng.binomial(pages.astype(int), rng.beta(2, 18, 5000)).astype(float)
    found = difference(Metric("ratio"), Sample(clicks, pages), Sample(2 * clicks, pages))
    r, mean = clicks.sum() / pages.sum(), pages.mean()
    covariance = np.cov(clicks, pages)
    # Deng, Knoblich, Lu 2018: var(y)/x² - 2 y cov/x³ + y² var(x)/x⁴, over n.
    by_hand = (covariance[0, 0] - 2 * r * covariance[0, 1] + r**2 * covariance[1, 1]) / mean**2 / 5000
    assert found.control.value == pytest.approx(r)
    assert found.control.se == pytest.approx(math.sqrt(by_hand))
    assert found.treatment.se == pytest.approx(2 * math.sqrt(by_hand))
    assert influence(Metric("ratio"), Sample(clicks, pages)).mean() == pytest.approx(r)


def test_a_ratio_of_equal_denominators_is_a_mean() -> None:
    control, treatment = arms()
    same = difference(MEAN, control, treatment)
    ratio = difference(
        Metric("ratio"), *(Sample(7 * arm.values, np.full(len(arm), 7.0)) for arm in (control, treatment))
    )
    assert (ratio.estimate, ratio.se) == (pytest.approx(same.estimate), pytest.approx(same.se))


def test_quantiles_have_woodruffs_standard_error() -> None:
    values = np.random.default_rng(2).normal(size=100_000)
    # sqrt(q (1 - q)) / density; at the median of a normal distribution sqrt(pi / 2) / sqrt(n).
    assert woodruff_se(values, 0.5) == pytest.approx(math.sqrt(math.pi / 2 / 100_000), rel=0.1)
    density = math.exp(-(1.2816**2) / 2) / math.sqrt(2 * math.pi)
    assert woodruff_se(values, 0.9) == pytest.approx(0.3 / density / math.sqrt(100_000), rel=0.1)


def test_cuped_is_a_regression_on_arm_and_covariate() -> None:
    rng = np.random.default_rng(3)
    x0, x1 = rng.normal(5, 2, 4000), rng.normal(5, 2, 3000)
    y0, y1 = 3 * x0 + rng.normal(0, 2, 4000), 3 * x1 + 0.5 + rng.normal(0, 2, 3000)
    found = difference(MEAN, Sample(y0, covariates=x0), Sample(y1, covariates=x1))
    arm, x, y = np.repeat([0.0, 1.0], [4000, 3000]), np.concatenate([x0, x1]), np.concatenate([y0, y1])
    coefficients = np.linalg.lstsq(np.column_stack([np.ones(7000), arm, x]), y, rcond=None)[0]
    assert found.estimate == pytest.approx(coefficients[1])
    plain = difference(MEAN, Sample(y0), Sample(y1))
    correlation = np.corrcoef(np.concatenate([y0, y1 - 0.5]), x)[0, 1]
    assert (found.se / plain.se) ** 2 == pytest.approx(1 - correlation**2, rel=0.05)


def test_cuped_with_covariates_missing_constant_or_enormous() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 3000)), rng.normal(size=(2, 3000))
    y += x
    plain = difference(MEAN, Sample(y[0]), Sample(y[1]))
    full = difference(MEAN, Sample(y[0], covariates=x[0]), Sample(y[1], covariates=x[1]))
    half = np.where(np.arange(3000) % 2 == 0, x, np.nan)
    partly = difference(MEAN, Sample(y[0], covariates=half[0]), Sample(y[1], covariates=half[1]))
    assert full.se < partly.se < plain.se
    for useless in (np.full(3000, 0.1), np.full(3000, np.nan)):
        found = difference(MEAN, Sample(y[0], covariates=useless), Sample(y[1], covariates=useless))
        assert (found.estimate, found.se) == (plain.estimate, plain.se)
    scaled = difference(MEAN, Sample(y[0], covariates=x[0] * 1e300), Sample(y[1], covariates=x[1] * 1e300))
    assert (scaled.estimate, scaled.se) == (pytest.approx(full.estimate), pytest.approx(full.se))


def test_cuped_is_for_both_arms_and_for_means() -> None:
    x = np.arange(10.0)
    with pytest.raises(ValueError, match="both arms"):
        difference(MEAN, Sample(x), Sample(x, covariates=x))
    with pytest.raises(ValueError, match="quantile"):
        difference(Metric("quantile"), Sample(x, covariates=x), Sample(x, covariates=x))


def test_the_relative_interval_ends_where_fieller_says() -> None:
    found = difference(MEAN, *arms(300, 300))
    estimate, low, high = relative(found, 2.5)
    assert estimate == pytest.approx(found.treatment.value / found.control.value - 1)
    for r in (low, high):
        se = math.hypot(found.treatment.se, (1 + r) * found.control.se)
        assert abs(found.treatment.value - (1 + r) * found.control.value) == pytest.approx(2.5 * se)
    assert low < estimate < high


def test_the_relative_interval_with_what_cuped_shares() -> None:
    found = difference(MEAN, *arms(300, 300))._replace(shared=0.2)
    _, low, high = relative(found, 2.5)
    for r in (low, high):
        se = math.hypot(found.treatment.se, (1 + r) * found.control.se, r * 0.2)
        assert abs(found.treatment.value - (1 + r) * found.control.value) == pytest.approx(2.5 * se)


def test_relative_to_what_may_be_zero_has_no_end() -> None:
    values = np.array([-1.0, 1.0, 0.5, -0.4])
    found = difference(MEAN, Sample(values), Sample(values + 10))
    assert relative(found, 2.0)[1:] == (-math.inf, math.inf)
    nothing = relative(difference(MEAN, Sample(np.array([1.0, -1.0])), Sample(values)), 2.0)
    assert math.isnan(nothing.estimate)


def test_cuped_relative_intervals_cover() -> None:
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(400):
        x = rng.normal(0, 3, (2, 200))
        y = x + rng.normal(0, 1, (2, 200)) + np.array([[8.0], [10.0]])
        found = difference(MEAN, Sample(y[0], covariates=x[0]), Sample(y[1], covariates=x[1]))
        _, low, high = relative(found, 1.96)
        missed += not low <= 0.25 <= high
    assert 0.02 < missed / 400 < 0.085
