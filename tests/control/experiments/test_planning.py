"""Plans from the endpoint's own past, and the A/A self-test, which must find a method that cries wolf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.control.experiments import planning
from quorate.core.stats.compare import Comparison
from quorate.errors import Conflict

OPEN = {"stop": {"alpha": 0.05}}


@pytest.fixture
def past(lab: Any) -> Any:
    """A day of traffic: 600 requests, of six in ten the truth is known."""
    for _ in range(6):
        lab.traffic(100, {"average": 0.7, "best": 0.7}, presence=0.6)
        lab.pass_(4 * 3600)
    return lab


def test_a_plan_rests_on_the_endpoint_s_own_traffic(past: Any) -> None:
    found = past.desk.plan(past.registration(**OPEN))
    history = found["history"]
    assert history["units"] == 600
    assert abs(history["baseline"] - 0.7) < 0.08
    assert abs(history["presence"] - 0.6) < 0.08
    assert abs(history["daily_units"] - 600 / (20 / 24)) < 60
    # Two arms, difference 0.2 from 0.7: 16 p (1 - p) / d² by the rule of thumb.
    assert 100 < found["fixed"] < 220
    assert found["maximum"] >= found["expected"]
    assert found["suggested"]["max_units"] == found["maximum"]
    assert found["maximum_days"] == pytest.approx(found["assigned"] / history["daily_units"], rel=0.05)


def test_a_plan_says_what_other_differences_would_take(past: Any) -> None:
    """Sizes go with the inverse square of the difference; one that the metric cannot have is left out."""
    found = past.desk.plan(past.registration(**OPEN, minimum_effect=0.1))
    half, twice = found["alternatives"]
    assert (half["minimum_effect"], twice["minimum_effect"]) == (0.05, 0.2)
    assert half["maximum"] == pytest.approx(4 * found["maximum"], rel=0.2)
    assert twice["maximum"] == pytest.approx(found["maximum"] / 4, rel=0.2)
    (half,) = past.desk.plan(past.registration(**OPEN, minimum_effect=0.25))["alternatives"]
    assert half["minimum_effect"] == 0.125


def test_what_is_known_better_takes_the_place_of_what_was_seen(past: Any) -> None:
    registration = past.registration(**OPEN)
    one, two = (past.desk.plan(registration, daily_units=1000, presence=p) for p in (1.0, 0.5))
    assert two["maximum_days"] == pytest.approx(2 * one["maximum_days"], rel=0.05)
    assert one["maximum"] == two["maximum"]


def test_more_treatments_need_more(past: Any) -> None:
    text = past.home.config.read_text().replace("policy:", "  third: {kind: single, member: b}\n    policy:")
    past.project.write(text)
    past.project.apply()
    one = past.desk.plan(past.registration(**OPEN))
    two = past.desk.plan(past.registration(**OPEN, treatments=["best", "third"]))
    assert two["maximum"] > 1.4 * one["maximum"]


def test_without_traffic_there_is_no_plan(lab: Any) -> None:
    with pytest.raises(Conflict, match="at least 30"):
        lab.desk.plan(lab.registration(**OPEN))
    with pytest.raises(Conflict, match="at least 30"):
        lab.desk.self_test(lab.registration(**OPEN), runs=10, looks=5, seed=0)


def test_the_self_test_finds_the_default_right_and_says_the_same_twice(past: Any) -> None:
    found, again = (past.desk.self_test(past.registration(**OPEN), runs=60, looks=10, seed=1) for _ in range(2))
    assert found == again
    assert found["ok"]
    assert found["low"] <= 0.05
    assert sum(found["assignment"]["counts"].values()) == 600


def test_the_self_test_finds_a_method_that_looks_too_often(past: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A z-test at every look, as if it were the only one."""

    def naive(metric: Any, control: Any, treatment: Any, *, looks_at: list[int], **_: Any) -> list[Any]:
        verdicts = []
        for n in looks_at:
            a, b = (sample.values[: n // 2] for sample in (control, treatment))
            spread = np.sqrt(a.var() / max(1, len(a)) + b.var() / max(1, len(b)))
            z = abs(a.mean() - b.mean()) / spread if spread > 0 else 0.0
            said = "better" if z > 1.96 else "none_yet"
            claims = Comparison("m", 0, 0, 0, None, None, None, 0, 0, None, None, said, 0, 0, 0, 0, 0, "", ())  # type: ignore[arg-type]
            verdicts.append(claims)
        return verdicts

    monkeypatch.setattr(planning, "path", naive)
    found = past.desk.self_test(past.registration(**OPEN), runs=200, looks=20, seed=1)
    assert not found["ok"]
    assert found["false_positive_rate"] > 0.12
