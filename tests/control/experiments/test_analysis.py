"""Looks and verdicts from units made up by hand: several arms, ratios, weights, segments, missing outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.control.experiments import analysis
from quorate.control.experiments.observations import group, observe
from quorate.control.experiments.registration import Registration, parse
from quorate.control.experiments.reports.formulae import FORMULAE
from quorate.control.experiments.verdict import carried_out, verdict
from quorate.core.stats.compare import METHODS
from quorate.store.experiments import Exposure, Value

BASE: dict[str, Any] = {
    "name": "trial",
    "endpoint": "main",
    "control": "a",
    "treatments": ["b"],
    "metric": {"kind": "reward", "reward": "x"},
    "minimum_effect": 0.5,
    "stop": {"max_units": 10_000, "max_days": 7},
}


def _exposure(i: int, arm: str, **changes: Any) -> Exposure:
    made = Exposure("e", f"d{i:06d}", None, arm, "policy", float(i), 5.0, False, False, False, None)
    return made._replace(**changes)


def _value(i: int, total: float, metric: str = "reward:x", number: int = 1) -> Value:
    return Value("e", f"d{i:06d}", metric, number, total, float(i) + 0.5)


def _look(registration: Registration, exposures: list[Exposure], values: list[Value]) -> dict[str, Any]:
    units = group(registration, exposures, values)
    body = analysis.look(registration, units, at=1e5, started=0.0)
    body["segments"] = analysis.segments(registration, units)
    return body


def test_of_several_treatments_the_best_wins() -> None:
    registration = parse(BASE | {"treatments": ["b", "c", "d"]})
    rng, arms = np.random.default_rng(0), ("a", "b", "c", "d")
    mean = {"a": 0.0, "b": 0.7, "c": 1.2, "d": -1.0}
    exposures = [_exposure(i, arms[i % 4]) for i in range(1200)]
    values = [_value(i, mean[arms[i % 4]] + rng.standard_normal()) for i in range(1200)]
    body = _look(registration, exposures, values)
    assert [each["alpha"] for each in body["comparisons"]] == pytest.approx([0.05 / 3] * 3)
    assert verdict(body, higher_is_better=True) == {"verdict": "better", "winner": "c", "warnings": []}
    assert (verdict(body, higher_is_better=False) or {})["winner"] == "b"


def test_a_unit_s_value_is_the_mean_of_its_decisions_and_a_ratio_has_sums() -> None:
    registration = parse(
        BASE | {"unit": "context.user", "metric": {"kind": "ratio", "numerator": "x", "denominator": "y"}}
    )
    exposures = [_exposure(i, "ab"[i % 2], unit=f"u{i % 2}") for i in range(4)]
    values = [_value(i, 10.0 * i) for i in range(4)] + [_value(i, 2.0, "reward:y") for i in (0, 1, 2)]
    units = group(registration, exposures, values)
    observed = observe(registration.metric, units)
    assert observed.values.tolist() == [20.0, 40.0]
    assert observed.denominators is not None
    assert observed.denominators.tolist() == [4.0, 2.0]
    plain = parse(BASE | {"unit": "context.user"})
    mean = observe(plain.metric, group(plain, exposures, values[:3]))
    assert mean.values.tolist() == [10.0, 10.0]
    assert mean.at.tolist() == [0.5, 1.5]


def test_several_metrics_with_weights_are_one_number() -> None:
    parts = [
        {"weight": 2, "metric": {"kind": "accuracy"}},
        {"weight": -0.5, "metric": {"kind": "reward", "reward": "x"}},
    ]
    registration = parse(BASE | {"metric": {"kind": "weighted", "parts": parts}})
    exposures = [_exposure(i, "ab"[i % 2]) for i in range(3)]
    values = [_value(0, 1.0, "accuracy"), _value(0, 4.0), _value(1, 3.0, "accuracy", number=4), _value(2, 1.0)]
    observed = observe(registration.metric, group(registration, exposures, values))
    np.testing.assert_array_equal(observed.values, [0.0, np.nan, np.nan])


def test_the_business_value_of_a_request_is_that_of_all_its_rows() -> None:
    registration = parse(BASE | {"metric": {"kind": "value"}})
    units = group(registration, [_exposure(0, "a")], [_value(0, 12.0, "value", number=3)])
    assert observe(registration.metric, units).values.tolist() == [12.0]


def test_a_unit_in_two_arms_is_left_out_and_counted() -> None:
    registration = parse(BASE | {"unit": "context.user"})
    exposures = [
        _exposure(0, "a", unit="u"),
        _exposure(1, "b", unit="u"),
        _exposure(2, "a", unit="v"),
        _exposure(3, "a"),
        _exposure(4, "b", unit="w", source="caller"),
    ]
    units = group(registration, exposures, [])
    assert units.names == ["v"]
    assert units.excluded == {"units in several arms": 1, "without a unit": 1, "chosen by the caller": 1}


def test_outcomes_that_are_missing_in_one_arm_hold_a_promotion_up() -> None:
    registration = parse(BASE | {"conclude": "auto"})
    rng = np.random.default_rng(1)
    exposures = [_exposure(i, "ab"[i % 2]) for i in range(2000)]
    told = [i for i in range(2000) if i % 2 == 0 or rng.random() < 0.5]
    body = _look(registration, exposures, [_value(i, i % 2 + rng.standard_normal()) for i in told])
    found = verdict(body, higher_is_better=True)
    assert found == {"verdict": "better", "winner": "b", "warnings": ["missing_differs"]}
    assert carried_out(found) is None
    assert body["missing"][0]["difference"] == pytest.approx(-0.5, abs=0.05)


def test_segments_are_adjusted_for_their_number() -> None:
    registration = parse(BASE | {"segments": ["context.country", "context.age"]})
    rng = np.random.default_rng(2)
    rare = '["xx", 1]'
    exposures = [
        _exposure(i, "ab"[i % 2], keys=rare if i < 10 else f'["{("de", "fr")[i // 2 % 2]}", {i % 3}]')
        for i in range(1200)
    ]
    lifted = lambda i: 1.5 * (i % 2) * (i // 2 % 2 == 0)  # noqa: E731 - only in de
    body = _look(registration, exposures, [_value(i, lifted(i) + rng.standard_normal()) for i in range(1200)])
    found = {(each["segment"], each["value"]): each for each in body["segments"]}
    assert {value for name, value in found if name == "context.country"} == {"de", "fr"}
    assert {value for name, value in found if name == "context.age"} == {"0", "1", "2"}
    assert found["context.country", "de"]["low"] > 0
    assert found["context.country", "fr"]["low"] < 0 < found["context.country", "fr"]["high"]
    assert all(each["alpha"] == pytest.approx(0.05 / 5) for each in body["segments"])
    assert all(each["p_adjusted"] >= each["p_value"] for each in body["segments"])


def test_values_outside_their_bounds_contradict_the_registration() -> None:
    registration = parse(BASE | {"metric": {"kind": "reward", "reward": "x", "low": 0.0, "high": 1.0}})
    exposures = [_exposure(i, "ab"[i % 2]) for i in range(40)]
    with pytest.raises(ValueError, match="bounds"):
        _look(registration, exposures, [_value(i, 0.5 + i) for i in range(40)])


def test_a_fixed_test_says_nothing_before_its_time() -> None:
    registration = parse(BASE | {"stop": {"method": "fixed", "max_units": 200, "max_days": 7}})
    rng = np.random.default_rng(3)
    exposures = [_exposure(i, "ab"[i % 2]) for i in range(200)]
    values = [_value(i, 2.0 * (i % 2) + rng.standard_normal()) for i in range(200)]
    early = _look(registration, exposures[:198], values[:198])
    assert early["comparisons"][0]["low"] is None
    assert verdict(early, higher_is_better=True) is None
    assert (verdict(_look(registration, exposures, values), higher_is_better=True) or {})["verdict"] == "better"


def test_nothing_has_happened_yet() -> None:
    body = _look(parse(BASE | {"guard_rails": [{"metric": "latency", "margin": 1}]}), [], [])
    assert body["units"] == {"a": 0, "b": 0}
    assert verdict(body, higher_is_better=True) is None


@pytest.mark.parametrize("n", [100, 400])
def test_a_gross_fault_of_the_shares_is_found_early(n: int) -> None:
    body = _look(parse(BASE), [_exposure(i, "b" if i % 8 else "a") for i in range(n)], [])
    assert body["sample_ratio"]["mismatch"]
    assert (verdict(body, higher_is_better=True) or {})["reason"] == "sample_ratio"


def test_what_each_arm_took() -> None:
    exposures = [
        _exposure(0, "a", latency_ms=4.0),
        _exposure(1, "a", latency_ms=6.0, error=True),
        _exposure(2, "b", latency_ms=9.0, fallback=True, degraded=True),
    ]
    body = _look(parse(BASE), exposures, [])
    assert body["costs"]["a"] == {"latency_ms": 5.0, "error_share": 0.5, "degraded_share": 0.0, "fallback_share": 0.0}
    assert body["costs"]["b"] == {"latency_ms": 9.0, "error_share": 0.0, "degraded_share": 1.0, "fallback_share": 1.0}


def test_every_method_has_its_formula_in_the_report() -> None:
    assert FORMULAE.keys() == set(METHODS)
    assert all(formula and source for formula, source in FORMULAE.values())
