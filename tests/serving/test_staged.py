"""Plans of several stages: what a row does not ask is not run, and what cannot be had is gone round."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from quorate import plugins
from quorate.codecs.snapshot import CacheRoute, PolicyRoute, StrategyRoute
from quorate.core.plan.base import Way
from quorate.core.types import Decision, OutputSpec, Signature, Status
from quorate.errors import Forbidden, InvalidInput, NoQuorum
from quorate.serving.breaker import Circuit
from quorate.serving.cost import Cost
from quorate.serving.prompt import PromptDesk
from tests.ladder import Ladder, Stepwise, ladder

TWO = StrategyRoute("steps", "ladder", ("a", "b"), 1, plan="stepwise", state={"s": "s"}, stages=(("a",), ("b",)))
THREE = StrategyRoute(
    "steps", "ladder", ("a", "b", "c"), 1, plan="stepwise", state={"s": "s"}, stages=(("a",), ("b",), ("c",))
)
MEAN = StrategyRoute("average", "mean", ("a", "b"), 1)
SURE, UNSURE = 0.9, 0.6


@pytest.fixture(autouse=True)
def _ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda f, n: Ladder if (f, n) == ("combiners", "ladder") else load(f, n))


def reads(column: int, seen: list[list[float]]) -> Any:
    """A member that is as sure of "yes" as a column of the input says; what it was given is in ``seen``."""

    def answer(tensors: Any) -> Any:
        yes = tensors["input"][:, column]
        seen.append(yes.tolist())
        return np.stack([1 - yes, yes], axis=1).astype(np.float32)

    return answer


class Bench:
    """Members ``a`` and ``b`` that read what they answer from the input, and a strategy of two steps over them."""

    def __init__(self, house: Any, *, b: Any = None, **settings: Any) -> None:
        self.house = house
        self.a: list[list[float]] = []
        self.b: list[list[float]] = []
        made = b or house.inline
        self.pool = house.pool(a=house.inline(reads(0, self.a)), b=made(reads(1, self.b)))
        settings.setdefault("strategies", [TWO])
        self.endpoint = house.endpoint(
            self.pool, settings.pop("strategies"), states={"steps": ladder([["a"], ["b"]])}, **settings
        )

    def call(self, rows: list[tuple[float, float]], **more: Any) -> Any:
        call = self.house.call(len(rows), **more)
        call.raw = {"input": np.array(rows, np.float32)}
        return call

    def ask(self, rows: list[tuple[float, float]], **more: Any) -> Decision:
        found: Decision = self.house.run(self.house.plane.predict(self.endpoint, self.call(rows, **more)))
        return found


def yes(decision: Decision) -> Any:
    assert decision.answer is not None
    return pytest.approx(decision.answer[:, 1].tolist(), abs=1e-6)


def test_of_a_request_of_32_rows_only_those_that_need_it_ask_the_second_stage(house: Any) -> None:
    bench = Bench(house)
    rows = [(UNSURE if i % 6 == 0 else SURE, 0.5 + i / 100) for i in range(32)]
    decision = bench.ask(rows)
    asked = [i for i in range(32) if i % 6 == 0]
    assert [len(run) for run in bench.a] == [32]
    assert bench.b == [pytest.approx([rows[i][1] for i in asked])]
    assert decision.status[:, 0].tolist() == [0] * 32
    assert decision.status[:, 1].tolist() == [0 if i in asked else 2 for i in range(32)]
    assert np.isnan(decision.outputs[[i for i in range(32) if i not in asked], 1]).all()
    assert [(UNSURE + rows[i][1]) / 2 if i in asked else SURE for i in range(32)] == yes(decision)
    assert not decision.degraded
    assert [run.status for run in decision.members] == [Status.OK, Status.OK]


def test_a_stage_that_no_row_needs_does_not_run(house: Any) -> None:
    bench = Bench(house)
    decision = bench.ask([(SURE, 0.1)] * 3)
    assert bench.b == []
    assert [run.status for run in decision.members] == [Status.OK, Status.SKIPPED]
    assert (decision.members[1].latency_ms, decision.degraded, decision.served) == (None, False, "steps")


def test_what_its_way_has_worked_out_is_the_answer_and_else_the_members_are_combined(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[list[int]]] = []

    class Knowing(Way):
        def answers(self, outputs: Any, status: Any) -> Any:
            told.append(status.tolist())
            return np.array([[0.25, 0.75]], np.float32) if len(status) == 1 else None

    monkeypatch.setattr(Stepwise, "begin", lambda plan: Knowing(plan))
    bench = Bench(house)
    assert yes(bench.ask([(UNSURE, 0.4)])) == [0.75]
    assert told == [[[0, 0]]]
    assert yes(bench.ask([(SURE, 0.4), (SURE, 0.5)])) == [SURE, SURE]
    assert told[1:] == [[[0, 2], [0, 2]]], "as the plan asked"


def test_rows_of_several_requests_share_a_run_of_the_second_stage(house: Any) -> None:
    bench = Bench(house)
    calls = [bench.call([(SURE, 0.1), (UNSURE, 0.2 + i / 10)]) for i in range(3)]

    async def main() -> list[Decision]:
        return await asyncio.gather(*(house.plane.predict(bench.endpoint, call) for call in calls))

    decisions = house.run(main())
    assert bench.b == [pytest.approx([0.2, 0.3, 0.4])]
    for i, decision in enumerate(decisions):
        assert [SURE, (UNSURE + 0.2 + i / 10) / 2] == yes(decision)
    assert house.batches == [3, 3]


def test_a_first_stage_that_fails_is_gone_round(house: Any) -> None:
    bench = Bench(house)
    bench.pool.members[0].unit.answer = lambda tensors: 1 / 0
    decision = bench.ask([(SURE, 0.3), (UNSURE, 0.4)])
    assert yes(decision) == [0.3, 0.4]
    assert decision.status.tolist() == [[1, 0], [1, 0]]
    assert (decision.degraded, decision.members[0].reason) == (True, "member_crashed")


def test_where_a_later_stage_fails_what_is_there_answers(house: Any) -> None:
    bench = Bench(house)
    bench.pool.members[1].unit.answer = lambda tensors: 1 / 0
    decision = bench.ask([(SURE, 0.3), (UNSURE, 0.4)])
    assert yes(decision) == [SURE, UNSURE]
    assert decision.status.tolist() == [[0, 2], [0, 1]]
    assert decision.degraded
    assert not bench.ask([(SURE, 0.3)]).degraded, "a row that does not ask it is not concerned"


def test_a_member_whose_circuit_is_open_is_not_run(house: Any) -> None:
    bench = Bench(house)
    bench.pool.members[1].breaker.trip()
    decision = bench.ask([(UNSURE, 0.4), (SURE, 0.4)])
    assert bench.b == []
    assert decision.status.tolist() == [[0, 1], [0, 2]]
    assert (decision.degraded, decision.members[1].reason) == (True, "member_circuit_open")


def test_a_stage_that_cannot_end_in_time_is_not_begun(house: Any) -> None:
    bench = Bench(house, b=lambda answer: house.hosted(answer, 0.15))
    bench.pool.members[1].unit.measured(Cost(100.0, 0.0))  # half as long again where few runs were seen
    decision = bench.ask([(UNSURE, 0.4)], max_ms=140.0)
    assert (bench.b, decision.status.tolist(), decision.degraded) == ([], [[0, 2]], False)
    assert yes(decision) == [UNSURE]
    assert decision.latency_ms == pytest.approx(0.0, abs=0.01)
    decision = bench.ask([(UNSURE, 0.4)], max_ms=160.0)
    assert (len(bench.b), decision.status.tolist()) == (1, [[0, 0]])


def test_a_row_without_an_answer_is_never_held_back(house: Any) -> None:
    bench = Bench(house, b=lambda answer: house.hosted(answer, 0.01))
    bench.pool.members[0].unit.answer = lambda tensors: 1 / 0
    bench.pool.members[1].unit.measured(Cost(1e6, 0.0))
    assert yes(bench.ask([(UNSURE, 0.4)])) == [0.4]


def test_a_stage_in_front_of_a_quick_one_may_be_too_late_and_the_quick_one_not(house: Any) -> None:
    seen: list[list[float]] = []
    pool = house.pool(
        a=house.inline(reads(0, [])), b=house.hosted(reads(1, seen), 0.1), c=house.inline(lambda t: [[0.0, 1.0]])
    )
    pool.members[1].unit.measured(Cost(1e6, 0.0))
    endpoint = house.endpoint(pool, [THREE], states={"steps": ladder([["a"], ["b"], ["c"]])})
    call = house.call(1)
    call.raw = {"input": np.array([[UNSURE, 0.4]], np.float32)}
    decision = house.run(house.plane.predict(endpoint, call))
    assert (seen, decision.status.tolist(), decision.degraded) == ([], [[0, 2, 0]], False)
    assert yes(decision) == [(UNSURE + 1) / 2]


def test_a_stage_that_hangs_costs_the_deadline_and_degrades(house: Any) -> None:
    bench = Bench(house, b=lambda answer: house.hosted(answer, house.HANG))
    decision = bench.ask([(UNSURE, 0.4), (SURE, 0.4)])
    assert decision.latency_ms == pytest.approx(200.0, abs=0.01)
    assert yes(decision) == [UNSURE, SURE]
    assert (decision.degraded, decision.status.tolist()) == (True, [[0, 1], [0, 2]])


def test_where_only_whole_answers_count_the_fallback_answers(house: Any) -> None:
    bench = Bench(house, strategies=[TWO, MEAN], fallback=("average",), on_member_failure="fallback")
    bench.pool.members[1].unit.answer = lambda tensors: 1 / 0
    decision = bench.ask([(UNSURE, 0.4), (SURE, 0.4)])
    assert (decision.assigned, decision.served, decision.degraded) == ("steps", "average", True)
    assert yes(decision) == [UNSURE, SURE]


def test_a_fallback_runs_members_for_the_rows_that_had_not_asked_them(house: Any) -> None:
    b: list[list[float]] = []
    pool = house.pool(a=house.inline(reads(0, [])), b=house.inline(reads(1, b)), c=house.inline(lambda tensors: 1 / 0))
    endpoint = house.endpoint(
        pool,
        [THREE, MEAN],
        states={"steps": ladder([["a"], ["b"], ["c"]])},
        fallback=("average",),
        on_member_failure="fallback",
    )
    call = house.call(3)
    call.raw = {"input": np.array([[SURE, 0.1], [UNSURE, 0.2], [SURE, 0.3]], np.float32)}
    decision = house.run(house.plane.predict(endpoint, call))
    assert b == [pytest.approx([0.2]), pytest.approx([0.1, 0.3])]
    assert (decision.served, decision.degraded) == ("average", True)
    assert yes(decision) == [0.5, 0.4, 0.6]
    assert decision.status.tolist() == [[0, 0, 2], [0, 0, 1], [0, 0, 2]]


def test_nobody_answers_where_all_fail(house: Any) -> None:
    bench = Bench(house)
    for member in bench.pool.members:
        member.unit.answer = lambda tensors: 1 / 0
    with pytest.raises(NoQuorum, match=r"missing: a \(member_crashed\), b \(member_crashed\)"):
        bench.ask([(SURE, 0.3)])


def test_a_quorum_counts_those_that_were_asked(house: Any) -> None:
    route = StrategyRoute("steps", "ladder", ("a", "b"), 2, state={"s": "s"})
    bench = Bench(house, strategies=[route])
    assert yes(bench.ask([(SURE, 0.3)])) == [SURE]
    bench.pool.members[1].unit.answer = lambda tensors: 1 / 0
    with pytest.raises(NoQuorum):
        bench.ask([(UNSURE, 0.3)])


def test_members_of_a_stage_are_one_run_of_their_own_graph(house: Any) -> None:
    seen: list[list[float]] = []
    pool = house.pool(
        stages=[("b", "c")],
        a=house.inline(reads(0, [])),
        b=house.inline(reads(1, seen)),
        c=house.inline(reads(1, [])),
    )
    endpoint = house.endpoint(pool, [THREE], states={"steps": ladder([["a"], ["b", "c"]])})
    call = house.call(2)
    call.raw = {"input": np.array([[UNSURE, 0.4], [SURE, 0.4]], np.float32)}
    decision = house.run(house.plane.predict(endpoint, call))
    assert decision.status.tolist() == [[0, 0, 0], [0, 2, 2]]
    assert [unit.runs for unit in (m.unit for m in pool.members)] == [1, 0, 0]
    assert seen == [pytest.approx([0.4])]
    assert house.batches == [1, 1]


def test_a_graph_of_a_stage_that_fails_leaves_its_members(house: Any) -> None:
    pool = house.pool(
        stages=[("b", "c")], a=house.inline(reads(0, [])), b=house.inline(reads(1, [])), c=house.inline(reads(1, []))
    )
    (graph,) = pool.stages
    graph._graph.answer = lambda tensors: 1 / 0
    endpoint = house.endpoint(pool, [THREE], states={"steps": ladder([["a"], ["b", "c"]])})
    call = house.call(2)
    call.raw = {"input": np.array([[UNSURE, 0.4], [SURE, 0.4]], np.float32)}
    decision = house.run(house.plane.predict(endpoint, call))
    assert (house.graph_faults, pool.stages[graph].state) == (1, Circuit.CLOSED)
    assert (decision.status.tolist(), decision.degraded) == ([[0, 0, 0], [0, 2, 2]], False)


def test_an_arm_of_a_blind_endpoint_answers_by_its_plan_though_everybody_runs(house: Any) -> None:
    policy = PolicyRoute("split", {"weights": {"steps": 1, "average": 1}}, blind=True)
    bench = Bench(house, strategies=[TWO, MEAN], policy=policy)
    found = {bench.ask([(SURE, 0.3)]).served: None for _ in range(20)}
    assert set(found) == {"steps", "average"}
    for decision in house.journal.decisions:
        assert decision.status.tolist() == [[0, 0]]
        assert ([SURE] if decision.served == "steps" else [0.6]) == yes(decision)


def test_it_is_not_prompt_and_others_of_the_endpoint_are(house: Any) -> None:
    bench = Bench(house)
    desk = PromptDesk(house.plane, lambda *_: [])
    assert not desk.takes(bench.endpoint)
    assert desk.takes(Bench(house, strategies=[TWO, MEAN]).endpoint)


def test_what_the_stages_came_to_is_counted(house: Any) -> None:
    bench = Bench(house)
    bench.ask([(SURE, 0.3), (UNSURE, 0.3), (SURE, 0.3)])
    labels = {"endpoint": "main", "strategy": "steps", "revision": "1"}
    counted = house.counters.counter
    assert counted("quorate_staged_rows_total", **labels).value == 3
    assert [counted("quorate_stages_total", stage=str(i), **labels).value for i in (1, 2)] == [3, 1]


# --- how sure an answer must be ---


def test_it_goes_on_asking_until_it_is_sure_enough(house: Any) -> None:
    bench = Bench(house)
    rows = [(0.85, 0.99), (0.95, 0.2), (0.85, 0.3)]
    assert not bench.ask(rows).abstained
    assert bench.b == []
    decision = bench.ask(rows, min_confidence=0.9)
    assert bench.b == [pytest.approx([0.99, 0.3])]
    assert yes(decision) == [(0.85 + 0.99) / 2, 0.95, 0.575]
    assert (decision.abstained, decision.withheld, decision.degraded) == (True, (2,), False)
    assert [decision.withholds(row) for row in range(3)] == [False, False, True]
    assert house.counters.counter("quorate_abstained_total", endpoint="main", strategy="steps").value == 1


def test_where_all_rows_are_unsure_the_whole_decision_abstains(house: Any) -> None:
    decision = Bench(house).ask([(0.5, 0.5)] * 2, min_confidence=0.9)
    assert (decision.abstained, decision.withheld) == (True, ())
    assert [decision.withholds(row) for row in range(2)] == [True, True]


def test_other_strategies_abstain_and_ask_nobody_else(house: Any) -> None:
    bench = Bench(house, strategies=[MEAN])
    decision = bench.ask([(0.6, 0.7), (0.9, 0.9)], min_confidence=0.8)
    assert (decision.withheld, decision.status.tolist()) == ((0,), [[0, 0], [0, 0]])


def test_a_blind_endpoint_and_one_of_numbers_refuse_it(house: Any) -> None:
    blind = Bench(house, strategies=[MEAN], policy=PolicyRoute("fixed", {"strategy": "average"}, blind=True))
    with pytest.raises(Forbidden) as refused:
        blind.ask([(0.6, 0.7)], min_confidence=0.8)
    assert refused.value.path == "options.min_confidence"
    assert house.journal.records == []
    numbers = house.pool(signature=Signature("array", (), OutputSpec("values", names=("price",))), a=house.inline(0.5))
    endpoint = house.endpoint(numbers, [StrategyRoute("one", "mean", ("a",), 1)])
    with pytest.raises(InvalidInput) as wrong:
        house.predict(endpoint, min_confidence=0.8)
    assert wrong.value.path == "options.min_confidence"


def test_a_kept_answer_is_of_the_same_confidence(house: Any) -> None:
    cache = CacheRoute(entries=10, bytes=10_000, seconds=60.0)
    bench = Bench(house, cache=cache)
    rows = [(0.85, 0.99)]
    assert yes(bench.ask(rows)) == [0.85]
    assert yes(bench.ask(rows, min_confidence=0.9)) == [0.92]
    assert bench.ask(rows, min_confidence=0.9).source == "cache"
    assert yes(bench.ask(rows)) == [0.85]


# --- how long it may take ---


def slow(house: Any, **costs: float) -> Any:
    """A pool of members in processes of their own, each as slow as it was measured."""
    pool = house.pool(**{name: house.hosted(0.6 + i / 10, ms / 1000) for i, (name, ms) in enumerate(costs.items())})
    for member, ms in zip(pool.members, costs.values(), strict=True):
        member.unit.measured(Cost(ms / 1.5, 0.0))  # half as long again where few runs were seen
    return pool


@pytest.mark.parametrize(("max_ms", "ran"), [(None, "abc"), (200.0, "abc"), (60.0, "ab"), (30.0, "a"), (5.0, "a")])
def test_members_that_cannot_answer_in_time_are_not_asked(house: Any, max_ms: float | None, ran: str) -> None:
    pool = slow(house, a=20.0, b=50.0, c=100.0)
    endpoint = house.endpoint(pool, [StrategyRoute("average", "mean", ("a", "b", "c"), 1)])
    try:
        decision = house.predict(endpoint, max_ms=max_ms)
    except NoQuorum:
        assert max_ms == 5.0, "the quickest is tried whatever it was measured at"
        decision = house.journal.decisions[-1]
    else:
        assert not decision.degraded
    assert "".join(run.name for run in decision.members if run.status is not Status.SKIPPED) == ran


def test_the_most_valuable_come_first(house: Any) -> None:
    pool = slow(house, a=20.0, b=50.0, c=100.0)
    route = StrategyRoute("w", "weighted", ("a", "b", "c"), 1, {"weights": [1.0, 5.0, 9.0]})
    decision = house.predict(house.endpoint(pool, [route]), max_ms=60.0)
    assert [run.status for run in decision.members] == [Status.OK, Status.OK, Status.SKIPPED]
    assert yes(decision) == [(0.6 + 5 * 0.7) / 6]


def test_the_quorum_is_kept(house: Any) -> None:
    pool = slow(house, a=20.0, b=50.0, c=100.0)
    route = StrategyRoute("average", "mean", ("a", "b", "c"), 2)
    with pytest.raises(NoQuorum):
        house.predict(house.endpoint(pool, [route]), max_ms=30.0)
    assert [run.status for run in house.journal.decisions[-1].members] == [Status.OK, Status.FAILED, Status.SKIPPED]


def test_a_blind_endpoint_asks_everybody_whatever_time_there_is(house: Any) -> None:
    pool = slow(house, a=20.0, b=50.0)
    policy = PolicyRoute("fixed", {"strategy": "average"}, blind=True)
    decision = house.predict(house.endpoint(pool, [MEAN], policy), max_ms=30.0)
    assert [run.status for run in decision.members] == [Status.OK, Status.FAILED]


def test_what_is_answered_by_a_part_of_the_members_is_not_kept(house: Any) -> None:
    pool = slow(house, a=20.0, b=50.0)
    endpoint = house.endpoint(pool, [MEAN], cache=CacheRoute(entries=10, bytes=10_000, seconds=60.0))
    assert house.predict(endpoint, max_ms=30.0).source == "policy"
    assert house.predict(endpoint).source == "policy"
    assert house.predict(endpoint).source == "cache"


def test_a_batch_makes_its_groups_smaller_instead(house: Any) -> None:
    pool = slow(house, a=20.0, b=50.0)
    pool.members[1].unit.measured(Cost(100.0, 0.0))  # slower than it is
    endpoint = house.endpoint(pool, [MEAN])
    assert house.predict(endpoint, rows=2, max_ms=60.0).status.tolist() == [[0, 2], [0, 2]]
    assert house.predict(endpoint, rows=2, max_ms=60.0, priority="bulk").status.tolist() == [[0, 0], [0, 0]]
