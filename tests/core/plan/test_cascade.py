from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quorate.core.cascade.evidence import seen
from quorate.core.cascade.lone import Lone
from quorate.core.cascade.posterior import posterior
from quorate.core.combine.cascade import Cascade
from quorate.core.plan.cascade import FEW, CascadePlan
from quorate.core.plan.trace import trace
from quorate.core.types import State, Status
from quorate.testing import check_plan
from quorate.training.cascade import Fitting, Promise, fit_cascade
from tests.training.cascades import CLASSES, COSTS, MEMBERS, fitted, pool

OK, FAILED, SKIPPED = (int(s) for s in Status)


def handmade(gain: float, unit: str = "cost") -> State:
    """Two members; having heard the first, asking the second gains ``gain`` less 0.5 for all but sure rows."""
    from quorate.core.cascade.router import width

    gains = np.zeros((3, width(2, 2, 2) + 1, 3))
    gains[1, 0, 0], gains[1, -1, 0] = -1.0, gain + 0.5  # the first column is how probable the likeliest class is
    sets = np.array([[1, 1], [1, 0], [0, 1]], bool)
    meta = {"members": ["one", "two"], "classes": ["a", "b"], "unit": unit, "costs": {"one": 1.0, "two": 40.0}}
    arrays = {
        "subsets": sets,
        "routed": np.ones(3, bool),
        "knots": np.tile([0.0, 1.0], (2, 1)),
        "coarse": np.tile([0.0, 1.0], (2, 1)),
        "fine": np.tile([0.0, 1.0], (2, 1)),
        "weights": np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]]),
        "biases": np.zeros((3, 2)),
        "corrections": np.zeros((3, 0, 2)),
        "asks": np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0]], bool),
        "gains": gains,
        "start": np.array([0.1, 0.7, 0.5]),
    }
    return State("cascade", 1, meta, arrays)


def said(*first: float) -> tuple[Any, Any]:
    """Rows that the first member has answered with these probabilities of the first class."""
    outputs = np.full((len(first), 2, 2), np.nan, np.float32)
    outputs[:, 0, 0] = first
    outputs[:, 0, 1] = 1 - np.array(first)
    return outputs, np.tile(np.array([[OK, SKIPPED]], np.int8), (len(first), 1))


def test_each_row_goes_its_own_way() -> None:
    plan = CascadePlan(handmade(0.2))
    nothing = np.full((3, 2, 2), np.nan, np.float32), np.full((3, 2), SKIPPED, np.int8)
    assert plan.next(*nothing, 1e4).tolist() == [[True, False]] * 3
    assert plan.next(*said(0.6, 0.95, 0.2), 1e4).tolist() == [[False, True], [False, False], [False, False]]
    assert not CascadePlan(handmade(-0.2)).next(*said(0.6, 0.5), 1e4).any()


def test_who_failed_is_not_asked_again_and_another_starts() -> None:
    plan, outputs = CascadePlan(handmade(0.2)), np.full((1, 2, 2), np.nan, np.float32)
    assert plan.next(outputs, np.array([[FAILED, SKIPPED]], np.int8), 1e4).tolist() == [[False, True]]
    assert plan.next(outputs, np.array([[FAILED, FAILED]], np.int8), 1e4).tolist() == [[False, False]]
    outputs[0, 0] = [0.6, 0.4]
    assert not plan.next(outputs, np.array([[OK, FAILED]], np.int8), 1e4).any()


def test_what_takes_longer_than_there_is_time_is_not_asked() -> None:
    timed, priced = CascadePlan(handmade(0.2, "ms")), CascadePlan(handmade(0.2))
    assert timed.next(*said(0.6), 41.0).tolist() == [[False, True]]
    assert not timed.next(*said(0.6), 39.0).any()
    assert priced.next(*said(0.6), 39.0).tolist() == [[False, True]], "money takes no time"
    nothing = np.full((1, 2, 2), np.nan, np.float32), np.full((1, 2), SKIPPED, np.int8)
    assert timed.next(*nothing, 0.01).any(), "somebody has to be asked"


@pytest.mark.parametrize("stages", [None, (("small", "large"), ("middle",))])
def test_it_keeps_the_contract_of_plans(stages: Any) -> None:
    def made(m: int) -> CascadePlan:
        outputs, y = pool(300, m, [1.3, 0.9, 0.5, 1.0][:m])
        names = [f"m{j}" for j in range(m)]
        groups = None if stages is None or m != 3 else (("m0", "m2"), ("m1",))
        costs = {name: float(1 + j) for j, name in enumerate(names)}
        within = {"cost": sum(costs.values()) / 2 + 1}
        return CascadePlan(fit_cascade(outputs, y, names, CLASSES, costs=costs, within=within, stages=groups))

    check_plan(CascadePlan, make=made, most=3)


def test_it_stops_where_it_is_sure_and_asks_where_the_members_disagree() -> None:
    outputs, y = pool(2000, 9)
    ok = np.zeros(outputs.shape[:2], np.int8)
    plan = CascadePlan(fitted())
    asked = trace(plan, outputs, ok).asked
    first = asked.all(axis=0)
    more = asked.sum(axis=1) > first.sum()
    heard = Cascade().combine(outputs, np.where(first, OK, SKIPPED) + 0 * ok, fitted())
    assert 0.05 < more.mean() < 0.95
    assert heard[~more].max(axis=1).mean() > heard[more].max(axis=1).mean() + 0.1
    wrong = heard.argmax(axis=1) != y
    assert wrong[more].mean() > 2 * wrong[~more].mean()


def test_it_is_the_router_row_by_row_however_rows_are_batched() -> None:
    outputs, _ = pool(60, 3)
    ok = np.zeros(outputs.shape[:2], np.int8)
    plan = CascadePlan(fitted())
    together = trace(plan, outputs, ok).asked
    alone = [trace(plan, outputs[i : i + 1], ok[:1]).asked[0] for i in range(60)]
    assert np.array_equal(together, alone)


def statuses(seed: int) -> Any:
    """600 rows that have asked, and lost, whomever."""
    return np.random.default_rng(seed).choice([OK, FAILED, SKIPPED], (600, 3), p=[0.5, 0.1, 0.4]).astype(np.int8)


@pytest.mark.parametrize("budget_ms", [1e9, 6.0, 0.0])
@pytest.mark.parametrize("unit", ["cost", "ms"])
def test_few_rows_and_many_ask_the_same_whatever_has_failed_and_is_too_late(unit: str, budget_ms: float) -> None:
    outputs, _ = pool(600, 6)
    plan = CascadePlan(replace(fitted(), meta={**fitted().meta, "unit": unit}))
    status = statuses(7)
    together = plan.many(outputs, status, budget_ms)
    assert len(np.unique(together, axis=0)) > 2
    assert np.array_equal(plan.next(outputs, status, budget_ms), together)
    for start in range(0, 600, FEW):
        some = slice(start, start + FEW)
        assert np.array_equal(plan.next(outputs[some], status[some], budget_ms), together[some])


def test_a_way_answers_what_the_combiner_does_bit_for_bit_and_works_it_out_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outputs, _ = pool(200, 4)
    plan, asked, works = CascadePlan(fitted()), 0, []
    said = Lone.said
    monkeypatch.setattr(Lone, "said", lambda self, at, row: works.append(at) or said(self, at, row))
    for row in outputs[:, None]:
        way, status = plan.begin(), np.full((1, 3), SKIPPED, np.int8)
        while (wanted := way.next(row, status, 1e9)).any():
            status = np.where(wanted, np.int8(OK), status)
            asked += 1
        found = way.answers(row, status)
        assert found is not None
        expected = Cascade().combine(row, status, fitted())
        assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))
    assert len(works) <= asked, "once a stage, for the router and the answer"


def test_a_way_leaves_to_the_combiner_what_it_cannot_answer() -> None:
    outputs, _ = pool(FEW + 1, 4)
    way = CascadePlan(fitted()).begin()
    nobody = np.full((2, 3), FAILED, np.int8)
    assert way.answers(outputs[:2], nobody) is None
    assert way.answers(outputs, np.full((FEW + 1, 3), OK, np.int8)) is None, "many are combined together"
    status = statuses(1)[:2]
    status[:, 1] = OK
    assert np.array_equal(way.answers(outputs[:2], status), Cascade().combine(outputs[:2], status, fitted()))


def test_what_a_stage_takes_besides_its_members_counts_as_time() -> None:
    state = handmade(0.2, "ms")
    state = replace(state, meta={**state.meta, "stages": [["one"], ["two"]], "stage": 3.0})
    assert CascadePlan(state).next(*said(0.6), 43.5).tolist() == [[False, True]]
    assert not CascadePlan(state).next(*said(0.6), 42.5).any()


def test_the_gain_it_expects_is_the_gain_there_is() -> None:
    """At no price: among the rows that are to gain most and least by everybody, those do gain what was said."""
    outputs, y = pool(20_000, 5)
    known, known_y = pool(2000, 0)
    fitting = Fitting(known, known_y, MEMBERS, CLASSES, COSTS)
    state = fitting.state(Promise("cost", 15.0))
    sets = state.arrays["subsets"].tolist()
    first, whole = sets.index([True, False, False]), sets.index([True, True, True])
    router, _ = fitting.route(np.zeros(1))
    free = replace(state, arrays={**state.arrays, "gains": router.gains[0], "start": router.start[0]})
    only = np.broadcast_to(np.array([True, False, False]), outputs.shape[:2])
    said = CascadePlan(free)._expected(first, outputs, only)[:, whole]
    given = seen(outputs, np.ones(outputs.shape[:2], bool))
    right = [posterior(given.of(np.array(sets[s])), s, state.arrays).argmax(axis=1) == y for s in (first, whole)]
    gained = right[1].astype(float) - right[0]
    order = np.argsort(said)
    for some in np.array_split(order, 5):
        assert said[some].mean() == pytest.approx(gained[some].mean(), abs=0.04)
    assert gained[order[-4000:]].mean() > gained[order[:4000]].mean() + 0.1


def test_costs_and_members_are_those_of_the_state() -> None:
    assert fitted().meta["costs"] == COSTS
    assert tuple(fitted().meta["members"]) == MEMBERS
