import asyncio
import threading

import numpy as np
import pytest

from quorate.core.types import OutputSpec, Signature, Status
from quorate.errors import MemberCrashed
from quorate.serving.breaker import Circuit

from_now = 1000.0  # a deadline that does not matter


def names(execution, status):
    return {run.name for run in execution.runs() if run.status is status}


def test_inline_members_answer_in_the_next_turn(house):
    pool = house.pool(a=house.inline(0.9), b=house.inline(0.2))
    execution = house.execution(pool, rows=2)
    house.ran(execution, [0])
    assert not execution.waiting_for([0, 1])
    assert execution.values[:, 0].tolist() == [pytest.approx([0.1, 0.9])] * 2
    assert execution.status.tolist() == [[0, 2], [0, 2]]
    a, b = execution.runs()
    assert (a.status, a.reason) == (Status.OK, None)
    assert a.latency_ms is not None
    assert (b.status, b.latency_ms, b.reason) == (Status.SKIPPED, None, None)


def test_a_member_runs_once_however_often_it_is_wanted(house):
    pool = house.pool(a=house.inline(0.9), b=house.inline(0.9))
    execution = house.execution(pool)
    house.ran(execution, [0])
    house.ran(execution, [0, 1])
    assert [member.unit.runs for member in pool.members] == [1, 1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda t: 1 / 0, "member_crashed"),
        (lambda t: None, "member_signature"),
        (lambda t: np.zeros((1, 3), np.float32), "member_signature"),
        (lambda t: np.zeros((7, 2), np.float32), "member_signature"),
        (lambda t: np.array([["0.5", "0.5"]]), "member_signature"),
        (lambda t: np.full((1, 2), np.nan, np.float32), "member_signature"),
        (lambda t: np.full((1, 2), np.inf, np.float32), "member_signature"),
        (lambda t: np.array([[0.9, 0.9]], np.float32), "member_signature"),
        (lambda t: np.array([[-1.0, 2.0]], np.float32), "member_signature"),
    ],
)
def test_a_member_that_breaks_its_promise_is_dropped_and_counted(house, answer, reason):
    pool = house.pool(bad=house.inline(answer), good=house.inline(0.9))
    execution = house.execution(pool)
    house.ran(execution, [0, 1])
    assert names(execution, Status.FAILED) == {"bad"}
    assert names(execution, Status.OK) == {"good"}
    assert execution.runs()[0].reason == reason
    assert np.isnan(execution.values[0, 0]).all()
    assert house.faults == [("bad", reason)]


def test_a_row_without_a_number_is_lost_and_its_neighbours_are_not(house):
    def answer(tensors):
        return np.array([[0.5, 0.5], [np.nan, 0.5], [0.25, 0.75]], np.float32)

    pool = house.pool(a=house.inline(answer))
    execution = house.execution(pool, rows=3)
    house.ran(execution, [0])
    assert execution.status[:, 0].tolist() == [Status.OK, Status.FAILED, Status.OK]
    assert np.isnan(execution.values[1, 0]).all()
    assert execution.values[2, 0].tolist() == [0.25, 0.75]
    assert house.faults == [("a", "member_signature")]
    assert execution.runs()[0].status is Status.FAILED


def test_values_may_be_any_finite_numbers(house):
    signature = Signature("array", (), OutputSpec("values", names=("price",)))
    pool = house.pool(signature=signature, a=house.inline(lambda t: np.array([-5.0, np.inf])))
    execution = house.execution(pool, rows=2)
    house.ran(execution, [0])
    assert execution.status[:, 0].tolist() == [Status.OK, Status.FAILED]


def test_a_member_with_an_open_circuit_is_not_run_and_not_counted_again(house):
    pool = house.pool(a=house.inline(0.9))
    pool.members[0].breaker.trip()
    execution = house.execution(pool)
    house.ran(execution, [0])
    assert pool.members[0].unit.runs == 0
    assert execution.runs()[0].reason == "member_circuit_open"
    assert execution.status.tolist() == [[Status.FAILED]]
    assert house.faults == []


def test_an_absent_member_fails_without_a_fault(house):
    pool = house.pool(a=house.absent(lambda: None))
    execution = house.execution(pool)
    house.ran(execution, [0])
    assert execution.runs()[0].reason == "member_circuit_open"


def test_the_graph_answers_for_all_its_members_at_once(house):
    def graph(tensors):
        return {"a": house.says(0.1)(tensors), "b": house.says(0.9)(tensors)}

    pool = house.pool(graph, ("a", "b"), a=house.inline(0.5), b=house.inline(0.5), c=house.inline(0.5))
    execution = house.execution(pool)
    house.ran(execution, [1])
    assert execution.values[0, 0].tolist() == pytest.approx([0.9, 0.1])
    assert execution.values[0, 1].tolist() == pytest.approx([0.1, 0.9])
    assert [member.unit.runs for member in pool.members] == [0, 0, 0]
    house.ran(execution, [0, 1, 2])
    assert [member.unit.runs for member in pool.members] == [0, 0, 1]


def test_a_member_spoils_itself_only_in_the_graph(house):
    def graph(tensors):
        return {"a": np.full((1, 2), np.nan, np.float32), "b": house.says(0.9)(tensors)}

    pool = house.pool(graph, ("a", "b"), a=house.inline(0.5), b=house.inline(0.5))
    execution = house.execution(pool)
    house.ran(execution, [0, 1])
    assert execution.status.tolist() == [[Status.FAILED, Status.OK]]
    assert house.graph_faults == 0


def test_a_graph_may_answer_in_an_order_of_its_own(house):
    def graph(tensors):
        return {"b": house.says(0.9)(tensors), "a": np.full((1, 2), np.nan, np.float32)}

    pool = house.pool(graph, ("b", "a"), a=house.inline(0.5), b=house.inline(0.5))
    execution = house.execution(pool)
    house.ran(execution, [0, 1])
    assert execution.status.tolist() == [[Status.FAILED, Status.OK]]
    assert house.faults == [("a", "member_signature")]


def test_an_open_circuit_keeps_a_member_out_although_the_graph_ran_it(house):
    def graph(tensors):
        return {"a": house.says(0.9)(tensors), "b": house.says(0.9)(tensors)}

    pool = house.pool(graph, ("a", "b"), a=house.inline(0.5), b=house.inline(0.5))
    pool.members[0].breaker.trip()
    execution = house.execution(pool)
    house.ran(execution, [0, 1])
    assert execution.status.tolist() == [[Status.FAILED, Status.OK]]
    assert execution.runs()[0].reason == "member_circuit_open"
    assert pool.members[0].breaker.state is Circuit.OPEN


def test_when_the_graph_fails_its_members_run_apart(house):
    pool = house.pool(
        house.raises(MemberCrashed("out of memory.")),
        ("a", "b", "gone", "open"),
        a=house.inline(0.9),
        b=house.inline(lambda t: 1 / 0),
        gone=house.absent(lambda: None),
        open=house.inline(0.9),
        other=house.inline(0.9),
    )
    pool.members[3].breaker.trip()
    execution = house.execution(pool)
    house.ran(execution, [0, 1, 2, 3, 4])
    assert house.graph_faults == 1
    assert house.faults == [("b", "member_crashed")]
    assert names(execution, Status.OK) == {"a", "other"}
    assert [run.reason for run in execution.runs()][1:4] == [
        "member_crashed",
        "member_circuit_open",
        "member_circuit_open",
    ]


def test_after_repeated_failures_the_graph_is_left_alone(house):
    runs = []

    def graph(tensors):
        runs.append(1)
        raise MemberCrashed("out of memory.")

    pool = house.pool(graph, ("a",), a=house.inline(0.9))
    for _ in range(8):
        house.ran(house.execution(pool), [0])
    assert len(runs) == pool.graph_breaker.threshold
    assert pool.members[0].unit.runs == 8
    assert pool.members[0].available


def test_wait_ends_with_the_last_answer_and_not_later(house):
    pool = house.pool(a=house.hosted(0.9, 0.01), b=house.hosted(0.9, 0.03))

    async def main():
        execution = house.execution(pool)
        started = house.clock.monotonic()
        execution.start([0, 1])
        await execution.wait(from_now, [0, 1])
        assert house.clock.monotonic() - started == pytest.approx(0.03)
        return execution

    execution = house.run(main())
    assert [run.latency_ms for run in execution.runs()] == [pytest.approx(10), pytest.approx(30)]
    assert names(execution, Status.OK) == {"a", "b"}


def test_wait_ends_at_its_limit_and_leaves_the_run_under_way(house):
    pool = house.pool(a=house.hosted(0.9, 0.05))

    async def main():
        execution = house.execution(pool)
        until = house.clock.monotonic() + 0.02
        execution.start([0])
        await execution.wait(until, [0])
        assert house.clock.monotonic() == pytest.approx(until)
        assert execution.waiting_for([0])
        await execution.wait(from_now, [0])
        assert names(execution, Status.OK) == {"a"}

    house.run(main())


def test_wait_cares_only_for_the_members_it_is_told(house):
    pool = house.pool(hung=house.hosted(0.9, house.HANG), b=house.hosted(0.9, 0.01))

    async def main():
        execution = house.execution(pool)
        execution.start([0, 1])
        await execution.wait(from_now, [1])
        assert execution.waiting_for([0])
        assert not execution.waiting_for([1])
        execution.give_up()

    house.run(main())


def test_wait_ends_when_there_is_enough(house):
    pool = house.pool(a=house.hosted(0.9, 0.01), b=house.hosted(0.9, 0.02), c=house.hosted(0.9, 0.03))

    async def main():
        execution = house.execution(pool)
        started = house.clock.monotonic()
        execution.start([0, 1, 2])
        await execution.wait(from_now, [0, 1, 2], lambda: int((execution.status == Status.OK).sum()) == 2)
        assert house.clock.monotonic() - started == pytest.approx(0.02)
        execution.give_up()

    house.run(main())


def test_what_hangs_longer_than_its_share_is_a_fault_and_its_process_is_killed(house):
    pool = house.pool(a=house.hosted(0.9, house.HANG))

    async def main():
        execution = house.execution(pool, fault_after=0.1)
        execution.start([0])
        await execution.wait(house.clock.monotonic() + 0.2, [0])
        execution.give_up()
        return execution

    execution = house.run(main())
    assert execution.runs()[0].reason == "member_timeout"
    assert house.faults == [("a", "member_timeout")]
    assert pool.members[0].unit.host.kills == 1
    assert pool.members[0].breaker.state is Circuit.OPEN


def test_what_had_too_little_time_is_no_fault(house):
    pool = house.pool(a=house.hosted(0.9, 0.05))

    async def main():
        execution = house.execution(pool, fault_after=0.1)
        execution.start([0])
        await execution.wait(house.clock.monotonic() + 0.02, [0])
        execution.give_up()
        return execution

    assert house.run(main()).runs()[0].reason == "member_timeout"
    assert house.faults == []
    assert pool.members[0].unit.host.kills == 0


def test_a_process_that_hangs_is_killed_also_when_all_callers_are_in_a_hurry(house):
    pool = house.pool(a=house.hosted(0.9, house.HANG))

    async def main():
        for _ in range(12):
            execution = house.execution(pool, fault_after=0.1)
            execution.start([0])
            await execution.wait(house.clock.monotonic() + 0.01, [0])
            execution.give_up()

    house.run(main())
    assert pool.members[0].unit.host.kills == 1
    assert house.faults == []


def test_give_up_takes_what_has_come(house):
    pool = house.pool(a=house.hosted(0.9, 0.0))

    async def main():
        execution = house.execution(pool)
        execution.start([0])
        for _ in range(5):
            await asyncio.sleep(0)
        execution.give_up()
        return execution

    assert names(house.run(main()), Status.OK) == {"a"}


def test_slower_members_run_in_threads(house):
    seen = []

    def answer(tensors):
        seen.append(threading.current_thread())
        return house.says(0.9)(tensors)

    pool = house.pool(a=house.threaded(answer))

    async def main():
        execution = house.execution(pool)
        execution.start([0])
        assert execution.waiting_for([0])
        await execution.wait(from_now, [0])
        return execution

    assert names(house.run(main()), Status.OK) == {"a"}
    assert seen != [threading.main_thread()]


def test_a_batch_that_costs_more_than_a_hand_off_leaves_the_loop(house):
    pool = house.pool(a=house.inline(0.9))
    unit = pool.members[0].unit
    unit.cost = type(unit.cost)(0.1, 0.1)

    async def main():
        small, large = house.execution(pool, rows=9), house.execution(pool, rows=10)
        small.start([0])
        large.start([0])
        await small.wait(from_now, [0])
        assert (small.waiting_for([0]), large.waiting_for([0])) == (False, True)
        large.give_up()

    house.run(main())


def test_a_full_lane_fails_the_run_and_blames_nobody(house):
    pool = house.pool(lambda t: {}, ("a",), a=house.threaded(0.9))
    pool.graph.cost = pool.members[0].unit.cost
    gate = threading.Event()

    async def main():
        held = [house.lane.submit(gate.wait) for _ in range(256)]
        execution = house.execution(pool)
        execution.start([0])
        await execution.wait(from_now, [0])
        assert execution.runs()[0].reason == "member_failed"
        gate.set()
        await asyncio.gather(*held)

    house.run(main())
    assert (house.faults, house.graph_faults) == ([], 0)


def test_a_slow_graph_is_blamed_for_its_members(house):
    gate, inside = threading.Event(), threading.Event()
    house.hung = True

    def graph(tensors):
        inside.set()
        gate.wait(10)
        return {}

    pool = house.pool(graph, ("a", "b"), a=house.inline(0.9), b=house.inline(0.9))
    pool.graph.cost = type(pool.graph.cost)(5.0, 0.0)

    async def main():
        execution = house.execution(pool, fault_after=0.1)
        execution.start([0, 1])
        while not inside.is_set():
            await asyncio.sleep(0)
        await execution.wait(house.clock.monotonic() + 0.2, [0, 1])
        execution.give_up()
        gate.set()
        return execution

    assert {run.reason for run in house.run(main()).runs()} == {"member_timeout"}
    assert (house.faults, house.graph_faults) == ([], 1)
