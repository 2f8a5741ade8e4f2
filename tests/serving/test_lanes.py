import asyncio
import threading

import pytest

from quorate.errors import MemberError
from quorate.serving.cost import Cost, measure
from quorate.serving.lanes import ThreadLane
from quorate.testing import FakeClock


def test_cost_is_a_line_through_the_measured_times():
    clock = FakeClock()
    cost = measure(lambda rows: clock.advance(0.0004 + 0.0001 * rows), clock)
    assert cost.fixed_ms == pytest.approx(0.4)
    assert cost.row_ms == pytest.approx(0.1)
    assert cost.inline(5)
    assert not cost.inline(7)


def test_negative_slopes_are_noise():
    clock = FakeClock()
    cost = measure(lambda rows: clock.advance(0.002 / rows), clock)
    assert cost == Cost(pytest.approx(2.0), 0.0)


def test_submit_runs_off_the_loop_and_returns_results_and_errors():
    async def main():
        lane = ThreadLane(2, clock=FakeClock())
        assert await lane.submit(threading.get_ident) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await lane.submit(lambda: 1 // 0)
        lane.close()

    asyncio.run(main())


def test_a_full_queue_refuses_at_once():
    async def main():
        gate = threading.Event()
        lane = ThreadLane(1, clock=FakeClock(), queue=2)
        held = [lane.submit(gate.wait), lane.submit(gate.wait)]
        with pytest.raises(MemberError, match="full"):
            lane.submit(gate.wait)
        gate.set()
        await asyncio.gather(*held)
        assert await lane.submit(lambda: 1) == 1
        lane.close()

    asyncio.run(main())


async def hang(lane: ThreadLane, gate: threading.Event, limit: float) -> asyncio.Future:
    """Submit a run that is in the thread when this returns, and ends with the gate."""
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    def run():
        loop.call_soon_threadsafe(started.set)
        gate.wait()

    future = lane.submit(run, limit=limit)
    await started.wait()
    return future


def test_the_thread_of_a_hung_run_is_replaced_until_the_spares_are_used_up():
    async def main():
        gate = threading.Event()
        clock = FakeClock()
        lane = ThreadLane(1, clock=clock, spares=2)
        await hang(lane, gate, limit=1.0)
        clock.advance(0.9)
        lane.sweep()
        assert lane.replaced == 0
        clock.advance(0.1)
        lane.sweep()
        lane.sweep()
        assert lane.replaced == 1
        assert await lane.submit(lambda: "served by the spare") == "served by the spare"
        await hang(lane, gate, limit=1.0)
        clock.advance(1.0)
        lane.sweep()
        assert lane.exhausted
        gate.set()
        while lane.replaced:
            await asyncio.sleep(0)
        assert await lane.submit(lambda: "back") == "back"
        lane.close()

    asyncio.run(main())


def test_a_hung_run_is_noticed_when_nobody_waits_for_it_any_more():
    async def main():
        gate = threading.Event()
        clock = FakeClock()
        lane = ThreadLane(1, clock=clock)
        (await hang(lane, gate, limit=1.0)).cancel()
        clock.advance(1.0)
        lane.sweep()
        assert lane.replaced == 1
        assert await lane.submit(lambda: 1) == 1
        gate.set()
        lane.close()

    asyncio.run(main())


def test_work_without_a_limit_is_never_taken_for_hung():
    async def main():
        gate = threading.Event()
        clock = FakeClock()
        lane = ThreadLane(1, clock=clock)
        future = lane.submit(gate.wait)
        clock.advance(1e9)
        lane.sweep()
        assert lane.replaced == 0
        gate.set()
        await future
        lane.close()

    asyncio.run(main())


def test_a_cancelled_job_that_has_not_started_never_runs():
    async def main():
        gate = threading.Event()
        clock = FakeClock()
        lane = ThreadLane(1, clock=clock)
        ran = []
        first = lane.submit(gate.wait)
        second = lane.submit(lambda: ran.append(1), limit=1.0)
        second.cancel()
        clock.advance(2.0)
        lane.sweep()
        assert lane.replaced == 0
        gate.set()
        await first
        assert await lane.submit(lambda: 2) == 2
        assert ran == []
        lane.close()

    asyncio.run(main())
