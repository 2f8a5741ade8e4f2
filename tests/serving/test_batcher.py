import asyncio
import dataclasses
import threading
from math import inf

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.errors import InvalidInput, MemberCrashed
from quorate.serving.batcher import HOLD_MS, Batcher
from quorate.serving.cost import Cost
from quorate.serving.feed import Feed
from quorate.serving.units import HostUnit
from quorate.serving.work import NotStarted

POISON, REFUSED = -1.0, -2.0


class Echo:
    """Answers a row with its own number; raises if a row is poison; remembers the rows of its runs."""

    def __init__(self):
        self.runs = []

    def __call__(self, tensors):
        numbers = tensors["input"][:, 0]
        self.runs.append(numbers.tolist())
        if (numbers == POISON).any():
            raise MemberCrashed("poison.")
        share = numbers / 1e6
        return np.stack([1 - share, share], axis=1).astype(np.float32)


def numbers(part):
    return np.rint(part.values[:, 0, 1] * 1e6).tolist()


@pytest.fixture
def bench(house):
    return Bench(house)


class Bench:
    """A batcher over one fake member."""

    def __init__(self, house):
        self.house = house
        self.echo = Echo()

    def batcher(self, make, cost=None, width=1):
        pool = self.house.pool(a=make(self.echo))
        unit = pool.members[0].unit
        if cost is not None:
            unit.cost = cost

        def prepare(raw, path):
            if (raw["input"] == REFUSED).any():
                raise InvalidInput("refused.", path=path)
            return (dict(raw),)

        return Batcher(
            unit,
            prepare,
            pool.output,
            clock=self.house.clock,
            lane=self.house.lane,
            on_run=lambda requests, rows, ms: self.house.batches.append((requests, rows)),
            width=width,
        )

    @staticmethod
    def submit(batcher, *rows, until=inf, owner="a", bulk=False):
        feed = Feed({"input": np.array([[row, 0.0] for row in rows], np.float32)}, len(rows), "instances")
        return batcher.submit(feed, until=until, fault_after=0.1, owner=owner, bulk=bulk)


def test_a_lone_request_runs_in_the_next_turn(bench):
    batcher = bench.batcher(bench.house.inline)

    async def main():
        work = bench.submit(batcher, 7)
        assert work.prompt
        assert bench.echo.runs == []
        await asyncio.sleep(0)
        assert numbers(work.future.result()) == [7]

    bench.house.run(main())


def test_answers_just_given_go_before_the_next_run(bench):
    batcher = bench.batcher(bench.house.inline)

    async def main():
        first = bench.submit(batcher, 1)
        batcher.make_way()
        await asyncio.sleep(0)
        second = bench.submit(batcher, 2)  # what comes meanwhile shares the run
        assert bench.echo.runs == []
        await asyncio.sleep(0)
        assert [numbers(work.future.result()) for work in (first, second)] == [[1], [2]]
        batcher.make_way()  # no run is due: the next one does not wait
        third = bench.submit(batcher, 3)
        await asyncio.sleep(0)
        assert numbers(third.future.result()) == [3]

    bench.house.run(main())
    assert bench.echo.runs == [[1, 2], [3]]


def test_what_one_turn_brings_shares_one_run_and_everybody_gets_his_own(bench):
    batcher = bench.batcher(bench.house.inline)

    async def main():
        works = [bench.submit(batcher, *rows) for rows in ([1], [2, 3], [4])]
        return [numbers(await work.future) for work in works]

    assert bench.house.run(main()) == [[1], [2, 3], [4]]
    assert bench.echo.runs == [[1, 2, 3, 4]]
    assert bench.house.batches == [(3, 4)]


def test_a_run_holds_the_loop_for_two_milliseconds_at_most(bench):
    batcher = bench.batcher(bench.house.inline, Cost(0.2, 0.1))

    async def main():
        works = [bench.submit(batcher, i) for i in range(40)]
        await asyncio.gather(*(work.future for work in works))

    bench.house.run(main())
    assert len(bench.echo.runs[0]) == 18


def test_where_a_lone_run_takes_a_millisecond_rows_are_joined_all_the_same(bench):
    batcher = bench.batcher(bench.house.inline, Cost(0.9, 0.1))

    async def main():
        for _ in range(100):
            batcher.curve.observe(1, 1.5)  # the machine is busy
        batcher._learn()
        assert batcher.cost.of(1) > 1.2
        assert batcher.prompt(1)
        works = [bench.submit(batcher, i) for i in range(20)]
        await asyncio.gather(*(work.future for work in works))

    bench.house.run(main())
    assert len(bench.echo.runs[0]) > 8


@pytest.mark.parametrize("kind", ["inline", "threaded", "hosted"])
def test_a_poisoned_item_fails_alone(bench, kind):
    batcher = bench.batcher(getattr(bench.house, kind), width=1)

    async def main():
        first = bench.submit(batcher, 100)  # in threads and processes the others wait behind it
        works = [bench.submit(batcher, POISON if i == 3 else i) for i in range(8)]
        await asyncio.wait([work.future for work in [first, *works]])
        assert isinstance(works[3].future.exception(), MemberCrashed)
        return [numbers(work.future.result()) for i, work in enumerate(works) if i != 3]

    assert bench.house.run(main()) == [[i] for i in range(8) if i != 3]


@pytest.mark.parametrize("kind", ["inline", "threaded", "hosted"])
def test_a_refused_input_is_told_to_its_own_request(bench, kind):
    batcher = bench.batcher(getattr(bench.house, kind))

    async def main():
        works = [bench.submit(batcher, number) for number in (1, REFUSED, 2)]
        await asyncio.wait([work.future for work in works])
        assert works[1].future.exception() is works[1].feed.refused
        return numbers(works[0].future.result()), numbers(works[2].future.result())

    assert bench.house.run(main()) == ([1], [2])


@pytest.mark.parametrize("kind", ["inline", "hosted"])
def test_who_left_and_who_is_late_is_not_run(bench, kind):
    batcher = bench.batcher(getattr(bench.house, kind))
    bench.house.clock.advance(1.0)

    async def main():
        held = bench.submit(batcher, 100)
        while held.started is None:
            await asyncio.sleep(0)
        works = [bench.submit(batcher, 1), bench.submit(batcher, 2, until=bench.house.clock.monotonic() - 0.01)]
        works += [bench.submit(batcher, 3)]
        works[0].future.cancel()
        await asyncio.wait([work.future for work in [held, *works]])
        assert isinstance(works[1].future.exception(), NotStarted)
        assert works[1].started is None
        return numbers(works[2].future.result())

    assert bench.house.run(main()) == [3]
    assert [1] not in bench.echo.runs
    assert [3] in bench.echo.runs


def test_what_comes_during_a_run_makes_up_the_next_one(bench):
    gate, inside = threading.Event(), threading.Event()
    echo = bench.echo

    def answer(tensors):
        inside.set()
        gate.wait(10)
        return echo(tensors)

    bench.echo = answer
    batcher = bench.batcher(bench.house.threaded, Cost(5.0, 0.5))
    bench.house.hung = True

    async def main():
        first = bench.submit(batcher, 0)
        while not inside.is_set():
            await asyncio.sleep(0)
        works = [bench.submit(batcher, i) for i in range(1, 6)]
        gate.set()
        await asyncio.gather(first.future, *(work.future for work in works))

    bench.house.run(main())
    assert echo.runs == [[0], [1, 2, 3, 4, 5]]


def test_a_run_that_hangs_does_not_keep_the_others_from_running(bench):
    gate = threading.Event()
    lane = type(bench.house.lane)(2, clock=bench.house.clock)
    bench.house.lane = lane
    echo = bench.echo

    def answer(tensors):
        if tensors["input"][0, 0] == 0:
            gate.wait(10)
        return echo(tensors)

    bench.echo = answer
    batcher = bench.batcher(bench.house.threaded, Cost(5.0, 0.5))
    bench.house.hung = True

    async def main():
        hung = bench.submit(batcher, 0)
        while hung.run.began is None:
            await asyncio.sleep(0)
        waiting = bench.submit(batcher, 1)
        await asyncio.sleep(0.2)  # of the fake clock: longer than a run may take
        after = bench.submit(batcher, 2)
        assert await asyncio.wait_for(asyncio.shield(after.future), None)
        assert numbers(await waiting.future) == [1]
        gate.set()
        await hung.future

    bench.house.run(main())
    lane.close()


def test_joined_runs_are_as_large_as_pays_and_hold_a_thread_no_longer_than_they_should(bench):
    steep = bench.batcher(bench.house.threaded, Cost(0.4, 5.0))
    flat = bench.batcher(bench.house.threaded, Cost(5.0, 0.01))
    assert steep._most == 1
    assert 1 < flat._most <= 1 + HOLD_MS / 0.01


def test_the_backlog_is_what_waits_times_what_it_costs(bench):
    batcher = bench.batcher(bench.house.inline, Cost(0.2, 0.1))

    async def main():
        assert batcher.backlog_ms == 0.0
        works = [bench.submit(batcher, 1, 2, 3) for _ in range(10)]
        assert batcher.backlog_ms == pytest.approx(30 * 0.1, rel=0.5)
        await asyncio.gather(*(work.future for work in works))
        assert batcher.backlog_ms == 0.0

    bench.house.run(main())


def test_requests_that_left_do_not_count_as_waiting(bench):
    batcher = bench.batcher(bench.house.hosted, Cost(1.0, 10.0))

    async def main():
        held = [bench.submit(batcher, i) for i in range(3)]
        waiting = [bench.submit(batcher, i) for i in range(5)]
        before = batcher.backlog_ms
        for work in waiting:
            work.future.cancel()
            batcher.left(work)
        assert 0.0 <= batcher.backlog_ms < before
        await asyncio.wait([work.future for work in held])
        assert batcher.backlog_ms == 0.0

    bench.house.run(main())


def test_a_line_behind_a_run_that_hangs_is_pumped_by_the_pools_tick(house):
    gate, inside = threading.Event(), threading.Event()
    house.hung = True
    house.lane = type(house.lane)(2, clock=house.clock)

    def answer(tensors):
        if not inside.is_set():
            inside.set()
            gate.wait(10)
        return house.says(0.9)(tensors)

    pool = house.pool(a=house.threaded(answer))
    batcher = pool.batcher(pool.members[0].unit)

    async def main():
        feed = Feed({"input": np.zeros((1, 2), np.float32)}, 1)
        first = batcher.submit(feed, until=inf, fault_after=0.1, owner="a", bulk=False)
        while not inside.is_set():
            await asyncio.sleep(0)
        second = batcher.submit(feed, until=inf, fault_after=0.1, owner="a", bulk=False)
        await asyncio.sleep(0.2)
        assert second.started is None  # nobody has told the batcher
        pool.tick()
        assert (await second.future).values[0, 0, 1] == np.float32(0.9)
        gate.set()
        await first.future

    house.run(main())
    house.lane.close()


def test_a_function_of_somebodys_own_gets_one_request_at_a_time_unless_it_is_declared(house):
    pool = house.pool(a=house.hosted(0.9))
    unit = pool.members[0].unit
    assert unit.joins
    for options, joins in (({}, False), ({"rows": "together"}, True), ({"rows": "alone"}, False)):
        artifact = dataclasses.replace(pool.members[0].artifact, format="callable", options=options)
        assert HostUnit(0, 0, artifact, unit.host).joins is joins
    unit.joins = False
    house.batches.clear()

    async def main():
        batcher = pool.batcher(unit)
        feeds = [Feed({"input": np.zeros((1, 2), np.float32)}, 1) for _ in range(6)]
        works = [batcher.submit(f, until=inf, fault_after=9.0, owner="a", bulk=False) for f in feeds]
        await asyncio.wait([work.future for work in works])

    house.run(main())
    assert house.batches == [1] * 6


def test_no_run_is_much_larger_than_any_before(bench):
    batcher = bench.batcher(bench.house.hosted, Cost(10.0, 0.0))  # what one row tells of a member that is slow a row
    assert batcher._most == 2 * batcher.curve.largest
    batcher.curve.observe(30, 300.0)
    assert batcher.curve.cost.row_ms > 5.0


def test_preparing_is_a_part_of_the_cost(bench):
    batcher = bench.batcher(bench.house.threaded, Cost(2.0, 0.1))
    plain = batcher._prepare

    def slowly(raw, path):
        bench.house.clock.advance(0.008)
        return plain(raw, path)

    batcher._prepare = slowly

    async def main():
        await bench.submit(batcher, 1).future
        works = [bench.submit(batcher, i) for i in range(12)]
        assert batcher.backlog_ms == pytest.approx(11 * 8, rel=0.2)
        assert batcher._most <= 1 + HOLD_MS / 8
        await asyncio.wait([work.future for work in works])

    bench.house.run(main())


# --- whatever happens -----------------------------------------------------------------------------

step = st.one_of(
    st.tuples(st.just("submit"), st.lists(st.integers(0, 999), min_size=1, max_size=4), st.booleans()),
    st.tuples(st.just("poison"), st.just([POISON]), st.booleans()),
    st.tuples(st.just("refuse"), st.just([REFUSED]), st.booleans()),
    st.tuples(st.just("leave"), st.integers(0, 50), st.just(False)),
    st.tuples(st.just("wait"), st.integers(0, 3), st.just(False)),
)


@pytest.mark.parametrize("kind", ["inline", "hosted"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, max_size=40))
def test_every_work_ends_and_no_answer_reaches_the_wrong_caller(house, kind, steps):
    bench = Bench(house)
    batcher = bench.batcher(getattr(house, kind), Cost(0.1, 0.05) if kind == "inline" else None)

    async def main():
        works = []
        for name, what, bulk in steps:
            if name == "leave" and works:
                works[what % len(works)][0].future.cancel()
            elif name == "wait":
                await asyncio.sleep(what / 100)
            elif name not in ("leave", "wait"):
                works.append((bench.submit(batcher, *what, bulk=bulk, owner=f"e{len(works) % 3}"), what))
        if works:
            await asyncio.wait([work.future for work, _ in works], timeout=60)
        for work, rows in works:
            assert work.future.done()
            if work.future.cancelled():
                continue
            if rows == [POISON]:
                assert isinstance(work.future.exception(), MemberCrashed)
            elif rows == [REFUSED]:
                assert isinstance(work.future.exception(), InvalidInput)
            else:
                assert numbers(work.future.result()) == rows

    house.run(main())


@pytest.mark.parametrize("kind", ["inline", "threaded", "hosted"])
def test_no_more_rows_are_joined_than_a_run_may_have(bench, kind):
    made = getattr(bench.house, kind)

    def limited(echo):
        def make(position, artifact):
            unit = made(echo)(position, artifact)
            unit.max_rows = 2
            return unit

        return make

    batcher = bench.batcher(limited)

    async def main():
        first = bench.submit(batcher, 9)  # the others come while it runs, or in the same turn
        works = [first, *(bench.submit(batcher, i) for i in range(6))]
        await asyncio.gather(*(work.future for work in works))

    bench.house.run(main())
    assert max(map(len, bench.echo.runs)) == 2


def test_a_request_with_more_rows_than_a_run_may_have_is_run_in_parts(bench):
    batcher = bench.batcher(bench.house.hosted)
    batcher.unit.max_rows = 2

    async def main():
        return numbers(await bench.submit(batcher, 1, 2, 3, 4, 5).future)

    assert bench.house.run(main()) == [1, 2, 3, 4, 5]
    assert bench.echo.runs == [[1, 2], [3, 4], [5]]
    assert bench.house.batches == [(1, 5)]
