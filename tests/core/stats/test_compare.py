"""Verdicts and limits of all methods: against their closed forms, hostile input, and invariances."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from quorate.core.stats.compare import Comparison, Method, Metric, Sample, compare, path
from quorate.core.stats.difference import difference
from quorate.core.stats.methods import METHODS
from quorate.core.stats.mixture import tuned_for, z_normal, z_tuned
from quorate.core.stats.quantile_sequence import quantile_interval, strength
from quorate.core.stats.spending import obrien_fleming

MEAN, BINARY = Metric("mean", name="revenue"), Metric("binary", name="click")
BOUNDED, P90 = Metric("mean", low=0, high=1), Metric("quantile", name="latency", q=0.9, higher_is_better=False)
ASYMPTOTIC: tuple[Method, ...] = ("tuned", "asymptotic", "msprt", "group_sequential", "fixed")
ANY_TIME: tuple[Method, ...] = ("tuned", "asymptotic", "msprt", "betting", "bernstein")


def coins(seed: int, n: int, share: float) -> Sample:
    return Sample((np.random.default_rng(seed).random(n) < share).astype(float))


def ask(metric: Metric, control: Sample, treatment: Sample, method: Method = "tuned") -> Comparison:
    return compare(metric, control, treatment, method=method, effect=0.05, fixed_n=4000)


@pytest.mark.parametrize("method", ANY_TIME)
def test_p_value_interval_and_verdict_say_the_same(method: Method) -> None:
    for seed, share in enumerate((0.5, 0.53, 0.56, 0.7)):
        found = ask(BINARY, coins(seed, 1500, 0.5), coins(100 + seed, 1500, share), method)
        assert found.p_value is not None
        assert found.e_value is not None
        assert found.low <= found.estimate <= found.high
        assert (found.p_value <= 0.05) == (found.low > 0 or found.high < 0) == (found.verdict in ("better", "worse"))


@pytest.mark.parametrize("method", [name for name in METHODS if name != "nonparametric"])
def test_a_large_difference_is_found_in_either_direction(method: Method) -> None:
    low, high = coins(0, 2000, 0.3), coins(1, 2000, 0.6)
    assert ask(BINARY, low, high, method).verdict == "better"
    assert ask(BINARY, high, low, method).verdict == "worse"
    assert ask(Metric("binary", higher_is_better=False), low, high, method).verdict == "worse"


@pytest.mark.parametrize("method", ["tuned", "asymptotic", "msprt", "nonparametric", "group_sequential", "fixed"])
def test_quantiles(method: Method) -> None:
    rng = np.random.default_rng(0)
    control, treatment = Sample(rng.exponential(1.0, 2000)), Sample(rng.exponential(2.0, 2000))
    found = ask(P90, control, treatment, method)
    assert found.verdict == "worse"
    assert found.low < math.log(10) < found.high
    assert found.relative is None


def test_the_limits_are_those_of_the_mixture() -> None:
    control, treatment = Sample(np.random.default_rng(0).normal(size=500)), coins(1, 700, 0.5)
    found = difference(MEAN, control, treatment)
    for method, z in (
        ("tuned", z_tuned(0.05 / found.se, 0.05)),
        ("msprt", z_normal((0.05 / found.se) ** 2, 0.05)),
        ("asymptotic", z_normal(tuned_for(4000, 0.05) * 1200, 0.05)),
    ):
        got = ask(MEAN, control, treatment, method)  # type: ignore[arg-type]
        assert got.high - got.estimate == pytest.approx(float(z) * found.se)
        assert got.estimate - got.low == pytest.approx(float(z) * found.se)


def test_fixed_is_welchs_interval_of_the_planned_units_and_only_that() -> None:
    rng = np.random.default_rng(0)
    control, treatment = Sample(rng.gamma(2, 1, 300)), Sample(rng.gamma(2, 1.1, 300))
    early = compare(MEAN, control.first(100), treatment.first(100), method="fixed", fixed_n=300)
    assert (early.low, early.high, early.p_value, early.verdict) == (-math.inf, math.inf, None, "none_yet")
    found = compare(MEAN, control, treatment, method="fixed", fixed_n=300)
    other = ttest_ind(treatment.values[:150], control.values[:150], equal_var=False)
    assert (found.low, found.high) == pytest.approx(tuple(other.confidence_interval(0.95)))
    assert found.p_value == pytest.approx(other.pvalue)
    assert (found.n_control, found.n_treatment) == (150, 150)
    later = compare(MEAN, control.first(250), treatment.first(250), method="fixed", fixed_n=300)
    assert later == found


def test_group_sequential_holds_the_last_planned_look() -> None:
    control, treatment = coins(0, 1000, 0.5), coins(1, 1000, 0.52)

    def at(n: int) -> Comparison:
        return compare(BINARY, control.first(n), treatment.first(n), method="group_sequential", fixed_n=1200, looks=3)

    assert (at(199).low, at(199).n_control) == (-math.inf, 199)
    assert at(200) == at(399)
    assert at(399).n_control == 200
    found = difference(BINARY, control.first(400), treatment.first(400))
    assert at(400).high - at(400).estimate == pytest.approx(obrien_fleming(3, 0.05)[1] * found.se)
    assert at(600) == at(1000)


def test_nonparametric_is_the_union_of_both_arms() -> None:
    rng = np.random.default_rng(3)
    control, treatment = rng.normal(size=800), rng.normal(1.0, 1, 800)
    found = ask(P90, Sample(control), Sample(treatment), "nonparametric")
    first, second = (quantile_interval(x, 0.9, 0.025, strength(2000)) for x in (control, treatment))
    assert (found.low, found.high) == (second[0] - first[1], second[1] - first[0])
    assert found.p_value is not None
    at_p = compare(
        P90, Sample(control), Sample(treatment), method="nonparametric", fixed_n=4000, alpha=found.p_value * 1.001
    )
    below = compare(
        P90, Sample(control), Sample(treatment), method="nonparametric", fixed_n=4000, alpha=found.p_value * 0.999
    )
    assert at_p.verdict == "worse"
    assert below.verdict == "none_yet"


def test_no_difference_to_speak_of_is_said_and_so_is_the_end() -> None:
    same = compare(BINARY, coins(0, 20_000, 0.5), coins(0, 20_000, 0.5), effect=0.05)
    assert same.verdict == "equivalent"
    few = (coins(0, 500, 0.5), coins(0, 500, 0.5))
    assert compare(BINARY, *few, effect=0.05, fixed_n=1001).verdict == "none_yet"
    assert compare(BINARY, *few, effect=0.05, fixed_n=1000).verdict == "futile"


def test_path_says_what_compare_said_then() -> None:
    nan = np.where(np.arange(900) % 3 == 0, np.nan, coins(0, 900, 0.5).values)
    control, treatment = Sample(nan, times=np.arange(900.0)), Sample(coins(1, 900, 0.6).values, times=np.arange(900.0))
    looks = path(BINARY, control, treatment, looks_at=[0, 50, 700, 9999], effect=0.05, fixed_n=2000)
    assert [look.n_control + look.n_treatment for look in looks] == [0, 50, 700, 1500]
    # 700 known units: of the first 420 in time, all of treatment and two thirds of control.
    then = compare(BINARY, Sample(nan[:420]), treatment.first(420), effect=0.05, fixed_n=2000)
    assert replace(looks[2], missing_control=140) == then
    assert looks[3] == compare(BINARY, control, treatment, effect=0.05, fixed_n=2000)
    assert looks[3].missing_control == 300
    with pytest.raises(ValueError, match="look"):
        path(BINARY, control, treatment, looks_at=[-1], effect=0.05)


def test_effective_n_is_the_size_of_two_equal_arms_without_cuped() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=6000)
    equal = ask(MEAN, Sample(values[:3000]), Sample(values[3000:]))
    assert equal.effective_n == pytest.approx(6000, rel=1e-3)
    unequal = ask(MEAN, Sample(values[:600]), Sample(values[600:]))
    assert unequal.effective_n == pytest.approx(4 * 600 * 5400 / 6000, rel=0.05)
    x = values + rng.normal(size=6000)
    adjusted = ask(MEAN, Sample(values[:3000], covariates=x[:3000]), Sample(values[3000:], covariates=x[3000:]))
    assert adjusted.effective_n == pytest.approx(12_000, rel=0.1)
    assert any("CUPED" in sentence for sentence in adjusted.assumptions)


# --- hostile input ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("sizes", [(0, 0), (0, 1), (1, 1), (0, 100), (2, 2), (19, 5000)])
def test_with_next_to_nothing_nothing_is_claimed(method: Method, sizes: tuple[int, int]) -> None:
    metric = P90 if method == "nonparametric" else BOUNDED
    rng = np.random.default_rng(0)
    control, treatment = (Sample(rng.random(size)) for size in sizes)
    found = compare(metric, control, treatment, method=method, effect=0.3, fixed_n=100_000)
    assert found.verdict == "none_yet"
    assert found.low <= 0 <= found.high
    assert math.isnan(found.estimate) == (0 in (found.n_control, found.n_treatment))


@pytest.mark.parametrize("method", list(METHODS))
def test_nothing_but_missing_outcomes(method: Method) -> None:
    metric = P90 if method == "nonparametric" else BOUNDED
    found = ask(metric, Sample(np.full(50, np.nan)), Sample(np.full(60, np.nan)), method)
    assert (found.missing_control, found.missing_treatment) == (50, 60)
    assert (found.n_control, found.verdict) == (0, "none_yet")


@pytest.mark.parametrize("method", ASYMPTOTIC)
@pytest.mark.parametrize("value", [0.0, 0.1, -3e200])
def test_asymptotic_methods_claim_nothing_about_constants(method: Method, value: float) -> None:
    control, treatment = Sample(np.full(5000, value)), Sample(np.full(5000, value + 1))
    for metric in (MEAN, Metric("quantile")):
        found = compare(metric, control, treatment, method=method, effect=0.5, fixed_n=20_000)
        assert (found.low, found.high, found.verdict) == (-math.inf, math.inf, "none_yet")


@pytest.mark.parametrize("method", ["betting", "bernstein"])
def test_exact_methods_tell_constants_apart(method: Method) -> None:
    found = ask(BOUNDED, Sample(np.full(2000, 0.2)), Sample(np.full(2000, 0.9)), method)
    assert found.verdict == "better"
    assert found.low <= found.estimate <= found.high
    assert ask(BOUNDED, Sample(np.full(2000, 0.2)), Sample(np.full(2000, 0.2)), method).verdict != "better"


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_tiny_and_enormous_values(scale: float) -> None:
    rng = np.random.default_rng(0)
    control, treatment = rng.normal(10, 1, 400), rng.normal(10.4, 1, 400)
    plain = compare(MEAN, Sample(control), Sample(treatment), effect=0.3)
    found = compare(MEAN, Sample(control * scale), Sample(treatment * scale), effect=0.3 * scale)
    for name in ("estimate", "low", "high"):
        assert getattr(found, name) / scale == pytest.approx(getattr(plain, name), rel=1e-6)
    assert (found.verdict, found.p_value) == (plain.verdict, pytest.approx(plain.p_value, rel=1e-6))
    assert found.relative_low == pytest.approx(plain.relative_low, rel=1e-6)


def test_a_ratio_over_nothing() -> None:
    nothing = Sample(np.zeros(100), np.zeros(100))
    found = ask(Metric("ratio"), nothing, Sample(np.arange(100.0), np.ones(100)))
    assert math.isnan(found.estimate)
    assert found.verdict == "none_yet"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"method": "guess"}, "a method is one of tuned"),
        ({"alpha": 0.0}, "alpha"),
        ({"effect": 0.0}, "effect"),
        ({"effect": math.nan}, "effect"),
        ({"fixed_n": 1}, "fixed_n"),
        ({"looks": 0}, "looks"),
        ({"effect": None}, "'tuned' needs effect"),
        ({"method": "msprt", "effect": None}, "'msprt' needs effect"),
        ({"method": "asymptotic", "fixed_n": None}, "needs fixed_n"),
        ({"method": "fixed", "fixed_n": None}, "needs fixed_n"),
        ({"method": "group_sequential", "fixed_n": None}, "needs fixed_n"),
        ({"method": "nonparametric"}, "for quantiles"),
        ({"metric": MEAN, "method": "betting"}, "both bounds"),
        ({"metric": P90, "method": "bernstein"}, "compare means"),
    ],
)
def test_refuses_what_does_not_fit(changed: dict, says: str) -> None:
    asked = {"metric": BINARY, "effect": 0.05, "fixed_n": 1000, **changed}
    metric = asked.pop("metric")
    with pytest.raises(ValueError, match=says):
        compare(metric, coins(0, 100, 0.5), coins(1, 100, 0.5), **asked)


def test_exact_methods_refuse_cuped() -> None:
    sample = Sample(np.ones(10), covariates=np.ones(10))
    with pytest.raises(ValueError, match="CUPED"):
        ask(BINARY, sample, sample, "betting")


# --- invariances --------------------------------------------------------------------------------

SEEDS = st.integers(0, 10_000)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, method=st.sampled_from(["tuned", "asymptotic", "msprt"]))
def test_the_order_of_units_does_not_matter_to_asymptotic_methods(seed: int, method: Method) -> None:
    rng = np.random.default_rng(seed)
    control, treatment = rng.gamma(1, 1, 200), rng.gamma(1, 1.2, 300)
    one = ask(MEAN, Sample(control), Sample(treatment), method)
    other = ask(MEAN, Sample(rng.permutation(control)), Sample(rng.permutation(treatment)), method)
    assert (one.low, one.high) == (pytest.approx(other.low, abs=1e-9), pytest.approx(other.high, abs=1e-9))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, factor=st.floats(1e-6, 1e6), shift=st.floats(-1e3, 1e3))
def test_units_of_measurement_do_not_matter(seed: int, factor: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    control, treatment = rng.gamma(1, 1, 200), rng.gamma(1, 1.2, 300)
    plain = compare(MEAN, Sample(control), Sample(treatment), effect=0.2)
    moved = [Sample((x + shift) * factor) for x in (control, treatment)]
    found = compare(MEAN, *moved, effect=0.2 * factor)
    assert found.low / factor == pytest.approx(plain.low, abs=1e-6)
    assert found.high / factor == pytest.approx(plain.high, abs=1e-6)
    assert found.verdict == plain.verdict


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, method=st.sampled_from(["tuned", "asymptotic", "msprt", "betting", "bernstein", "fixed"]))
def test_exchanging_the_arms_turns_the_interval_round(seed: int, method: Method) -> None:
    rng = np.random.default_rng(seed)
    control, treatment = Sample(rng.random(150)), Sample(rng.random(150) ** 1.3)
    one = compare(BOUNDED, control, treatment, method=method, effect=0.1, fixed_n=300)
    other = compare(BOUNDED, treatment, control, method=method, effect=-0.1, fixed_n=300)
    assert (one.low, one.high) == (pytest.approx(-other.high, abs=1e-9), pytest.approx(-other.low, abs=1e-9))
    turned = {"better": "worse", "worse": "better"}
    assert one.verdict == turned.get(other.verdict, other.verdict)
