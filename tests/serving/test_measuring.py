"""Warm-up on real files: threads and lanes are measured, or as was said."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.codecs.snapshot import PoolRun
from quorate.serving.tuning import SLOW_MS, Tuned, candidates, price
from quorate.serving.units import SessionUnit
from quorate.testing.clock import FakeClock

from .sites import Site, heavy_file


def test_threads_and_lanes_can_be_said(site: Site) -> None:
    runs = {"a": PoolRun(threads=2, lanes=3), "b": PoolRun(threads=3)}

    async def main() -> None:
        await site.load(site.routing(1, *(site.pool(name) for name in "abc"), runs=runs))
        assert [(p.threads, p.lanes) for p in site.generation.pools] == [(2, 3), (3, 1), (1, 4)]  # of four cores
        unit = site.named("a").members[0].unit
        await site.load(site.routing(2, *(site.pool(name) for name in "abc"), runs={"a": PoolRun(lanes=1)}))
        assert site.named("a").lanes == 1
        assert site.named("a").members[0].unit is not unit  # it has another number of threads now

    site.run(main())


def threads_of(unit: Any) -> int:
    """What ONNX Runtime was told when the unit's session was opened."""
    return int(unit._session._session.get_session_options().intra_op_num_threads)


@pytest.mark.parametrize(
    ("times", "threads", "tried"),
    [
        ({1: 20.0, 2: 11.0, 4: 6.0}, 4, [1, 2, 4]),  # every doubling pays
        ({1: 20.0, 2: 11.0, 4: 9.0}, 2, [1, 2, 4]),  # the second does not
        ({1: 20.0, 2: 18.0, 4: 1.0}, 1, [1, 2]),  # nor does the first, and no more are tried
        ({1: 4.0, 2: 1.0, 4: 1.0}, 1, [1]),  # quick enough
    ],
)
def test_the_threads_that_a_timer_finds_fastest_run_the_graph(
    site: Site, monkeypatch: pytest.MonkeyPatch, times: dict[int, float], threads: int, tried: list[int]
) -> None:
    clock, run = FakeClock(), SessionUnit.run

    def timed(unit: Any, tensors: Any) -> Any:
        clock.advance(times[threads_of(unit)] / 1000)
        return run(unit, tensors)

    monkeypatch.setattr(site.loader._measurer, "_clock", clock)
    monkeypatch.setattr(SessionUnit, "run", timed)

    async def main() -> None:
        await site.load(site.routing(1, site.pool("a", 0.75)))
        pool = site.named("a")
        assert (pool.threads, threads_of(pool.members[0].unit), pool.lanes) == (threads, threads, 4 // threads)
        assert pool.tried == pytest.approx({number: times[number] for number in tried})
        assert await site.answer("a") == pytest.approx(0.75)

    site.run(main())


def test_real_graphs_get_the_threads_that_were_measured_to_pay(site: Site) -> None:
    """What the machine is doing meanwhile may change the times; what follows from them holds in any case."""

    async def main() -> None:
        await site.load(site.routing(1, site.pool("heavy", file=heavy_file()), site.pool("tiny")))
        for name, sure in (("heavy", 0.5), ("tiny", 0.9)):
            pool = site.named(name)
            tried = list(pool.tried)
            assert tried == candidates(4)[: len(tried)]
            assert (tried == [1]) == (pool.tried[1] < SLOW_MS)
            assert pool.threads == min(tried, key=lambda n: (price(n, pool.tried[n]), -n))
            assert threads_of(pool.members[0].unit) == pool.threads
            assert pool.lanes == 4 // pool.threads
            assert await site.answer(name) == pytest.approx(sure)

    site.run(main())


def test_a_member_s_own_threads_are_kept_and_leave_so_many_lanes(site: Site) -> None:
    async def main() -> None:
        await site.load(site.routing(1, site.pool("a", intra_op_threads=2), site.pool("b")))
        pools = site.generation.pools
        assert [(p.threads, p.lanes, threads_of(p.members[0].unit)) for p in pools] == [(2, 2, 2), (1, 4, 1)]
        assert (site.named("a").tried, list(site.named("b").tried)) == ({}, [1])  # nothing was to be chosen

    site.run(main())


def test_more_threads_are_tried_and_the_unit_that_is_chosen_answers(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def takes_two(unit: Any, reopen: Any, cost: Any, cores: int) -> Any:
        tried.append(cores)
        other = reopen(2)
        assert other is not unit
        unit.close()
        return Tuned(other, cost(other), 2, {1: 9.0, 2: 5.0})

    monkeypatch.setattr("quorate.serving.measuring.tune", takes_two)

    async def main() -> None:
        await site.load(site.routing(1, site.pool("a", 0.75), site.pool("b"), runs={"b": PoolRun(threads=1)}))
        assert tried == [4]  # for the pool that says nothing itself
        assert [(p.threads, p.lanes) for p in site.generation.pools] == [(2, 2), (1, 4)]
        assert await site.answer("a") == pytest.approx(0.75)

    site.run(main())
