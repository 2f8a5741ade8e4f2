"""Probes of members whose circuits are open, by held-out rows."""

import asyncio
import threading

import numpy as np
import pytest

from quorate.errors import IntegrityError, MemberCrashed, MemberTimeout, SignatureViolation
from quorate.serving.breaker import Circuit

TICKS = 10


async def tick(house, pool, seconds):
    """Let time pass the way a worker does, with probes getting their turns."""
    for _ in range(int(seconds * TICKS)):
        pool.tick()
        await asyncio.sleep(1 / TICKS)


def test_the_circuit_opens_after_repeated_faults_and_a_probe_closes_it(house):
    pool = house.pool(a=house.inline(house.raises(MemberCrashed("no."))))
    member = pool.members[0]

    async def main():
        for _ in range(member.breaker.threshold):
            assert member.available
            await house.rush(house.execution(pool), [0])
        assert not member.available
        await tick(house, pool, 1.5)
        assert not member.available  # the probe failed too
        member.unit.answer = house.says(0.9)
        await tick(house, pool, 3.0)
        assert member.available

    house.run(main())
    assert len(house.faults) == member.breaker.threshold  # probes are nobody's request


def test_a_dead_process_opens_its_circuit_at_once_and_the_probe_restarts_it(house):
    pool = house.pool(a=house.hosted(0.9, 0.01), b=house.inline(0.9))
    host = pool.members[0].unit.host

    async def main():
        host.kill()
        pool.tick()
        assert [member.available for member in pool.members] == [False, True]
        await tick(house, pool, 1.5)
        assert pool.members[0].available
        assert host.restarts == 1

    house.run(main())


def test_a_process_that_hangs_in_its_probe_is_killed_and_restarted_by_the_next(house):
    pool = house.pool(a=house.hosted(0.9, house.HANG))
    member = pool.members[0]

    async def main():
        member.breaker.trip()
        # A real host gives up on a run by its own timeout; the fake leaves that to the test.
        host = member.unit.host
        real = host.run
        host.run = lambda inputs, timeout: asyncio.wait_for(real(inputs), timeout)
        await tick(house, pool, 7.0)
        assert host.kills == 1
        host.delay = 0.01
        await tick(house, pool, 3.0)
        assert host.restarts == 1
        assert member.available

    house.run(main())


def test_an_absent_member_is_loaded_by_its_probe(house):
    attempts = []

    def load():
        attempts.append(1)
        if len(attempts) == 1:
            raise IntegrityError("corrupted.")
        return house.inline(0.9)(0, pool.members[0].artifact)

    pool = house.pool(a=house.absent(load))
    pool.members[0].breaker.trip()

    async def main():
        await tick(house, pool, 4.0)
        assert pool.members[0].available
        execution = house.execution(pool)
        execution.start_apart([0])
        await execution.wait(1000.0, [0])
        assert execution.runs()[0].reason is None

    house.run(main())
    assert len(attempts) == 2


def test_a_graph_is_probed_too(house):
    answers = {"a": house.says(0.9)}

    def graph(tensors):
        return {name: answer(tensors) for name, answer in answers.items()}

    pool = house.pool(graph, ("a",), a=house.inline(0.9))
    pool.graph_breaker.trip()

    async def main():
        await tick(house, pool, 1.5)

    house.run(main())
    assert pool.graph_breaker.state is Circuit.CLOSED


def test_check_says_what_is_wrong(house):
    pool = house.pool(a=house.inline(lambda t: np.full((3, 2), np.nan, np.float32)), b=house.inline(lambda t: None))

    async def main():
        with pytest.raises(SignatureViolation, match="held-out rows"):
            await pool.check(pool.members[0].unit)
        with pytest.raises(SignatureViolation, match="must answer"):
            await pool.check(pool.members[1].unit)

    asyncio.run(main())


def test_check_gives_a_hung_thread_up(house, monkeypatch):
    monkeypatch.setattr("quorate.serving.probing.PROBE_TIMEOUT", 0.01)
    gate = threading.Event()
    pool = house.pool(a=house.inline(lambda t: gate.wait()))

    async def main():
        with pytest.raises(MemberTimeout, match="'a'"):
            await pool.check(pool.members[0].unit)
        gate.set()

    asyncio.run(main())


def test_closing_ends_the_probes(house):
    pool = house.pool(a=house.hosted(0.9, house.HANG))
    pool.members[0].breaker.trip()

    async def main():
        pool.acquire()
        await tick(house, pool, 1.5)
        assert pool.members[0].breaker.state is Circuit.HALF_OPEN
        pool.release()
        await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == 1
        assert pool.members[0].breaker.state is Circuit.HALF_OPEN

    house.run(main())
