"""What is registered: one error for each thing that is wrong, naming the field."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.control.experiments.registration import parse
from quorate.errors import InvalidInput

GOOD: dict[str, Any] = {
    "name": "trial",
    "endpoint": "main",
    "control": "a",
    "treatments": ["b"],
    "metric": {"kind": "accuracy"},
    "minimum_effect": 0.1,
    "stop": {"max_units": 1000, "max_days": 7},
}


def test_defaults_and_what_follows() -> None:
    made = parse(GOOD)
    assert made.shares == {"a": 0.5, "b": 0.5}
    assert (made.stop.method, made.stop.alpha, made.stop.power) == ("tuned", 0.05, 0.8)
    assert made.components == ("accuracy",)
    assert made.sticky is None
    assert made.blind is None
    assert parse(made.model_dump(mode="json")) == made
    assert parse(GOOD | {"name": "other"}).digest != made.digest


def test_everything_that_is_stored_per_decision_is_known() -> None:
    made = parse(
        GOOD
        | {
            "treatments": ["b", "c"],
            "allocation": {"a": 2, "b": 1, "c": 1},
            "metric": {
                "kind": "weighted",
                "parts": [
                    {"weight": 1, "metric": {"kind": "accuracy"}},
                    {"weight": -0.5, "metric": {"kind": "reward", "reward": "cost"}},
                ],
            },
            "guard_rails": [{"metric": "reward", "reward": "joy", "margin": 0.1}, {"metric": "latency", "margin": 5}],
            "unit": "context.user",
            "segments": ["context.country"],
            "covariate": "context.age",
        }
    )
    assert made.components == ("accuracy", "reward:cost", "reward:joy")
    assert made.keys == ("country", "age")
    assert made.sticky == "user"
    assert made.shares == {"a": 0.5, "b": 0.25, "c": 0.25}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "No Good"}, "name"),
    ({"colour": "red"}, "colour"),
    ({"treatments": []}, "treatments"),
    ({"treatments": ["a"]}, "treatments"),
    ({"treatments": ["b", "b"]}, "treatments"),
    ({"treatments": "b"}, "treatments"),
    ({"minimum_effect": 0}, "minimum_effect"),
    ({"minimum_effect": float("nan")}, "minimum_effect"),
    ({"minimum_effect": float("inf")}, "minimum_effect"),
    ({"minimum_effect": "0.1"}, "minimum_effect"),
    ({"metric": {"kind": "fame"}}, "metric"),
    ({"metric": "accuracy"}, "metric"),
    ({"metric": {"kind": "quantile", "of": "latency_ms", "q": 1}}, "metric.quantile.q"),
    ({"metric": {"kind": "reward", "low": 1.0, "high": 0.0}}, "metric.low"),
    ({"metric": {"kind": "reward", "low": 0.0}}, "metric.low"),
    ({"stop": {"max_units": 1000}}, "stop.max_days"),
    ({"stop": {"max_units": 1, "max_days": 7}}, "stop.max_units"),
    ({"stop": {"max_units": 1000, "max_days": 7, "alpha": 0.0}}, "stop.alpha"),
    ({"stop": {"max_units": 1000, "max_days": 7, "method": "guess"}}, "stop.method"),
    ({"stop": {"max_units": 1000, "max_days": 7, "method": "nonparametric"}}, "stop.method"),
    ({"stop": {"max_units": 10, "max_days": 7, "method": "betting"}, "metric": {"kind": "reward"}}, "stop.method"),
    ({"allocation": {"a": 1}}, "allocation.b"),
    ({"allocation": {"a": 1, "b": 1, "c": 1}}, "allocation.c"),
    ({"allocation": {"a": 1, "b": 0}}, "allocation.b"),
    ({"unit": "user"}, "unit"),
    ({"outcome_window_s": 0}, "outcome_window_s"),
    ({"guard_rails": [{"metric": "latency"}]}, "guard_rails.0.margin"),
    ({"guard_rails": [{"metric": "latency", "margin": 1, "reward": "x"}]}, "guard_rails.0"),
    ({"guard_rails": [{"metric": "reward", "margin": 1}]}, "guard_rails.0"),
    ({"guard_rails": [{"metric": "latency", "margin": 1}] * 2}, "guard_rails"),
    ({"segments": ["country"]}, "segments.0"),
    ({"segments": ["context.a", "context.a"]}, "segments"),
    ({"covariate": {"pre_period_days": 7}}, "covariate.pre_period_days"),
    ({"covariate": "context.x", "metric": {"kind": "quantile", "of": "latency_ms", "q": 0.5}}, "covariate"),
    ({"blind": False, "hide_until_verdict": True}, "hide_until_verdict"),
    ({"conclude": "maybe"}, "conclude"),
]


@pytest.mark.parametrize(("changes", "path"), WRONG, ids=[path + f"-{i}" for i, (_, path) in enumerate(WRONG)])
def test_what_is_wrong_is_named(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(GOOD | changes)
    assert (refused.value.path or "").startswith(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("missing", ["name", "endpoint", "control", "treatments", "metric", "minimum_effect", "stop"])
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse({key: value for key, value in GOOD.items() if key != missing})
    assert refused.value.path == missing


@pytest.mark.parametrize("nothing", [None, [], "x", 1])
def test_a_registration_is_an_object(nothing: Any) -> None:
    with pytest.raises(InvalidInput):
        parse(nothing)
