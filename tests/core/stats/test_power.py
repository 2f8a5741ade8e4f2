import math
from statistics import NormalDist

import numpy as np
import pytest

from quorate.core.stats.compare import Metric, Sample, baseline, path, plan
from quorate.core.stats.difference import difference
from quorate.core.stats.intervals import wilson

BINARY, MEAN = Metric("binary"), Metric("mean")
SEQUENTIAL = ("tuned", "asymptotic", "msprt", "betting", "bernstein", "group_sequential")


def test_published_sizes_of_a_test_with_one_look() -> None:
    # Two shares, unpooled: (1.96 + 0.8416)² (0.1 0.9 + 0.12 0.88) / 0.02² = 3,838.1 an arm.
    assert plan(BINARY, baseline=0.1, effect=0.02, method="fixed").maximum == math.ceil(2 * 3838.1)
    # Cohen 1988: half a standard deviation, power 0.8: 63 an arm, 64 with Student's correction.
    found = plan(MEAN, baseline=0, sd=2.0, effect=1.0, method="fixed")
    assert (found.maximum, found.maximum_control, found.maximum_treatment) == (126, 63, 63)
    assert found.power == 0.8
    assert found.expected == found.expected_null == found.maximum == found.fixed


@pytest.mark.parametrize("method", SEQUENTIAL)
def test_sequential_sizes_stay_within_twice_the_fixed_one(method: str) -> None:
    found = plan(MEAN, baseline=10, sd=3.0, effect=0.3, method=method)
    assert found.power >= 0.8
    assert found.fixed < found.maximum <= 2 * found.fixed
    assert found.expected < found.expected_null <= found.maximum
    assert found.expected <= 1.17 * found.fixed


def test_the_default_promises_what_it_keeps() -> None:
    # Simulated: benchmarks/decisions/errors.py; here the walk of the mean alone.
    found = plan(MEAN, baseline=0, sd=1.0, effect=0.1)
    assert found.expected <= 0.96 * found.fixed
    assert found.maximum <= 1.65 * found.fixed


def test_more_looks_find_sooner_and_cost_nothing() -> None:
    few, many = (plan(MEAN, baseline=0, sd=1.0, effect=0.1, looks=looks) for looks in (5, 100))
    assert many.expected < few.expected
    assert many.maximum < few.maximum
    # Bounds that do not depend on the looks hold at all of them; those that spend alpha over the looks rise with them.
    few, many = (plan(MEAN, baseline=0, sd=1.0, effect=0.1, looks=k, method="group_sequential") for k in (5, 100))
    assert few.maximum < many.maximum < 1.05 * few.maximum


def test_quantiles_without_approximation_cost_more() -> None:
    metric = Metric("quantile", q=0.9)
    exact, approximate = (plan(metric, baseline=2, sd=3.0, effect=0.3, method=m) for m in ("nonparametric", "tuned"))
    assert exact.maximum > 1.5 * approximate.maximum


def test_unequal_shares_need_more_units() -> None:
    even, uneven = (plan(MEAN, baseline=0, sd=1.0, effect=0.1, allocation=share) for share in (0.5, 0.1))
    assert uneven.maximum == pytest.approx(even.maximum / 4 / 0.09, rel=1e-3)
    assert uneven.maximum_treatment == round(0.1 * uneven.maximum)
    noisier = plan(MEAN, baseline=0, sd=1.0, treatment_sd=2.0, effect=0.1)
    assert noisier.maximum == pytest.approx(even.maximum * 2.5, rel=1e-3)


def test_missing_outcomes_and_traffic_make_the_duration() -> None:
    found = plan(BINARY, baseline=0.1, effect=-0.02, presence=0.6, daily_units=500)
    assert found.assigned == math.ceil(found.maximum / 0.6)
    assert found.maximum_days == found.assigned / 500
    assert found.expected_days == pytest.approx(found.expected / 0.6 / 500, rel=1e-3)
    assert plan(BINARY, baseline=0.1, effect=-0.02).maximum_days is None
    assert any("chance" in sentence for sentence in found.assumptions)


def test_the_direction_of_an_effect_changes_nothing_but_the_variance_of_a_share() -> None:
    up, down = (plan(MEAN, baseline=0, sd=1.0, effect=effect) for effect in (0.1, -0.1))
    assert (up.maximum, up.expected) == (down.maximum, down.expected)


def test_the_baseline_of_past_units() -> None:
    rng = np.random.default_rng(0)
    values, x = rng.normal(5, 2, 4000), rng.normal(size=4000)
    found = baseline(MEAN, Sample(np.append(values, np.nan)))
    assert (found.value, found.sd, found.n) == (pytest.approx(values.mean()), pytest.approx(values.std(ddof=1)), 4000)
    left = baseline(MEAN, Sample(values + 4 * x, covariates=x))
    assert left.sd == pytest.approx(found.sd, rel=0.02)
    pages = rng.geometric(0.2, 4000).astype(float)
    ratio = Sample(rng.poisson(pages).astype(float), pages)
    arm = difference(Metric("ratio"), ratio, ratio).control
    assert baseline(Metric("ratio"), ratio).sd == pytest.approx(arm.se * math.sqrt(4000))
    assert math.isnan(baseline(MEAN, Sample(np.ones(1))).sd)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"effect": 0.0}, "effect"),
        ({"effect": math.inf}, "effect"),
        ({"effect": 0.95}, "shares lie between"),
        ({"baseline": 0.0}, "shares lie between"),
        ({"alpha": 0.0}, "alpha < power"),
        ({"power": 0.01}, "alpha < power"),
        ({"power": 1.0}, "alpha < power"),
        ({"allocation": 1.0}, "allocation"),
        ({"presence": 0.0}, "presence"),
        ({"daily_units": 0.0}, "daily_units"),
        ({"looks": 0}, "looks"),
        ({"method": "guess"}, "a method is one of"),
        ({"metric": MEAN}, "sd > 0"),
        ({"metric": MEAN, "sd": 0.0}, "sd > 0"),
        ({"metric": MEAN, "sd": 1.0, "treatment_sd": -1.0}, "sd > 0"),
    ],
)
def test_refuses_what_is_out_of_range(changed: dict, says: str) -> None:
    asked = {"metric": BINARY, "baseline": 0.1, "effect": 0.02, **changed}
    metric = asked.pop("metric")
    with pytest.raises(ValueError, match=says):
        plan(metric, **asked)


@pytest.mark.parametrize(("method", "runs"), [("tuned", 100), ("nonparametric", 20)])
def test_the_power_of_quantiles_is_what_was_planned(method: str, runs: int) -> None:
    # In full: benchmarks/decisions/quantiles.py. A lognormal median that grows by a third, its deviation as well.
    metric, sd = Metric("quantile", q=0.5, higher_is_better=False), 0.5 * 0.5 / NormalDist().pdf(0)
    made = plan(metric, baseline=1.0, sd=sd, treatment_sd=4 / 3 * sd, effect=1 / 3, method=method, looks=5)
    rng, right, units = np.random.default_rng(11), 0, 0.0
    every = [math.ceil(made.maximum * (i + 1) / made.looks) for i in range(made.looks)]
    for _ in range(runs):
        order = rng.permutation(made.maximum).astype(float)
        control, treatment = np.split(np.exp(0.5 * rng.standard_normal(made.maximum)), [made.maximum_control])
        first_arm, second_arm = np.split(order, [made.maximum_control])
        found = path(
            metric,
            Sample(control, times=np.sort(first_arm)),
            Sample(4 / 3 * treatment, times=np.sort(second_arm)),
            looks_at=every,
            method=method,
            effect=1 / 3,
            fixed_n=made.maximum,
            looks=made.looks,
        )
        first = next((i for i, each in enumerate(found) if each.verdict != "none_yet"), made.looks - 1)
        right += found[first].verdict == "worse"
        units += every[first]
    assert wilson(right, runs, 0.999).high >= made.power
    assert right / runs >= 0.7
    assert units / runs <= 1.15 * made.expected
