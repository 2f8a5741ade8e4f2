"""Business value: one answer and many at once, by the same rules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from quorate.core.value import ClassValue, ValueSpec, payoffs, value_of, values_of

CLASSES = ("fine", "fraud", "odd")
SPEC = ValueSpec(
    correct=1.0,
    error=-5.0,
    by_class={"fraud": ClassValue(correct=20.0), "odd": ClassValue(error=-2.0)},
    confusion={"fraud": {"fine": -800.0}},
    per_ms=-0.001,
)


@pytest.mark.parametrize(
    ("truth", "answer", "payoff"),
    [
        ("fine", "fine", 1.0),
        ("fine", "fraud", -5.0),
        ("fraud", "fraud", 20.0),
        ("fraud", "fine", -800.0),
        ("fraud", "odd", -5.0),
        ("odd", "odd", 1.0),
        ("odd", "fine", -2.0),
    ],
)
def test_the_most_exact_declaration_counts(truth: str, answer: str, payoff: float) -> None:
    assert value_of(SPEC, truth, answer, {}, 100.0) == pytest.approx(payoff - 0.1)
    assert payoffs(SPEC, CLASSES)[CLASSES.index(truth), CLASSES.index(answer)] == payoff


def test_only_what_is_declared_has_a_payoff() -> None:
    assert value_of(ValueSpec(error=-3.0), "a", "a", {}, 0.0) == 0.0
    assert value_of(ValueSpec(confusion={"a": {"b": -1.0}}), "b", "a", {}, 0.0) == 0.0


def test_numbers_are_valued_by_their_error() -> None:
    spec = ValueSpec(per_unit_error=-2.0)
    assert value_of(spec, 10.0, 7.5, {}, 0.0) == -5.0
    assert math.isnan(value_of(spec, "ten", 7.5, {}, 0.0))
    assert math.isnan(value_of(spec, 10.0, None, {}, 0.0))
    assert value_of(ValueSpec(per_unit_error=-2.0, unanswered=-9.0), 10.0, None, {}, 0.0) == -9.0


def test_a_value_is_unknown_until_all_it_rests_on_is_known() -> None:
    spec = ValueSpec(correct=1.0, rewards={"revenue": 2.0})
    assert math.isnan(value_of(spec, None, "a", {"revenue": 3.0}, 0.0))
    assert math.isnan(value_of(spec, "a", "a", {}, 0.0))
    assert value_of(spec, "a", "a", {"revenue": 3.0, "clicks": 9.0}, 0.0) == 7.0
    absent = ValueSpec(correct=1.0, rewards={"revenue": 2.0}, absent={"revenue": 0.5})
    assert value_of(absent, "a", "a", {}, 0.0) == 2.0
    only = ValueSpec(rewards={"revenue": 1.0}, absent={"revenue": 0.0}, per_ms=-1.0)
    assert math.isnan(value_of(only, None, "a", {}, 5.0))  # nothing is known of it
    assert value_of(only, "b", "a", {}, 5.0) == -5.0
    assert value_of(only, None, None, {"clicks": 1.0}, 5.0) == -5.0  # a reward does not ask for an answer


def _arguments(classes: tuple[str, ...], rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    revenue = np.where(rng.random(n) < 0.5, np.nan, rng.normal(size=n))
    clicks = np.where(rng.random(n) < 0.5, np.nan, rng.normal(size=n))
    if classes:
        truths, answers = rng.integers(-1, len(classes), n), rng.integers(-1, len(classes), n)
    else:
        truths = np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n))
        answers = np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n))
    return truths, answers, revenue, clicks, rng.random(n) * 100


@pytest.mark.parametrize(
    ("classes", "spec"),
    [
        (CLASSES, SPEC),
        (CLASSES, ValueSpec(correct=1.0, unanswered=-3.0, rewards={"revenue": 2.0})),
        (CLASSES, ValueSpec(rewards={"revenue": 2.0}, absent={"revenue": 0.0}, per_ms=-0.1)),
        ((), ValueSpec(per_unit_error=-2.0, unanswered=-1.0)),
        ((), ValueSpec(per_unit_error=-2.0, rewards={"clicks": 1.0}, absent={"clicks": 0.0})),
    ],
)
def test_many_at_once_are_what_each_is(classes: tuple[str, ...], spec: ValueSpec) -> None:
    n = 300
    truths, answers, revenue, clicks, latency = _arguments(classes, np.random.default_rng(3), n)
    found = values_of(spec, classes, truths, answers, {"revenue": revenue, "clicks": clicks}, latency)

    def said(values: Any, i: int) -> Any:
        missing = values[i] < 0 if classes else math.isnan(values[i])
        return None if missing else classes[values[i]] if classes else float(values[i])

    for i in range(n):
        rewards = {k: float(v[i]) for k, v in (("revenue", revenue), ("clicks", clicks)) if not math.isnan(v[i])}
        one = value_of(spec, said(truths, i), said(answers, i), rewards, float(latency[i]))
        assert found[i] == pytest.approx(one, nan_ok=True), i
    assert np.isfinite(found).any()
    assert np.isnan(found).any()


def test_all_strategies_of_a_row_at_once() -> None:
    found = values_of(SPEC, CLASSES, [[0], [1]], [[0, 1, 2], [0, 1, 2]], {}, [[0.0], [1000.0]])
    assert found.tolist() == [[1.0, -5.0, -5.0], [-801.0, 19.0, -6.0]]
