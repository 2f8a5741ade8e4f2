import asyncio
import threading

import numpy as np
import pytest

from quorate.codecs.snapshot import CacheRoute, PolicyRoute, RecordRoute, Routing, StrategyRoute
from quorate.core.types import Decision, Status
from quorate.errors import InvalidInput, NoQuorum, NotFound, Overloaded
from quorate.serving.breaker import Circuit
from quorate.serving.cost import Cost
from quorate.serving.generation import Generation, Model

MEAN = StrategyRoute("average", "mean", ("a", "b"), 1)
ALL = StrategyRoute("all", "mean", ("a", "b"), 2)
A = StrategyRoute("only-a", "single", ("a",), 1)
B = StrategyRoute("only-b", "single", ("b",), 1)
BLIND = PolicyRoute("split", {"weights": {"only-a": 1, "only-b": 1}}, blind=True)


def ms(seconds):
    return pytest.approx(seconds * 1000, abs=0.01)


def last(house):
    return house.journal.decisions[-1]


def test_an_answer_is_a_decision_in_the_journal(house):
    pool = house.pool(a=house.inline(0.2), b=house.inline(0.4), c=house.inline(0.9))
    endpoint = house.endpoint(pool, [MEAN])
    decision = house.predict(endpoint, rows=2, request_id="r", traceparent="t", context={"k": 1})
    assert decision.answer.tolist() == [pytest.approx([0.7, 0.3])] * 2
    assert (decision.degraded, decision.error, decision.served, decision.assigned) == (
        False,
        None,
        "average",
        "average",
    )
    assert [run.status for run in decision.members] == [Status.OK, Status.OK, Status.SKIPPED]
    kept = last(house)
    assert (kept.id, kept.request_id, kept.traceparent, dict(kept.context)) == (decision.id, "r", "t", {"k": 1})
    np.testing.assert_array_equal(kept.answer, decision.answer)
    np.testing.assert_array_equal(kept.outputs[:, :2], decision.outputs[:, :2])


def test_an_endpoint_that_sheds_refuses_before_it_works(house):
    pool = house.pool(a=house.inline(0.2), b=house.inline(0.4))
    house.journal.blocked = True
    with pytest.raises(Overloaded):
        house.predict(house.endpoint(pool, [MEAN], on_full="shed"))
    assert pool.members[0].unit.runs == 0
    assert house.predict(house.endpoint(pool, [MEAN], on_full="drop")).answer is not None
    assert house.journal.records == []


def test_a_decision_that_cannot_be_kept_is_not_answered_where_it_must_be(house):
    pool = house.pool(a=house.hosted(0.2, 0.01), b=house.inline(0.4))

    async def main():
        endpoint = house.endpoint(pool, [MEAN], on_full="shed")
        answer = asyncio.ensure_future(house.plane.predict(endpoint, house.call()))
        await asyncio.sleep(0.005)
        house.journal.blocked = True
        with pytest.raises(Overloaded):
            await answer

    house.run(main())


def test_large_input_is_prepared_in_a_thread_until_the_deadline(house):
    pool = house.pool(a=house.inline(0.2), b=house.inline(0.4))
    endpoint = house.endpoint(pool, [MEAN])
    seen = []
    prepare = pool.prepare

    def watched(*args, **more):
        seen.append(threading.current_thread())
        return prepare(*args, **more)

    pool.prepare = watched
    house.predict(endpoint)
    assert seen.pop() is threading.main_thread()
    assert house.predict(endpoint, size=1 << 20).answer is not None
    assert seen.pop() is not threading.main_thread()

    gate = threading.Event()
    house.hung = True
    pool.prepare = lambda *args, **more: gate.wait()
    with pytest.raises(NoQuorum):
        house.predict(endpoint, size=1 << 20)
    assert last(house).latency_ms == ms(0.2)
    gate.set()


def test_a_full_lane_sheds_large_requests(house):
    pool = house.pool(a=house.inline(0.2), b=house.inline(0.4))
    gate = threading.Event()

    async def main():
        held = [house.lane.submit(gate.wait) for _ in range(256)]
        with pytest.raises(Overloaded):
            await house.plane.predict(house.endpoint(pool, [MEAN]), house.call(size=1 << 20))
        gate.set()
        await asyncio.gather(*held)

    house.run(main())


def test_what_runs_when_a_request_is_cancelled_is_given_up(house):
    pool = house.pool(a=house.inline(0.2), b=house.hosted(0.4, house.HANG))

    async def main():
        request = asyncio.ensure_future(house.plane.predict(house.endpoint(pool, [MEAN]), house.call()))
        await asyncio.sleep(0.01)
        request.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert request.cancelled()
        await asyncio.sleep(0.01)
        assert len(asyncio.all_tasks()) == 1

    house.run(main())
    assert house.meters.in_flight.value == 0


def test_a_model_alone_answers_without_a_decision(house):
    pool = house.pool(lambda t: 1 / 0, ("a",), a=house.inline(0.2), b=house.hosted(0.4, 0.01))
    plane = house.plane
    assert house.run(plane.run_model(Model(pool, 0), house.call(rows=2))).tolist() == [pytest.approx([0.8, 0.2])] * 2
    assert house.run(plane.run_model(Model(pool, 1), house.call())).tolist() == [pytest.approx([0.6, 0.4])]
    assert house.journal.records == []
    assert house.graph_faults == 0
    with pytest.raises(InvalidInput) as caught:
        house.run(plane.run_model(Model(pool, 0), house.call(strategy="average")))
    assert caught.value.path == "parameters.strategy"


def test_a_model_alone_must_answer_every_row_in_time(house):
    def half(tensors):
        return np.array([[0.5, 0.5], [np.nan, np.nan]], np.float32)

    pool = house.pool(a=house.inline(half), b=house.hosted(0.4, house.HANG))
    with pytest.raises(NoQuorum, match="member_signature"):
        house.run(house.plane.run_model(Model(pool, 0), house.call(rows=2)))
    with pytest.raises(NoQuorum, match="50 ms"):
        house.run(house.plane.run_model(Model(pool, 1), house.call(max_ms=50.0)))


def test_an_unknown_endpoint_is_named_with_the_known_ones(house):
    pool = house.pool(a=house.inline(0.2), b=house.inline(0.4))
    house.plane.generation = Generation(1, Routing(1), (pool,), {"main": house.endpoint(pool, [MEAN])})
    assert house.plane.endpoint("main").name == "main"
    with pytest.raises(NotFound, match="main"):
        house.plane.endpoint("other")


def test_a_pinned_generation_outlives_its_successor(house):
    pool = house.pool(a=house.inline(0.2), b=house.inline(0.4))
    generation = house.plane.generation = Generation(1, Routing(1), (pool,))
    generation.acquire()
    with house.plane.pinned():
        house.plane.generation = Generation.empty()
        generation.release()
        assert not pool.members[0].unit.closed
    assert pool.members[0].unit.closed


def test_clients_that_leave_are_nobodys_fault(house):
    def graph(tensors):
        return {"a": house.says(0.2)(tensors), "b": house.says(0.4)(tensors)}

    pool = house.pool(graph, ("a", "b"), a=house.inline(0.2), b=house.inline(0.4))
    endpoint = house.endpoint(pool, [MEAN])

    async def main():
        for _ in range(20):
            call = asyncio.ensure_future(house.plane.predict(endpoint, house.call()))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        return await house.plane.predict(endpoint, house.call())

    decision = house.run(main())
    assert not decision.degraded
    assert (house.graph_faults, house.faults) == (0, [])
    assert pool.graph_breaker.state is Circuit.CLOSED
    assert house.meters.in_flight.value == 0


# --- who is let in --------------------------------------------------------------------------------


def test_a_request_that_would_wait_too_long_is_refused_and_told_when_to_come_again(house):
    pool = house.pool(a=house.inline(0.9))
    pool.members[0].unit.cost = Cost(0.0, 1.0)
    endpoint = house.endpoint(pool, [A], queue_ms=100.0)

    async def main():
        calls = [asyncio.ensure_future(house.plane.predict(endpoint, house.call())) for _ in range(200)]
        await asyncio.sleep(0)
        refused = [call for call in calls if call.done() and isinstance(call.exception(), Overloaded)]
        answered = await asyncio.gather(*calls, return_exceptions=True)
        return refused, [one for one in answered if isinstance(one, Decision)]

    refused, answered = house.run(main())
    assert (len(refused), len(answered)) == (99, 101)
    assert refused[0].exception().retry_after == pytest.approx(0.1, rel=0.05)
    assert house.counters.counter("quorate_shed_total", endpoint="main", reason="queue").value == 99


def test_bulk_gives_way_at_half_the_wait(house):
    pool = house.pool(a=house.inline(0.9))
    pool.members[0].unit.cost = Cost(0.0, 1.0)
    endpoint = house.endpoint(pool, [A], queue_ms=100.0)

    async def main():
        calls = [asyncio.ensure_future(house.plane.predict(endpoint, house.call())) for _ in range(60)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await house.plane.predict(endpoint, house.call(priority="bulk"))
        await house.plane.predict(endpoint, house.call())
        await asyncio.gather(*calls)

    house.run(main())


def test_an_endpoint_takes_no_more_than_its_share_of_a_worker(house):
    pool = house.pool(a=house.hosted(0.9, 0.05))
    endpoint = house.endpoint(pool, [A], max_in_flight=2)

    async def main():
        return await asyncio.gather(
            *(house.plane.predict(endpoint, house.call()) for _ in range(5)), return_exceptions=True
        )

    found = house.run(main())
    assert [isinstance(one, Overloaded) for one in found] == [False, False, True, True, True]
    assert endpoint.in_flight == 0
    assert house.counters.counter("quorate_shed_total", endpoint="main", reason="limit").value == 3


# --- answers that are kept ------------------------------------------------------------------------


def test_a_kept_answer_is_a_decision_of_its_own_that_says_so(house):
    pool = house.pool(a=house.inline(0.9))
    endpoint = house.endpoint(pool, [A], cache=CacheRoute(10, 1000, 60.0))
    first, second = house.predict(endpoint), house.predict(endpoint)
    assert pool.members[0].unit.runs == 1
    assert (first.source, second.source) == ("policy", "cache")
    assert first.id != second.id
    assert second.answer.tolist() == first.answer.tolist()
    assert [run.status for run in second.members] == [Status.SKIPPED]
    assert (second.assigned, second.served, second.degraded) == ("only-a", "only-a", False)
    assert len(house.journal.decisions) == 2
    counter = house.counters.counter
    assert counter("quorate_cache_requests_total", endpoint="main", result="hit").value == 1
    assert counter("quorate_cache_requests_total", endpoint="main", result="miss").value == 1


def test_a_degraded_answer_is_not_kept(house):
    pool = house.pool(a=house.inline(0.9), b=house.inline(lambda t: 1 / 0))
    endpoint = house.endpoint(pool, [StrategyRoute("mean", "mean", ("a", "b"), 1)], cache=CacheRoute(10, 1000, 60.0))
    assert [house.predict(endpoint).source for _ in range(2)] == ["policy", "policy"]


def test_observers_are_told_every_decision_that_was_answered(house):
    seen = []
    house.plane.observers.append(seen.append)
    pool = house.pool(a=house.inline(0.2), b=house.inline(lambda t: 1 / 0))
    decision = house.predict(house.endpoint(pool, [MEAN]))
    with pytest.raises(NoQuorum):
        house.predict(house.endpoint(pool, [ALL]))
    assert seen[0] is decision
    assert [one.error for one in seen] == [None, "no_quorum"]


def test_the_record_is_redacted_and_sampled_and_the_answer_is_not(house):
    pool = house.pool(a=house.inline(0.2), b=house.inline(0.4))
    policy = PolicyRoute("fixed", {"strategy": "average"}, sticky="user")
    record = RecordRoute(sample=0.0, redact={"user": "hash", "email": "remove"})
    endpoint = house.endpoint(pool, [MEAN], policy, record=record)
    decision = house.predict(endpoint, context={"user": "ann", "email": "a@b", "k": 1})
    assert (dict(decision.context), decision.unit) == ({"user": "ann", "email": "a@b", "k": 1}, "ann")
    assert decision.outputs.shape == (1, 2, 2)
    kept = last(house)
    assert set(kept.context) == {"user", "k"}
    assert kept.context["user"] == kept.unit
    assert "ann" not in repr(kept)
    assert kept.outputs.shape == (1, 2, 0)
    np.testing.assert_array_equal(kept.answer, decision.answer)
