from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quorate.core.combine.cascade import Cascade
from quorate.core.combine.mean import Mean
from quorate.core.plan.cascade import CascadePlan
from quorate.core.types import OutputSpec, Status
from quorate.errors import ConfigError
from tests.training.cascades import CLASSES, MEMBERS, fitted, pool

OUTPUT = OutputSpec("scores", classes=CLASSES)
OK, FAILED, SKIPPED = (int(s) for s in Status)


def test_its_plan_is_the_fitted_router() -> None:
    assert isinstance(Cascade().plan(MEMBERS, fitted()), CascadePlan)
    with pytest.raises(ConfigError, match="needs a fitted state"):
        Cascade().plan(MEMBERS, None)


def test_the_more_have_answered_the_better_and_whoever_has_the_answer_is_calibrated() -> None:
    """For every set of members: the confidence is the accuracy, within what 4,000 rows can tell."""
    outputs, y = pool(4000, 8)
    right = {}
    for code in range(1, 8):
        status = np.array([OK if code >> j & 1 else (SKIPPED, FAILED)[j % 2] for j in range(3)], np.int8)
        answer = Cascade().combine(outputs, np.tile(status, (4000, 1)), fitted(n=3000))
        hits = answer.argmax(axis=1) == y
        right[code] = hits.mean()
        assert answer.max(axis=1).mean() == pytest.approx(right[code], abs=0.035), code
        level = np.digitize(answer.max(axis=1), [0.5, 0.7, 0.9])
        for bin_ in range(4):
            some = level == bin_
            if some.sum() > 300:
                assert answer[some].max(axis=1).mean() == pytest.approx(hits[some].mean(), abs=0.07), (code, bin_)
    assert right[7] >= max(right[1], right[2], right[4]) - 0.005
    assert right[3] > right[1]


def test_a_set_that_was_not_fitted_is_answered_by_the_largest_in_it_else_by_the_mean() -> None:
    outputs, _ = pool(5, 1)
    state = fitted()
    kept = np.flatnonzero(~(state.arrays["subsets"] == [True, False, True]).all(axis=1))
    names = ("subsets", "weights", "biases", "corrections", "routed")
    fewer = replace(state, arrays={**state.arrays, **{name: state.arrays[name][kept] for name in names}})
    status = np.tile(np.array([[OK, FAILED, OK]], np.int8), (5, 1))
    alone = [
        Cascade().combine(outputs, np.tile(np.array([some], np.int8), (5, 1)), state)
        for some in ([OK, FAILED, FAILED], [FAILED, FAILED, OK])
    ]
    found = Cascade().combine(outputs, status, fewer)
    assert any(np.array_equal(found, one) for one in alone)
    none = replace(state, arrays={**state.arrays, **{name: state.arrays[name][:1] for name in names}})
    assert np.allclose(Cascade().combine(outputs, status, none), Mean().combine(outputs, status))


def test_it_accepts_its_own_state_and_those_of_before_stages_had_a_cost() -> None:
    Cascade().check(MEMBERS, OUTPUT, fitted())
    before = {name: value for name, value in fitted().meta.items() if name != "stage"}
    Cascade().check(MEMBERS, OUTPUT, replace(fitted(), meta=before))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: None, "needs a fitted state"),
        (lambda s: replace(s, kind="stack"), "reads states of kind 'cascade'"),
        (lambda s: replace(s, meta={**s.meta, "classes": ["x"]}), "fitted for the classes"),
        (lambda s: replace(s, meta={**s.meta, "stages": [["small"]]}), "'stages'"),
        (lambda s: replace(s, meta={**s.meta, "costs": {}}), "'costs'"),
        (lambda s: replace(s, meta={**s.meta, "unit": "euros"}), "'costs'"),
        (lambda s: replace(s, meta={**s.meta, "stage": -1.0}), "'stage'"),
        (lambda s: replace(s, meta={**s.meta, "stage": "1 ms"}), "'stage'"),
        (lambda s: changed(s, "subsets", s.arrays["subsets"][::-1]), "array 'subsets'"),
        (lambda s: changed(s, "routed", ~s.arrays["routed"]), "array 'routed'"),
        (lambda s: changed(s, "knots", s.arrays["knots"][:, ::-1]), "array 'knots'"),
        (lambda s: changed(s, "weights", s.arrays["weights"] * np.nan), "array 'weights'"),
        (lambda s: changed(s, "corrections", s.arrays["corrections"][:, 1:]), "array 'corrections'"),
        (lambda s: changed(s, "gains", s.arrays["gains"][:, 1:]), "array 'gains'"),
        (lambda s: changed(s, "start", s.arrays["start"][1:]), "array 'start'"),
        (lambda s: changed(s, "asks", s.arrays["asks"].T), "array 'asks'"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Cascade().check(MEMBERS, OUTPUT, change(fitted()))


def changed(state: Any, name: str, array: Any) -> Any:
    return replace(state, arrays={**state.arrays, name: array})


def test_other_members_are_refused() -> None:
    with pytest.raises(ConfigError, match="fitted on the members"):
        Cascade().check(MEMBERS[::-1], OUTPUT, fitted())
