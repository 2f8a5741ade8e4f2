"""Experiments in words."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.console.experiments import said
from quorate.control.experiments import metrics
from quorate.control.experiments.registration import Registration
from quorate.control.experiments.verdict import RESTORING

REWARD = {"kind": "reward", "reward": "clicks"}


@pytest.mark.parametrize(
    "declared",
    [
        {"kind": "accuracy"},
        {"kind": "absolute_error"},
        {"kind": "value"},
        REWARD,
        {"kind": "ratio", "numerator": "revenue", "denominator": "visits"},
        {"kind": "quantile", "of": "latency_ms", "q": 0.95},
        {
            "kind": "weighted",
            "parts": [{"weight": 2, "metric": {"kind": "accuracy"}}, {"weight": -1, "metric": REWARD}],
        },
    ],
)
def test_a_metric_is_called_what_control_calls_it(declared: dict[str, Any]) -> None:
    made = Registration.model_validate(
        {
            "name": "n",
            "endpoint": "e",
            "control": "a",
            "treatments": ["b"],
            "metric": declared,
            "minimum_effect": 1.0,
            "stop": {"max_units": 10, "max_days": 1.0},
        }
    )
    assert said.metric(made.model_dump(mode="json")["metric"]) == metrics.title(made.metric)


def test_every_verdict_has_words() -> None:
    known = {*RESTORING, "better", "worse", "no_difference", "inconclusive", "stopped", "interrupted"}
    assert set(said.VERDICTS) == known
    found = {"state": "decided", "verdict": {"verdict": "better", "winner": "b"}, "registration": {"control": "a"}}
    assert said.verdict(found) == ("b is better", "good")
    assert said.verdict({**found, "verdict": {"verdict": "worse"}}) == ("a is better", "bad")
    assert said.verdict({**found, "verdict": None, "state": "running"}) == ("no verdict yet", "")


def _running(**look: Any) -> dict[str, Any]:
    stop = {"max_units": 1000, "max_days": 2.0}
    return {"state": "running", "started": 0.0, "registration": {"stop": stop}, "latest": look or None}


def test_what_is_hidden_is_not_told() -> None:
    hidden = _running(hidden=True, body={"known": 12, "comparisons": [{"treatment": "b", "estimate": 0.7}]})
    assert said.so_far(hidden) == "Hidden until the verdict."
    assert said.units(hidden) == (12, 1000)


def test_what_is_open_is_told_with_its_interval() -> None:
    each = {"treatment": "b", "estimate": 0.1, "low": -0.2, "high": 0.4}
    few = {"treatment": "c", "estimate": None, "low": None, "high": None}
    found = _running(hidden=False, body={"known": {"a": 5, "b": 7}, "comparisons": [each, few]})
    assert said.so_far(found) == "b: +0.10, between −0.20 and +0.40; c: too few units yet"
    assert said.units(found) == (12, 1000)
    assert said.so_far(_running()) == "No look was taken yet."


def test_days_left_are_never_below_none() -> None:
    assert said.days_left(_running(), 86_400.0) == 1.0
    assert said.days_left(_running(), 9 * 86_400.0) == 0.0
    assert said.days_left({**_running(), "state": "ended"}, 0.0) is None


@pytest.mark.parametrize(
    ("low", "estimate", "high", "text"),
    [
        (-0.3, 0.0, 0.3, "0, between −0.30 and +0.30"),
        (0.00001, 0.05, 0.1, "+0.050, between +0.00001 and +0.100"),
        (-1200.0, 40.0, 1300.0, "+40, between −1,200 and +1,300"),
        (0.5, 0.5, 0.5, "+0.5, between +0.5 and +0.5"),
    ],
)
def test_a_difference_is_as_precise_as_its_interval(low: float, estimate: float, high: float, text: str) -> None:
    assert said.interval({"low": low, "estimate": estimate, "high": high}) == text
