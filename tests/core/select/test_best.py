import math

import numpy as np
import pytest

from quorate.core.select.best import Best, BestParams
from quorate.errors import ConfigError

QUICK = {"window_rows": 100, "min_evidence": 10, "check_rows": 10, "checks": 3}


def rows(told, n: int, *rewards: float, begin: int = 0):
    """n rows with full feedback; a mean of 0.3 is 3 of 10 rows."""
    return [told([float(i % 10 < 10 * r) for r in rewards], at=float(begin + i)) for i in range(n)]


def test_begins_with_the_baseline_and_keeps_floors() -> None:
    policy = Best(["a", "b", "c"], BestParams(baseline="b", floor=0.05))
    assert policy.distribution(policy.initial(), {}, {}).tolist() == pytest.approx([0.05, 0.9, 0.05])
    assert Best(["a", "b"]).distribution(None, {}, {}).tolist() == [1.0, 0.0]


def test_switches_after_as_many_checks_as_it_should_and_says_why(told) -> None:
    policy = Best(["a", "b"], BestParams(**QUICK))
    state = policy.learn(None, rows(told, 29, 0.3, 0.8))
    assert policy.distribution(state, {}, {}).tolist() == [1.0, 0.0]
    assert state.meta == {"switches": 0, "last": None}
    state = policy.learn(state, rows(told, 30, 0.3, 0.8)[-1:])
    assert policy.distribution(state, {}, {}).tolist() == [0.0, 1.0]
    assert state.meta == {
        "switches": 1,
        "last": {
            "at": 29.0,
            "from": "a",
            "to": "b",
            "why": "better reward by more than 0",
            "value_from": pytest.approx(0.3),
            "value_to": pytest.approx(0.8),
            "evidence_from": 30,
            "evidence_to": 30,
        },
    }


def test_a_lead_that_is_broken_begins_anew(told) -> None:
    policy = Best(["a", "b"], BestParams(**QUICK))
    state = policy.learn(None, rows(told, 20, 0.3, 0.8))  # two checks for b
    state = policy.learn(state, rows(told, 20, 1.0, 0.0))  # a leads again
    assert state.arrays["streak"][0] == 0
    state = policy.learn(state, rows(told, 60, 0.3, 0.8))
    assert state.meta["switches"] == 1


def test_not_for_less_than_the_margin_and_the_cost_of_switching(told) -> None:
    given = rows(told, 200, 0.3, 0.5)
    for params, switches in (
        (BestParams(**QUICK, margin=0.15), 1),
        (BestParams(**QUICK, margin=0.25), 0),
        (BestParams(**QUICK, margin=0.15, switching_cost=1000.0, horizon=10_000), 0),
        (BestParams(**QUICK, margin=0.15, switching_cost=1000.0, horizon=100_000), 1),
    ):
        assert Best(["a", "b"], params).learn(None, given).meta["switches"] == switches


def test_not_without_evidence(told) -> None:
    policy = Best(["a", "b"], BestParams(**(QUICK | {"min_evidence": 50})))
    given = [told([0.0, 1.0 if i < 49 else None], at=float(i)) for i in range(90)]
    assert policy.learn(None, given).meta["switches"] == 0
    assert policy.learn(policy.learn(None, given), [told([0.0, 1.0])] * 30).meta["switches"] == 1


def test_follows_what_changes(told) -> None:
    policy = Best(["a", "b"], BestParams(**QUICK))
    state = policy.learn(None, rows(told, 200, 0.8, 0.3) + rows(told, 200, 0.1, 0.6, begin=200))
    assert (state.meta["switches"], state.meta["last"]["to"]) == (1, "b")
    state = policy.learn(state, rows(told, 200, 0.7, 0.2, begin=400))
    assert (state.meta["switches"], state.meta["last"]["to"]) == (2, "a")


def test_noise_alone_does_not_make_it_flap(told) -> None:
    """Two equal strategies, 20,000 rows, a margin of two standard errors: next to no switches."""
    rng = np.random.default_rng(0)
    policy = Best(["a", "b"], BestParams(margin=0.045))
    given = [told(row.tolist(), at=float(i)) for i, row in enumerate(rng.integers(0, 2, (20_000, 2)))]
    assert policy.learn(None, given).meta["switches"] <= 10
    flapping = Best(["a", "b"], BestParams(**QUICK | {"checks": 1}))
    assert flapping.learn(None, given).meta["switches"] > 100


def test_falls_back_below_the_bound_and_returns_only_well_above_it(told) -> None:
    policy = Best(["a", "b"], BestParams(**QUICK, baseline="a", bound=0.5, margin=0.1))
    state = policy.learn(None, rows(told, 100, 0.4, 0.8))
    assert state.arrays["current"] == 1
    state = policy.learn(state, rows(told, 200, 0.3, 0.4, begin=100))
    assert state.meta["last"]["to"] == "a"
    assert state.meta["last"]["why"] == "reward worse than the bound 0.5"
    state = policy.learn(state, rows(told, 200, 0.3, 0.5, begin=300))  # better by 0.2, but at the bound
    assert state.arrays["current"] == 0
    state = policy.learn(state, rows(told, 200, 0.3, 0.7, begin=500))
    assert state.arrays["current"] == 1


def test_latency_is_learned_from_decisions_not_from_their_rewards(told) -> None:
    policy = Best(["a", "b"], BestParams(**QUICK, metric="latency", floor=0.1, margin=5.0))
    decisions = [told([None, None], i % 2, latency_ms=(40.0, 30.0)[i % 2]) for i in range(60)]
    state = policy.learn(None, decisions + [told([1.0, None], latency_ms=1000.0)] * 60)
    assert (state.meta["last"]["to"], state.arrays["rows"][0]) == ("b", 60)
    assert state.arrays["values"].tolist() == [40.0, 30.0]


def test_error_rate_falls_back_when_it_is_too_high(told) -> None:
    params = BestParams(**QUICK, metric="error_rate", baseline="a", bound=0.2)
    policy = Best(["a", "b"], params)
    state = policy.learn(None, [told([None, None], i % 2, error=i % 4 == 0) for i in range(60)])
    assert state.arrays["current"] == 1  # a fails half of the time, b never
    state = policy.learn(state, [told([None, None], 1, error=i % 2 == 0) for i in range(100)])
    assert (state.meta["last"]["to"], state.meta["last"]["why"]) == ("a", "error_rate worse than the bound 0.2")


def test_odd_feedback(told) -> None:
    policy = Best(["a", "b"], BestParams(**QUICK))
    state = policy.learn(None, [told([math.nan, None]), told([math.inf, -math.inf]), told([None, None], error=True)])
    assert state.arrays["rows"] == 0
    with pytest.raises(ValueError, match="rewards of 2 strategies; got 3"):
        policy.learn(None, [told([1, 0, 1])])
    backward = rows(told, 60, 0.3, 0.8)[::-1]
    assert policy.learn(None, backward).meta["last"]["to"] == "b"


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"baseline": "c"}, "baseline"),
        ({"floor": 0.7}, "floor"),
        ({"window_rows": None}, "window_rows"),
        ({"window_rows": 0}, "window_rows"),
        ({"window_s": -1.0}, "window_s"),
        ({"min_evidence": 0}, "min_evidence"),
        ({"window_rows": 100, "min_evidence": 96}, "min_evidence"),
        ({"checks": 0}, "checks"),
        ({"check_rows": 0}, "check_rows"),
        ({"horizon": 0}, "horizon"),
        ({"margin": -0.1}, "margin"),
        ({"switching_cost": math.inf}, "switching_cost"),
    ],
)
def test_refuses_settings_that_do_not_fit(params, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Best(["a", "b"], BestParams(**params)).check()
    assert caught.value.path == path
