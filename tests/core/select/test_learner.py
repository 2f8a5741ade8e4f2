"""What all learners do with feedback that is odd, and the settings they share."""

import math

import numpy as np
import pytest

from quorate.core.select.evidence import gather, weigh
from quorate.core.select.exp3 import Exp3
from quorate.core.select.learner import Learner
from quorate.core.select.lin_thompson import LinThompson, LinThompsonParams
from quorate.core.select.lin_ucb import LinUcb, LinUcbParams
from quorate.core.select.thompson import Thompson, ThompsonParams
from quorate.core.select.ucb import Ucb
from quorate.errors import ConfigError

FEATURES = ("context.x",)
LEARNERS = [
    Thompson(["a", "b"]),
    Thompson(["a", "b"], ThompsonParams(half_life_s=60.0)),
    Ucb(["a", "b"]),
    Exp3(["a", "b"]),
    LinUcb(["a", "b"], LinUcbParams(features=FEATURES)),
    LinThompson(["a", "b"], LinThompsonParams(features=FEATURES)),
]


@pytest.fixture(params=LEARNERS, ids=lambda learner: type(learner).__name__)
def learner(request) -> Learner:
    return request.param


def test_unknown_rewards_change_nothing(learner: Learner, told) -> None:
    state = learner.learn(None, [told([1, 0])])
    after = learner.learn(state, [told([None, None]), told([math.inf, -math.inf])])
    for name in state.arrays.keys() - {"strange"}:
        assert np.array_equal(after.arrays[name], state.arrays[name], equal_nan=True), name
    assert after.arrays["strange"] == 2.0  # the infinite ones


def test_rewards_outside_the_range_are_cut_and_counted(learner: Learner, told) -> None:
    one = learner.learn(None, [told([7.0, None]), told([-0.5, None])])
    other = learner.learn(None, [told([1.0, None]), told([0.0, None])])
    assert one.arrays["strange"] == 2.0
    assert np.array_equal(learner.distribution(one, {}, {}), learner.distribution(other, {}, {}))


def test_what_is_told_twice_counts_twice_and_contradictions_average(learner: Learner, told) -> None:
    """Whether something was told before is known where outcomes are kept; a policy takes each row as it is."""
    assert learner.learn(None, [told([1, 0])] * 2).arrays["rows"] == 2.0
    state = learner.learn(None, [told([1, 1]), told([0, 1]), told([1, 0]), told([0, 0])])
    p = learner.distribution(state, {}, {})
    assert p == pytest.approx([0.5, 0.5], abs=0.2 if isinstance(learner, LinThompson) else 1e-9)


@pytest.mark.parametrize("at", [-1e9, math.nan, 0.0])
def test_a_clock_that_goes_backward_harms_nothing(learner: Learner, told, at: float) -> None:
    state = learner.learn(None, [told([1, 0], at=1e6), told([1, 0], at=at)])
    assert state.arrays["clock"] == 1e6
    p = learner.distribution(state, {}, {})
    assert np.isfinite(p).all()
    assert p.sum() == pytest.approx(1)


def test_feedback_about_other_strategies_is_refused(learner: Learner, told) -> None:
    with pytest.raises(ValueError, match="of 2 strategies; got"):
        learner.learn(None, [told([1, 0, 1])])


def test_an_empty_lot_changes_nothing(learner: Learner, told) -> None:
    state = learner.learn(None, [told([1, 0])])
    assert np.array_equal(learner.learn(state, []).arrays["rows"], state.arrays["rows"])


def test_a_late_lot_of_many_rows_is_the_same_as_row_by_row(learner: Learner, told) -> None:
    rng = np.random.default_rng(0)
    rows = [
        told(
            [r if known != 1 else None, 1 - r if known else None], int(known == 1), at=float(t), context={"x": float(x)}
        )
        for r, known, t, x in zip(
            rng.random(60), rng.integers(0, 3, 60), rng.integers(0, 99, 60), rng.normal(size=60), strict=True
        )
    ]
    at_once, one_by_one = learner.learn(None, rows), learner.initial()
    for row in rows:
        one_by_one = learner.learn(one_by_one, [row])
    for x in (-1.0, 0.0, 3.0):
        p, q = (learner.distribution(state, {"x": x}, {}) for state in (at_once, one_by_one))
        assert p == pytest.approx(q, abs=1e-9)


def test_floors_hold_whatever_was_learned(told) -> None:
    policy = Thompson(["a", "b", "c"], ThompsonParams(floor=0.1))
    p = policy.distribution(policy.learn(None, [told([1, 0, 0])] * 500), {}, {})
    assert p == pytest.approx([0.8, 0.1, 0.1], abs=1e-9)


def test_weights_by_hand() -> None:
    old, new, clock = weigh(np.array([10.0, 30.0, math.nan]), 20.0, 1.0, 10.0)
    assert (old, new.tolist(), clock) == (0.5, [0.25, 1.0, 1.0], 30.0)
    assert weigh(np.array([math.nan]), math.nan, 1.0, 10.0).new.tolist() == [1.0]


def test_evidence_keeps_rows_that_say_something(told) -> None:
    evidence = gather([told([None, None]), told([0.5, None], 0, [0.2, 0.8]), told([None, 1], 0)], 2)
    assert evidence.own.tolist()[0] == 0.5
    assert math.isnan(evidence.own[1])
    assert evidence.drawn.tolist() == [0.2, 0.5]


@pytest.mark.parametrize(
    ("params", "path", "sentence"),
    [
        ({"floor": 0.6}, "floor", "between 0 and 1/2"),
        ({"floor": -0.1}, "floor", "between 0 and 1/2"),
        ({"baseline": "c", "floor": 0.1}, "baseline", "no strategy 'c'; expected one of a, b"),
        ({"baseline": "a"}, "floor", "the others need a floor above 0"),
        ({"tolerance": -1.0}, "tolerance", "at least 0"),
        ({"discount": 0.0}, "discount", "above 0 and at most 1"),
        ({"discount": 1.5}, "discount", "above 0 and at most 1"),
        ({"half_life_s": 0.0}, "half_life_s", "above 0"),
        ({"half_life_s": 5.0, "discount": 0.9}, "half_life_s", "not both"),
    ],
)
def test_refuses_settings_that_do_not_fit(params, path: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        Thompson(["a", "b"], ThompsonParams(**params)).check()
    assert caught.value.path == path
