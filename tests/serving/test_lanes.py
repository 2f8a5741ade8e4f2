import asyncio
import threading

import pytest

from quorate.errors import MemberError
from quorate.serving.lanes import Cost, ThreadLane, measure
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
        lane = ThreadLane(2)
        assert await lane.submit(threading.get_ident) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await lane.submit(lambda: 1 // 0)
        lane.close()

    asyncio.run(main())


def test_a_full_queue_refuses_at_once():
    async def main():
        gate = threading.Event()
        lane = ThreadLane(1, queue=2)
        held = [lane.submit(gate.wait), lane.submit(gate.wait)]
        with pytest.raises(MemberError, match="full"):
            lane.submit(gate.wait)
        gate.set()
        await asyncio.gather(*held)
        assert await lane.submit(lambda: 1) == 1
        lane.close()

    asyncio.run(main())


def test_an_abandoned_thread_is_replaced_until_the_spares_are_used_up():
    async def main():
        gate = threading.Event()
        lane = ThreadLane(1, spares=2)
        for hung in (1, 2):
            started = asyncio.Event()
            loop = asyncio.get_running_loop()

            def hang(started=started, loop=loop):
                loop.call_soon_threadsafe(started.set)
                gate.wait()

            future = lane.submit(hang)
            await started.wait()
            lane.abandon(future)
            assert future.cancelled()
            assert lane.abandoned == hung
        assert lane.exhausted
        gate.set()
        assert await lane.submit(lambda: "back") == "back"
        while lane.abandoned:
            await asyncio.sleep(0)
        assert not lane.exhausted
        lane.close()

    asyncio.run(main())


def test_a_cancelled_job_that_has_not_started_never_runs():
    async def main():
        gate = threading.Event()
        lane = ThreadLane(1)
        ran = []
        first = lane.submit(gate.wait)
        second = lane.submit(lambda: ran.append(1))
        lane.abandon(second)
        gate.set()
        await first
        assert await lane.submit(lambda: 2) == 2
        assert ran == []
        assert lane.abandoned == 0
        lane.close()

    asyncio.run(main())
