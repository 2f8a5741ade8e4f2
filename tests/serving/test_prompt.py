"""Prompt requests: a turn's are answered together, and whatever is out of the ordinary goes the ordinary way."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quorate.codecs.snapshot import CacheRoute, PolicyRoute, StrategyRoute
from quorate.core.types import Decision
from quorate.errors import Forbidden, Overloaded
from quorate.serving import answers
from quorate.serving.prompt import Asked, PromptDesk

MEAN = StrategyRoute("average", "mean", ("a", "b"), 1)
ONLY_A = StrategyRoute("only-a", "single", ("a",), 1)
FOREVER = 10**9


class Bench:
    """A desk over a fused pool; ``told`` is what became of requests, by number."""

    def __init__(self, house: Any, **members: Any) -> None:
        self.house = house
        self.pool = house.fused(**(members or {"a": 0.9, "b": 0.7}))
        self.desk = PromptDesk(house.plane, answers.encode_all)
        self.told: dict[int, Any] = {}

    def endpoint(self, *strategies: StrategyRoute, **settings: Any) -> Any:
        return self.house.endpoint(self.pool, strategies or (MEAN, ONLY_A), caller_may_choose=True, **settings)

    def ask(self, endpoint: Any, number: int = 0, **call: Any) -> Asked | None:
        return self.desk.ask(endpoint, self.house.call(**call), lambda result: self.told.update({number: result}))

    def turn(self, main: Callable[[], Any] | None = None) -> None:
        """Run ``main`` and the turns of the loop that follow from it."""

        async def turns() -> None:
            if main is not None:
                main()
            for _ in range(6):
                await asyncio.sleep(0)

        self.house.run(turns())


@pytest.fixture
def bench(house: Any) -> Bench:
    return Bench(house)


def test_requests_of_a_turn_share_a_run_and_each_gets_what_it_would_get_alone(bench: Bench) -> None:
    endpoint = bench.endpoint()

    def main() -> None:
        for number in range(5):
            assert bench.ask(endpoint, number, rows=1 + number % 2, strategy="only-a" if number == 3 else None)

    bench.turn(main)
    assert bench.house.batches == [5]
    for number, (decision, body) in bench.told.items():
        alone: Decision = bench.house.predict(endpoint, rows=1 + number % 2, strategy="only-a" if number == 3 else None)
        for field in Decision._fields:
            found, expected = getattr(decision, field), getattr(alone, field)
            if isinstance(expected, np.ndarray):
                assert (found.dtype, found.tolist()) == (expected.dtype, expected.tolist()), field
            elif field != "id":
                assert found == expected, field
        assert body == answers.encode(endpoint, decision)
    recorded = bench.house.journal.decisions[:5]
    assert [one.id for one in recorded] == [bench.told[number][0].id for number in range(5)]
    assert (endpoint.in_flight, bench.pool.requests, bench.house.meters.in_flight.value) == (0, 0, 0)


def test_no_task_is_made(bench: Bench) -> None:
    endpoint = bench.endpoint()
    seen: list[int] = []

    def main() -> None:
        for number in range(3):
            bench.ask(endpoint, number)
        seen.append(len(asyncio.all_tasks()))

    bench.turn(main)
    assert seen == [1]
    assert len(bench.told) == 3


def test_a_spoilt_item_goes_the_ordinary_way_and_its_neighbours_do_not(house: Any) -> None:
    def spoilt(tensors: Any) -> Any:
        answer = house.says(0.9)(tensors)
        answer[tensors["input"][:, 0] == 3] = np.nan
        return answer

    bench = Bench(house, a=spoilt, b=0.7)
    endpoint = bench.endpoint()

    def main() -> None:
        for number in range(4):
            call = house.call()
            call.raw["input"][:] = number
            bench.desk.ask(endpoint, call, lambda result, number=number: bench.told.update({number: result}))

    bench.turn(main)
    assert bench.told[3] is None
    assert all(bench.told[number][0].answer is not None for number in range(3))
    assert len(house.journal.records) == 3


def test_combining_is_timed_once_a_batch(bench: Bench) -> None:
    times: list[float] = []
    endpoint = bench.endpoint()
    endpoint.strategies["average"]._on_combine = times.append
    bench.turn(lambda: [bench.ask(endpoint, number) for number in range(3)])
    assert times == [0.0]  # by the fake clock


def test_where_a_row_is_lost_the_others_are_combined_without_it(house: Any) -> None:
    def lost(tensors: Any) -> Any:
        answer = house.says(0.9)(tensors)
        answer[tensors["input"][:, 0] == 1] = np.nan
        return answer

    bench = Bench(house, a=lost, b=lost)  # of the lost row no member is left, which cannot be combined
    endpoint = bench.endpoint()

    def main() -> None:
        for number in range(3):
            call = house.call()
            call.raw["input"][:] = number
            bench.desk.ask(endpoint, call, lambda result, number=number: bench.told.update({number: result}))

    bench.turn(main)
    assert bench.told[1] is None
    assert [bench.told[number][0].answer.tolist() for number in (0, 2)] == [
        [[pytest.approx(0.1), pytest.approx(0.9)]]
    ] * 2


def test_a_graph_that_fails_leaves_everything_to_the_ordinary_way(house: Any) -> None:
    bench = Bench(house, a=house.raises(RuntimeError("no")), b=0.7)
    endpoint = bench.endpoint()
    bench.turn(lambda: [bench.ask(endpoint, number) for number in range(3)])
    assert list(bench.told.values()) == [None] * 3
    assert house.journal.records == []


def test_what_cannot_be_combined_or_recorded_goes_the_ordinary_way(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = bench.endpoint()

    def fails(*_: Any, **__: Any) -> Any:
        raise ValueError("no")

    monkeypatch.setattr(bench.house.journal, "append_group", fails)
    bench.turn(lambda: [bench.ask(endpoint, number) for number in range(2)])
    assert bench.told == {0: None, 1: None}


@pytest.mark.parametrize(
    ("settings", "call"),
    [
        ({"policy": PolicyRoute("fixed", {"strategy": "average"}, blind=True)}, {}),
        ({"cache": CacheRoute(16, 1 << 16, 60.0)}, {}),
        ({}, {"size": FOREVER}),
        ({}, {"rows": 65}),
    ],
)
def test_what_is_not_plain_is_not_taken(bench: Bench, settings: Any, call: Any) -> None:
    endpoint = bench.endpoint(**settings)
    bench.turn(lambda: bench.told.update({0: bench.desk.takes(endpoint) and bench.ask(endpoint, **call)}))
    assert not bench.told[0]
    assert bench.house.meters.in_flight.value == 0


def test_members_that_do_not_run_together_are_not_taken(house: Any) -> None:
    bench = Bench(house)
    for pool in (
        house.pool(a=house.inline(0.9), b=house.inline(0.7)),
        house.pool(a=house.threaded(0.9)),
        house.pool(a=house.hosted(0.9)),
    ):
        bench.pool = pool
        endpoint = bench.endpoint(StrategyRoute("only-a", "single", ("a",), 1))
        bench.turn(lambda endpoint=endpoint: bench.told.update({0: bench.ask(endpoint)}))
        assert bench.told[0] is None


def test_an_open_circuit_and_an_unloaded_endpoint_are_not_taken(bench: Bench) -> None:
    endpoint = bench.endpoint()
    assert bench.desk.takes(endpoint)
    bench.pool.members[1].breaker.trip()
    assert not bench.desk.takes(endpoint)
    other = Bench(bench.house).endpoint()
    other.unloaded = True
    assert not bench.desk.takes(other)


def test_a_callers_mistake_is_its_error(bench: Bench) -> None:
    endpoint = bench.house.endpoint(bench.pool, (MEAN,))

    def main() -> None:
        with pytest.raises(Forbidden):
            bench.ask(endpoint, strategy="average")

    bench.turn(main)
    assert (bench.told, bench.house.meters.in_flight.value) == ({}, 0)


def test_a_client_that_leaves_before_the_turn_is_not_run(bench: Bench) -> None:
    endpoint = bench.endpoint()

    def main() -> None:
        stays, leaves = bench.ask(endpoint, 0), bench.ask(endpoint, 1)
        assert stays is not None
        assert leaves is not None
        leaves.cancel()
        leaves.cancel()

    bench.turn(main)
    assert bench.house.batches == [1]
    assert bench.told[1] is None
    assert len(bench.house.journal.records) == 1
    assert (endpoint.in_flight, bench.pool.requests, bench.house.meters.in_flight.value) == (0, 0, 0)


def test_a_client_that_leaves_after_the_turn_leaves_a_decision(bench: Bench) -> None:
    endpoint = bench.endpoint()
    asked: list[Asked | None] = []

    async def main() -> None:
        asked.append(bench.ask(endpoint))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asked[0].cancel()
        for _ in range(4):
            await asyncio.sleep(0)

    bench.house.run(main())
    assert len(bench.house.journal.records) == 1
    assert (
        bench.house.counters.counter("quorate_requests_total", endpoint="main", strategy="average", status="2xx").value
        == 1.0
    )
    assert (endpoint.in_flight, bench.house.meters.in_flight.value) == (0, 0)


@pytest.mark.parametrize(("on_full", "kept"), [("shed", 2), ("drop", 2), ("shed", 0), ("drop", 0)])
def test_what_the_journal_does_not_keep_is_shed_or_dropped_and_counted(bench: Bench, on_full: Any, kept: int) -> None:
    endpoint = bench.endpoint(on_full=on_full)

    def append_group(payloads: Any, promise: Any, *, on_full: str) -> None:
        promise.set_result(kept)

    bench.house.journal.append_group = append_group
    bench.turn(lambda: [bench.ask(endpoint, number) for number in range(5)])
    shed = [number for number, told in bench.told.items() if isinstance(told, Overloaded)]
    assert shed == (list(range(kept, 5)) if on_full == "shed" else [])

    def count(name: str, **labels: str) -> float:
        return float(bench.house.counters.counter(name, endpoint="main", **labels).value)

    assert count("quorate_shed_total", reason="journal") == len(shed)
    assert count("quorate_decisions_dropped_total") == (0 if on_full == "shed" else 5 - kept)
    assert count("quorate_requests_total", strategy="average", status="2xx") == 5 - len(shed)


def test_a_deadline_that_passed_while_it_waited_goes_the_ordinary_way(bench: Bench) -> None:
    endpoint = bench.endpoint()

    def main() -> None:
        assert bench.ask(endpoint, max_ms=10.0) is not None
        bench.house.clock.advance(1.0)

    bench.turn(main)
    assert bench.told == {0: None}
    assert bench.house.meters.in_flight.value == 0


def test_observers_are_told_every_decision(bench: Bench) -> None:
    seen: list[str] = []
    bench.house.plane.observers.append(lambda decision: seen.append(decision.id))
    endpoint = bench.endpoint()
    bench.turn(lambda: [bench.ask(endpoint, number) for number in range(3)])
    assert seen == [bench.told[number][0].id for number in range(3)]


def test_nothing_of_a_request_waits_for_a_collection(bench: Bench) -> None:
    """Inputs can be large: what is over must go with its last reference."""
    threaded = bench.house.pool(a=bench.house.threaded(0.9))
    slow = bench.house.endpoint(threaded, (StrategyRoute("only-a", "single", ("a",), 1),))
    endpoint = bench.endpoint()

    def ask() -> None:
        asked = [bench.ask(endpoint, number) for number in range(3)]
        assert asked[2] is not None
        asked[2].cancel()

    gc.collect()
    gc.disable()
    try:
        bench.turn(ask)
        bench.house.predict(slow)
        bench.told.clear()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = {type(one).__name__ for one in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left & {"Asked", "Awaited", "Run", "Feed", "Batch", "Call", "Execution", "Decision", "Choice"}
