"""Several processes of one member: who runs what, second tries, deaths; in the time of a fake clock."""

import asyncio
import dataclasses
from math import inf

import numpy as np
import pytest

from quorate.errors import MemberCrashed
from quorate.serving.breaker import Circuit
from quorate.serving.cost import Cost
from quorate.serving.feed import Feed
from quorate.serving.hedging import CLEARLY, SHARE
from quorate.serving.units import HostUnit

MS = 0.001
USUAL = 10 * MS
POISON = -1.0


class Member:
    """A member with some processes that usually take 10 ms, in a pool that a worker looks after."""

    def __init__(self, house, replicas=2):
        self.house = house
        self.hedged = []
        self.pool = house.pool(a=house.hosted(0.9, USUAL, replicas), b=house.inline(0.9))
        self.pool._on_hedge = lambda member, won: self.hedged.append((member, won))
        self.member = self.pool.members[0]
        self.unit = self.member.unit
        self.unit.measured(Cost(USUAL / MS, 0.0))
        self.batcher = self.pool.batcher(self.unit)
        self.hosts = [replica.host for replica in self.unit.replicas.all]

    async def practise(self, runs=40):
        """Runs as they usually are."""
        for _ in range(runs):
            await self.ask()

    async def ask(self, within=inf, limit=0.5, rows=1):
        """Seconds that one request took."""
        started = self.house.clock.monotonic()
        await self.submit([0.0] * rows, within, limit).future
        return self.house.clock.monotonic() - started

    def submit(self, rows, within=inf, limit=0.5):
        feed = Feed({"input": np.array([[row, 0.0] for row in rows], np.float32)}, len(rows), "instances")
        until = self.house.clock.monotonic() + within
        return self.batcher.submit(feed, until=until, fault_after=limit, owner="e", bulk=False)

    async def look_after(self, seconds):
        for _ in range(round(seconds / 0.1)):
            self.pool.tick()
            await asyncio.sleep(0.1)

    @property
    def kills(self):
        return [host.kills for host in self.hosts]

    @property
    def runs(self):
        return [host.runs for host in self.hosts]


@pytest.fixture
def member(house):
    return Member(house)


# --- who runs what ---


def test_runs_go_side_by_side_and_one_waits_ahead(member, house):
    async def main():
        started = house.clock.monotonic()
        works = [member.submit([float(i)]) for i in range(2)]
        await asyncio.gather(*(work.future for work in works))
        assert house.clock.monotonic() - started == pytest.approx(USUAL)
        assert member.runs == [1, 1]
        works = [member.submit([0.0]) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sorted(host.in_flight for host in member.hosts) == [1, 2]
        await asyncio.gather(*(work.future for work in works))

    house.run(main())


def test_the_least_busy_process_gets_the_run(member, house):
    async def main():
        member.hosts[0].delay = 1.0
        slow = member.submit([0.0])
        await asyncio.sleep(0.1)
        for _ in range(5):
            assert await member.ask() == pytest.approx(USUAL)
        assert member.runs == [1, 5]
        await slow.future

    house.run(main())


def test_one_process_is_as_before(house):
    member = Member(house, replicas=1)

    async def main():
        await member.practise()
        member.hosts[0].delay = 0.1
        assert await member.ask() == pytest.approx(0.1)

    house.run(main())
    assert member.hedged == []
    assert member.unit.width == 2


# --- stragglers ---


def test_a_straggler_is_tried_elsewhere_and_the_first_answer_counts(member, house):
    async def main():
        await member.practise()
        member.hosts[0].delay = 0.3
        assert await member.ask() == pytest.approx((1 + CLEARLY) * USUAL, rel=0.01)
        assert member.hedged == [("a", True)]
        await member.look_after(0.5)

    house.run(main())
    assert member.kills == [0, 0]
    assert house.faults == []
    assert member.member.available


def test_the_first_try_may_come_first_after_all(member, house):
    async def main():
        await member.practise()
        member.hosts[0].delay, member.hosts[1].delay = 15 * MS, 0.1
        assert await member.ask() == pytest.approx(15 * MS)
        assert member.hedged == [("a", False)]

    house.run(main())
    assert house.faults == []


def test_a_second_try_that_fails_leaves_the_first_its_time(member, house):
    async def main():
        await member.practise()
        member.hosts[0].delay = 0.1
        member.hosts[1].answer = house.raises(MemberCrashed("no."))
        assert await member.ask() == pytest.approx(0.1)
        assert member.hedged == [("a", False)]

    house.run(main())
    assert house.faults == [("a", "member_crashed")]  # that was no straggler


def test_a_straggler_that_hangs_is_killed_alone_and_restarted(member, house):
    async def main():
        await member.practise()
        member.hosts[0].delay = house.HANG
        assert await member.ask(limit=0.3) == pytest.approx((1 + CLEARLY) * USUAL, rel=0.01)
        await member.look_after(0.2)
        assert member.kills == [0, 0]
        await member.look_after(0.3)
        assert member.kills == [1, 0]
        assert member.member.available
        member.hosts[0].delay = USUAL
        await member.look_after(1.0)
        assert member.hosts[0].restarts == 1
        assert all(replica.usable for replica in member.unit.replicas.all)

    house.run(main())
    assert house.faults == []


@pytest.mark.parametrize("why", ["busy", "too late", "spent", "dead", "unknown"])
def test_no_second_try_where_there(member, house, why):
    async def main():
        if why != "unknown":
            await member.practise()
        within, first = inf, member.hosts[0]
        if why == "busy":
            member.hosts[1].delay = 1.0
            occupied = member.submit([0.0])  # goes to the first, which is quick
            await occupied.future
            first.delay = 0.5
            other = member.submit([0.0])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert [host.in_flight for host in member.hosts] == [1, 0]
            also = member.submit([0.0])
            assert await member.ask() > 0
            await asyncio.gather(other.future, also.future)
            assert member.hedged == []
            return
        first.delay = 0.1
        if why == "too late":
            within = 15 * MS
        if why == "dead":
            member.hosts[1].kill()
        if why == "spent":
            while member.unit.replicas.hedging.take():
                pass
        if why == "too late":
            work = member.submit([0.0], within)
            await asyncio.sleep(0.2)
            assert work.future.done()
        else:
            assert await member.ask(within) == pytest.approx(0.1)
        assert member.hedged == []

    house.run(main())


def test_everything_slow_gets_no_more_second_tries_than_their_share(member, house):
    async def main():
        await member.practise()
        before = sum(member.runs)
        for host in member.hosts:
            host.delay = 10 * USUAL
        for _ in range(100):
            await member.ask()
        assert sum(member.runs) - before <= 100 * (1 + SHARE) + 2  # and what was saved up before

    house.run(main())


def test_who_leaves_takes_both_tries_along(member, house):
    async def main():
        await member.practise()
        member.hosts[0].delay = member.hosts[1].delay = house.HANG
        work = member.submit([0.0])
        await asyncio.sleep(0.1)
        assert [host.in_flight for host in member.hosts] == [1, 1]
        work.future.cancel()
        member.batcher.left(work)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [host.in_flight for host in member.hosts] == [0, 0]

    house.run(main())
    assert member.hedged == [("a", False)]


# --- deaths ---


async def dies_under(member, work, host=0):
    await asyncio.sleep(USUAL / 2)
    member.hosts[host].kill()
    return await asyncio.wait_for(work.future, 10)


def test_a_run_whose_process_dies_is_tried_elsewhere(member, house):
    async def main():
        await dies_under(member, member.submit([0.0]))
        assert member.member.available
        await member.look_after(1.0)
        assert all(replica.usable for replica in member.unit.replicas.all)

    house.run(main())
    assert member.runs[1] >= 1
    assert house.faults == [("a", "member_crashed")]
    assert [host.restarts for host in member.hosts] == [1, 0]


def test_not_where_it_may_do_more_than_answer(member, house):
    artifact = dataclasses.replace(member.member.artifact, format="callable")
    member.unit.replicas.pure = HostUnit(0, 0, artifact, *member.hosts).replicas.pure

    async def main():
        with pytest.raises(MemberCrashed):
            await dies_under(member, member.submit([0.0]))

    house.run(main())
    assert member.runs == [1, 0]


def test_a_callable_is_pure_if_it_says_so(member):
    for format, options, pure in [("callable", {}, False), ("callable", {"pure": True}, True), ("skops", {}, True)]:
        artifact = dataclasses.replace(member.member.artifact, format=format, options=options)
        assert HostUnit(0, 0, artifact, *member.hosts).replicas.pure is pure


def test_not_where_it_would_come_too_late(member, house):
    async def main():
        with pytest.raises(MemberCrashed):
            await dies_under(member, member.submit([0.0], within=12 * MS))

    house.run(main())
    assert member.runs == [1, 0]


def test_an_error_is_an_answer_and_not_tried_again(member, house):
    for host in member.hosts:
        host.answer = house.raises(MemberCrashed("no."))

    async def main():
        with pytest.raises(MemberCrashed):
            await member.submit([0.0]).future

    house.run(main())
    assert member.runs == [1, 0]


def test_a_run_waits_for_a_process_that_is_back_in_time(member, house):
    async def main():
        work = member.submit([0.0], within=2.0)
        member.hosts[1].kill()
        await asyncio.sleep(USUAL / 2)
        member.hosts[0].kill()
        await member.look_after(1.0)
        assert work.future.done()
        await work.future
        assert not member.member.available  # until its own probe, as any member that had no process

    house.run(main())
    assert house.faults[0] == ("a", "member_crashed")


def test_two_tries_at_most(house):
    member = Member(house, replicas=3)

    async def main():
        work = member.submit([0.0])
        for host in (0, 1):
            await asyncio.sleep(USUAL / 2)
            member.hosts[host].kill()
        with pytest.raises(MemberCrashed):
            await work.future

    house.run(main())
    assert member.runs == [1, 1, 0]
    assert member.kills == [1, 1, 0]


def lethal(house, host):
    """Answers its rows, unless one of them kills the process."""

    def answer(tensors):
        if (tensors["input"][:, 0] == POISON).any():
            host.kill()
            raise MemberCrashed("it died.")
        return house.says(0.9)(tensors)

    return answer


@pytest.mark.parametrize("replicas", [2, 3])
@pytest.mark.parametrize("position", range(4))
def test_what_kills_processes_is_alone_in_the_end(house, replicas, position):
    member = Member(house, replicas)
    for host in member.hosts:
        host.answer = lethal(house, host)

    async def main():
        keeping = asyncio.ensure_future(member.look_after(20.0))
        blocking = [member.submit([0.0]) for _ in range(replicas + 1)]
        rows = [0.0] * 4
        rows[position] = POISON
        works = [member.submit([row], within=15.0, limit=10.0) for row in rows]
        await asyncio.gather(*(work.future for work in blocking))
        results = await asyncio.gather(*(work.future for work in works), return_exceptions=True)
        assert [isinstance(result, MemberCrashed) for result in results] == [row == POISON for row in rows]
        await keeping
        assert all(replica.usable for replica in member.unit.replicas.all)

    house.run(main())
    assert sum(member.kills) <= 4  # the run, its second try, its half, and it alone


def test_the_circuit_sees_what_kills_every_process(member, house):
    for host in member.hosts:
        host.answer = lethal(house, host)

    async def main():
        execution = house.execution(member.pool)
        execution._feed.raw["input"][:] = POISON
        await house.rush(execution, [0])
        return execution

    assert house.run(main()).runs()[0].reason == "member_crashed"
    assert house.faults == [("a", "member_crashed")]
    assert member.member.breaker.state is Circuit.OPEN


def test_a_process_that_keeps_dying_is_restarted_ever_more_rarely(member, house):
    async def main():
        host = member.hosts[1]
        host.kill()
        for _ in range(100):
            await member.look_after(0.3)
            host.kill()
        assert host.restarts < 20
        assert member.member.available

    house.run(main())


# --- probes ---


def test_a_check_passes_with_one_good_process_and_the_other_is_killed(member, house):
    member.hosts[1].answer = lambda tensors: np.full((len(tensors["input"]), 2), np.nan, np.float32)

    async def main():
        await member.pool.check(member.unit)
        assert member.kills == [0, 1]
        member.hosts[0].answer = member.hosts[1].answer
        with pytest.raises(Exception, match="held-out rows"):
            await member.pool.check(member.unit)

    house.run(main())


def test_closing_kills_every_process(member):
    member.pool.close()
    assert member.kills == [1, 1]
