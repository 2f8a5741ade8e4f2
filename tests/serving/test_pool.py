import asyncio

import numpy as np

from quorate.errors import MemberCrashed


def test_the_fewest_units_answer(house):
    pool = house.pool(lambda t: {}, ("a", "c"), a=house.inline(0.9), b=house.inline(0.9), c=house.inline(0.9))
    a, b, _ = (member.unit for member in pool.members)
    assert pool.units_for([0, 1, 2]) == [pool.graph, b]
    assert pool.units_for([1]) == [b]
    pool.graph_breaker.trip()
    assert pool.units_for([0, 1]) == [a, b]


def test_every_preprocessing_is_done_once(house):
    pool = house.pool(a=house.inline(0.9), b=house.inline(0.9))
    (tensors,) = pool.prepare({"input": np.ones((2, 2), np.float32)}, "instances")
    assert tensors["input"].tolist() == [[1, 1], [1, 1]]


def test_one_good_answer_in_between_keeps_the_circuit_closed(house):
    pool = house.pool(a=house.inline(0.9))
    member = pool.members[0]
    for _ in range(10):
        member.unit.answer = house.raises(MemberCrashed("no."))
        for _ in range(member.breaker.threshold - 1):
            house.ran(house.execution(pool), [0])
        member.unit.answer = house.says(0.9)
        house.ran(house.execution(pool), [0])
    assert member.available


def test_a_crash_during_a_run_opens_the_circuit_with_one_fault(house):
    pool = house.pool(a=house.hosted(0.9, house.HANG))

    async def main():
        execution = house.execution(pool)
        execution.start([0])
        await asyncio.sleep(0)
        pool.members[0].unit.host.kill()
        await execution.wait(1000.0, [0])
        assert execution.runs()[0].reason == "member_crashed"

    house.run(main())
    assert house.faults == [("a", "member_crashed")]
    assert not pool.members[0].available


def test_the_last_user_closes_the_pool(house):
    pool = house.pool(lambda t: {}, ("a",), a=house.inline(0.9), b=house.hosted(0.9))
    pool.acquire()
    pool.acquire()
    pool.release()
    assert not pool.members[0].unit.closed
    pool.release()
    assert pool.members[0].unit.closed
    assert pool.members[1].unit.host.kills == 1


def test_what_was_prepared_quickly_is_not_taken_for_slow_at_once(house, monkeypatch):
    pool = house.pool(a=house.inline(0.9))
    raw = {"input": np.ones((1, 2), np.float32)}
    took = iter([])
    monkeypatch.setattr("quorate.serving.pool.prepare", lambda *_, **__: pool.clock.advance(next(took) / 1000))

    def prepared(ms: float) -> bool:
        nonlocal took
        took = iter([ms] * 60)  # until no more is known of what was before
        for _ in range(60):
            pool.prepare(raw, "instances")
        return pool.prepares_quickly(raw)

    assert prepared(0.8)
    assert prepared(1.9)
    assert not prepared(2.1)
    assert not prepared(1.1)  # in a thread now, where it takes longer
    assert prepared(0.9)
    assert prepared(1.9)
    assert pool.prepares_quickly({"input": np.ones((1, 2), np.float32)})
    assert not pool.prepares_quickly({"input": np.ones((2, 2), np.float32)})
