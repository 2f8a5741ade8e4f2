"""Residency on fakes: who is loaded, who goes, who waits and what is refused, in a fake clock's time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from quorate.codecs.snapshot import StrategyRoute
from quorate.errors import IntegrityError, NotReady, Overloaded
from quorate.serving.residency import Residency
from quorate.telemetry.counters import read

MIB = 2**20


class Store:
    """Pools of given sizes that are not in memory; ``loads`` and ``outs`` are what happened, in order."""

    def __init__(self, house: Any, budget: int | None, **sizes: int) -> None:
        self.house = house
        self.sizes = sizes
        self.loads: list[str] = []
        self.outs: list[str] = []
        self.seconds = 0.01
        self.error: Exception | None = None
        self.closed: list[Any] = []
        self.residency = Residency(clock=house.clock, fill=self._fill, discard=self._discard)
        self.residency.budget = None if budget is None else budget * MIB
        self.pools = {name: self._shell(name) for name in sizes}
        house.plane._residency = self.residency

    def _loaded(self, name: str) -> Any:
        pool = self.house.pool(**{name: self.house.inline(0.9)})
        pool.footprint = self.sizes[name] * MIB
        return pool

    def _shell(self, name: str) -> Any:
        pool = self._loaded(name)
        pool.vacate()
        pool.footprint = 0
        pool.pinned = False
        return pool

    def name(self, pool: Any) -> str:
        return str(pool.members[0].name)

    async def _fill(self, pool: Any, strict: bool) -> Any:
        self.loads.append(self.name(pool))
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return self._loaded(self.name(pool))

    async def _discard(self, units: Any) -> None:
        self.closed += units

    async def use(self, name: str, within: float = 1.0) -> None:
        pool = self.pools[name]
        await self.residency.bring(pool, self.house.clock.monotonic() + within)
        pool.used = self.house.clock.monotonic()
        self.house.clock.advance(0.001)

    @property
    def resident(self) -> set[str]:
        return {name for name, pool in self.pools.items() if pool.resident}


def test_the_least_recently_used_goes(house: Any) -> None:
    store = Store(house, 10, a=4, b=4, c=4)

    async def main() -> None:
        for name in ("a", "b"):
            await store.use(name)
        store.pools["a"].used = house.clock.monotonic()
        await store.use("c")

    house.run(main())
    assert store.resident == {"a", "c"}
    assert len(store.closed) == 1
    assert store.residency.taken == 8 * MIB


def test_without_a_budget_nothing_goes(house: Any) -> None:
    store = Store(house, None, a=400, b=400, c=400)

    async def main() -> None:
        for name in "abc":
            await store.use(name)

    house.run(main())
    assert store.resident == {"a", "b", "c"}


@pytest.mark.parametrize("budget", [None, 10])
def test_a_pool_that_was_closed_is_let_go_by_the_next_load(house: Any, budget: int | None) -> None:
    store = Store(house, budget, a=4, b=4)
    gone = weakref.ref(store.pools["a"])

    async def main() -> None:
        await store.use("a")
        store.pools.pop("a").close()
        await store.use("b")

    house.run(main())
    gc.collect()
    assert gone() is None


def test_many_requests_share_one_load(house: Any) -> None:
    store = Store(house, 10, a=4)

    async def main() -> None:
        await asyncio.gather(*(store.use("a") for _ in range(20)))

    house.run(main())
    assert store.loads == ["a"]
    assert store.pools["a"].requests == 0


def test_what_requests_run_stays_and_the_next_waits_for_them(house: Any) -> None:
    store = Store(house, 5, a=4, b=4)

    async def main() -> None:
        await store.use("a")
        store.pools["a"].requests += 1
        asking = asyncio.ensure_future(store.use("b"))
        await asyncio.sleep(0.1)
        assert store.resident == {"a"}
        assert store.residency.crowded
        store.pools["a"].requests -= 1
        store.residency.idle()
        await asking

    house.run(main())
    assert store.resident == {"b"}
    assert not store.residency.crowded


def test_who_finds_no_room_in_time_is_shed_and_the_load_ends(house: Any) -> None:
    store = Store(house, 5, a=4, b=4)
    store.pools["b"].footprint = 4 * MIB

    async def main() -> None:
        await store.use("a")
        store.pools["a"].requests += 1
        with pytest.raises(Overloaded, match="no room"):
            await store.use("b", within=0.2)
        await asyncio.sleep(0.1)  # nobody waits any more: the line is free again
        assert not store.residency.crowded
        store.pools["a"].requests -= 1
        await store.use("b")

    house.run(main())
    assert store.loads == ["a", "b"]
    assert store.resident == {"b"}


def test_what_cannot_fit_beside_the_pinned_is_refused_and_then_known(house: Any) -> None:
    store = Store(house, 10, a=6, b=5)
    store.pools["a"].pinned = True

    async def main() -> None:
        await store.residency.hold(store.pools["a"], strict=True)
        for _ in range(2):
            with pytest.raises(Overloaded, match=r"takes 5\.0 MiB of memory and 4\.0 MiB"):
                await store.use("b")

    house.run(main())
    assert store.loads == ["a", "b"]  # measured once, not loaded again in vain
    assert store.resident == {"a"}
    assert len(store.closed) == 1


def test_a_slow_load_goes_on_after_the_deadline(house: Any) -> None:
    store = Store(house, 10, a=4)
    store.seconds = 3.0

    async def main() -> None:
        with pytest.raises(NotReady, match="being loaded") as late:
            await store.use("a", within=1.0)
        assert late.value.retry_after == 1.0
        await asyncio.sleep(3.0)
        await store.use("a", within=0.001)
        await store.residency.free(store.pools["a"])
        with pytest.raises(NotReady) as late:
            await store.use("a", within=1.0)
        assert late.value.retry_after == pytest.approx(3.0, abs=0.1)

    house.run(main())
    assert store.loads == ["a", "a"]


def test_a_load_that_fails_is_told_and_tried_again(house: Any) -> None:
    store = Store(house, 10, a=4)

    async def main() -> None:
        store.error = IntegrityError("The file is damaged")
        with pytest.raises(NotReady, match="damaged") as failed:
            await store.use("a")
        assert failed.value.retry_after == 5.0
        store.error = None
        await store.use("a")

    house.run(main())
    assert store.resident == {"a"}


def test_a_pool_that_was_unloaded_meanwhile_is_given_back(house: Any) -> None:
    store = Store(house, 10, a=4)

    async def main() -> None:
        asking = asyncio.ensure_future(store.use("a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        store.pools["a"].unloaded = True
        with pytest.raises(NotReady, match="unloaded"):
            await asking
        with pytest.raises(NotReady, match="unloaded"):
            await store.use("a")

    house.run(main())
    assert store.resident == set()
    assert len(store.closed) == 1


def test_the_plane_loads_what_a_request_needs_and_counts_what_it_sheds(house: Any, tmp_path: Path) -> None:
    store = Store(house, 5, a=4, b=9)
    one = StrategyRoute("one", "single", ("a",), 1)
    endpoint = house.endpoint(store.pools["a"], [one])
    assert house.predict(endpoint).answer[0].tolist() == pytest.approx([0.1, 0.9])
    assert store.pools["a"].requests == 0
    too_large = house.endpoint(store.pools["b"], [StrategyRoute("one", "single", ("b",), 1)])
    with pytest.raises(Overloaded):
        house.predict(too_large)
    series, _ = read(tmp_path / "worker-0.qt")
    shed = {labels["reason"]: cells[0] for name, labels, cells in series if name == "quorate_shed_total"}
    assert shed["memory"] == 1
    endpoint.unloaded = True
    with pytest.raises(NotReady, match="/v2/repository/models/main/load"):
        house.predict(endpoint)
