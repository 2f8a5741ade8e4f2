"""What is typed becomes a registration, and a registration what is typed."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.console.experiments.typed import Reader, empty, field_of, typed
from quorate.control.experiments.registration import parse

STOP = {"method": "tuned", "alpha": 0.05, "power": 0.9, "max_units": 4000, "max_days": 14.5}
PLAIN: dict[str, Any] = {
    "name": "trial",
    "endpoint": "replies",
    "control": "a",
    "treatments": ["b"],
    "metric": {"kind": "accuracy"},
    "minimum_effect": 0.02,
    "stop": STOP,
}
REWARD = {"kind": "reward", "reward": "clicks", "better": "lower", "low": 0.0, "high": 5.0}
PARTS = [{"weight": 1.0, "metric": {"kind": "accuracy"}}, {"weight": -0.5, "metric": REWARD}]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"metric": REWARD},
        {"metric": {"kind": "ratio", "numerator": "revenue", "denominator": "visits", "better": "higher"}},
        {"metric": {"kind": "quantile", "of": "latency_ms", "q": 0.95, "better": "lower"}},
        {"metric": {"kind": "weighted", "parts": PARTS}},
        {"metric": {"kind": "value"}, "treatments": ["b", "c"], "allocation": {"a": 2.0, "b": 1.0, "c": 1.0}},
        {"unit": "context.user_id", "covariate": {"pre_period_days": 7.0}, "segments": ["context.x", "context.y"]},
        {"covariate": "context.age", "blind": True, "hide_until_verdict": True, "conclude": "auto", "notes": "Why."},
        {"stop": {**STOP, "method": "group_sequential", "looks": 12}, "outcome_window_s": 90.0, "look_every_s": 7200.0},
        {
            "guard_rails": [
                {"metric": "error_rate", "margin": 0.01},
                {"metric": "latency", "margin": 20.0, "q": 0.99},
                {"metric": "reward", "margin": 1.0, "reward": "complaints", "better": "lower"},
            ]
        },
    ],
)
def test_a_registration_survives_the_form(changes: dict[str, Any]) -> None:
    """What control has taken is typed into the form, read again, and is the same to control."""
    taken = parse({**PLAIN, **changes})
    form = typed(taken.model_dump(mode="json"), ["a", "b", "c"])
    reader = Reader(form)
    again = reader.registration()
    assert reader.problems == {}
    assert parse(again) == taken


def test_an_empty_form_says_of_every_field_what_it_takes() -> None:
    form = empty("replies", ["a"], "accuracy")
    reader = Reader(form)
    reader.registration()
    assert set(reader.problems) == {"name", "treatments", "minimum_effect", "stop.max_units", "stop.max_days"}
    assert reader.problems["stop.max_units"] == "This takes a whole number; it is empty."


def test_a_plan_may_leave_open_what_it_is_to_find() -> None:
    form = {**empty("replies", ["a", "b"], "accuracy"), "minimum_effect": "0.02"}
    reader = Reader(form)
    found = reader.registration(planned=True)
    assert reader.problems == {}
    assert "max_units" not in found["stop"]
    assert "max_days" not in found["stop"]
    assert found["name"] == "plan"


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("minimum_effect", "a lot", "This takes a number; got 'a lot'."),
        ("minimum_effect", "nan", "This takes a number; got 'nan'."),
        ("minimum_effect", "1e999", "This takes a number; got '1e999'."),
        ("minimum_effect", " ", "This takes a number; it is empty."),
    ],
)
def test_what_is_no_number_is_not_sent(field: str, text: str, said: str) -> None:
    reader = Reader({**empty("replies", ["a", "b"], "accuracy"), "name": "n", field: text})
    reader.registration(planned=True)
    assert reader.problems == {field: said}


def test_units_may_be_written_with_commas_and_are_whole() -> None:
    form = empty("replies", ["a", "b"], "accuracy")
    form["stop"] |= {"max_units": "12,000", "max_days": "1.5"}
    assert Reader(form).registration()["stop"]["max_units"] == 12_000
    form["stop"]["max_units"] = "1.5"
    reader = Reader(form)
    reader.registration()
    assert "a whole number" in reader.problems["stop.max_units"]


def test_weights_that_are_left_open_are_equal() -> None:
    form = empty("replies", ["a", "b"], "accuracy")
    assert "allocation" not in Reader(form).registration()
    form["allocation"] = {"b": "3", "gone": "5"}
    assert Reader(form).registration()["allocation"] == {"a": 1.0, "b": 3.0}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("stop.max_units", "stop.max_units"),
        ("treatments.0", "treatments"),
        ("metric.reward.reward", "metric.reward"),
        ("metric.reward.low", "metric.low"),
        ("metric.low", "metric.low"),
        ("metric.weighted.parts.1.metric.reward.low", "metric.parts.1.metric.low"),
        ("metric", "metric.kind"),
        ("unit.literal['request']", "unit"),
        ("covariate.pre_period_days", "covariate"),
        ("guard_rails.0.margin", "guard_rails.0.margin"),
        ("allocation.b", "allocation.b"),
        ("context.user_id", "unit"),
        ("context.age", "covariate"),
        ("context.country", "segments"),
        ("If-Match", ""),
        ("id", ""),
        (None, ""),
    ],
)
def test_a_problem_stands_beside_its_field(path: str | None, field: str) -> None:
    form = empty("replies", ["a", "b"], "accuracy")
    form |= {"unit": "context", "unit_key": "user_id", "covariate": "context", "covariate_key": "context.age"}
    assert field_of(path, form) == field
