"""Loading from real files: what is in memory, what a new snapshot keeps, and memory that comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.clock import SystemClock
from quorate.codecs.snapshot import MemberRoute, PoolRoute, PoolRun
from quorate.errors import NotReady, Overloaded
from quorate.runtimes.onnx import OnnxSession
from quorate.serving.desired import Desired
from quorate.serving.pool import LoadedPool
from quorate.serving.units import HostUnit
from quorate.telemetry.process import resident_bytes

from .sites import IN, MIB, SIGNATURE, Site


def lazily(*names: str) -> dict[str, PoolRun]:
    return {name: PoolRun(pinned=False) for name in names}


def test_pinned_pools_are_there_at_once_and_others_by_their_first_request(site: Site) -> None:
    pools = [site.pool("a", 0.9), site.pool("b", 0.8)]

    async def main() -> None:
        await site.load(site.routing(1, *pools, runs=lazily("b"), memory_budget=100 * MIB))
        assert site.resident == {"a"}
        assert await site.answer("b") == pytest.approx(0.8)
        assert site.resident == {"a", "b"}

    site.run(main())


def test_without_a_budget_pinned_false_says_nothing(site: Site) -> None:
    site.run(site.load(site.routing(1, site.pool("a"), runs=lazily("a"))))
    assert site.resident == {"a"}


def test_a_new_snapshot_keeps_what_it_does_not_change_and_renews_what_is_used(site: Site) -> None:
    pools = {name: site.pool(name, 0.9) for name in ("same", "new", "unused")}
    settings: dict[str, Any] = {"runs": lazily(*pools), "memory_budget": 100 * MIB}

    async def main() -> None:
        await site.load(site.routing(1, *pools.values(), **settings))
        await site.bring("same")
        await site.bring("new")
        unit = site.named("same").members[0].unit
        changed = [pools["same"], site.pool("new", 0.6), site.pool("unused", 0.6)]
        await site.load(site.routing(2, *changed, **settings))
        assert site.resident == {"same", "new"}
        assert site.named("same").members[0].unit is unit
        assert await site.answer("new") == pytest.approx(0.6)

    site.run(main())


def test_a_snapshot_that_cannot_be_loaded_changes_nothing(site: Site) -> None:
    good, bad = site.pool("a"), site.pool("b")
    broken = PoolRoute(
        "b",
        "classification",
        SIGNATURE,
        (MemberRoute("b-1", 1, "onnx", "0" * 64, {"model.onnx": "0" * 64}, SIGNATURE, IN, "output", []),),
    )

    async def main() -> None:
        await site.load(site.routing(1, good, bad, memory_budget=100 * MIB))
        with pytest.raises(Exception, match=r"(?i)blob|missing|no "):
            await site.load(site.routing(2, good, broken))
        assert site.generation.version == 1
        assert site.loader.residency.budget == 100 * MIB
        assert site.resident == {"a", "b"}

    site.run(main())


def test_what_is_unloaded_is_not_loaded_at_the_start(site: Site) -> None:
    pools = [site.pool(name) for name in "abc"]

    async def main() -> None:
        generation = await site.load(site.routing(1, *pools), Desired(endpoints=("ask-a",), pools=("b",)))
        assert site.resident == {"c"}
        assert [e.unloaded for e in generation.endpoints.values()] == [True, True, False]
        with pytest.raises(NotReady, match="unloaded"):
            await site.bring("b")

    site.run(main())


def test_loading_and_unloading_gives_memory_back(site: Site) -> None:
    """Sixty times eight megabytes come and go: what stays is far less than one of a few cycles."""
    pools = [site.pool(name, mib=8) for name in "abc"]
    budget = 40 * MIB

    async def main() -> None:
        await site.load(site.routing(1, *pools, runs=lazily(*"abc"), memory_budget=budget))
        for _ in range(3):
            for name in "abc":
                await site.bring(name)
        taken = site.loader.residency.taken
        assert 8 * MIB <= taken <= budget
        for name in "abc":
            await site.loader.residency.free(site.named(name))
        before = resident_bytes() or 0
        for cycle in range(60):
            await site.bring("abc"[cycle % 3])
            assert site.loader.residency.taken <= budget
            await site.loader.residency.free(site.named("abc"[cycle % 3]))
        for name in "abc":
            await site.loader.residency.free(site.named(name))
        assert site.resident == set()
        assert (resident_bytes() or 0) - before < 24 * MIB

    site.run(main())


def test_a_pool_that_is_larger_than_the_budget_is_refused(site: Site) -> None:
    async def main() -> None:
        await site.load(site.routing(1, site.pool("a", mib=8), runs=lazily("a"), memory_budget=4 * MIB))
        with pytest.raises(Overloaded, match="raise memory"):
            await site.bring("a")
        assert site.resident == set()

    site.run(main())


# --- processes of their own, and runs of a few rows ---

SOURCE = """
import numpy as np

def predict(input):
    if len(input) > 3:
        raise ValueError(f"{len(input)} rows are too many")
    return np.tile(np.array([0.25, 0.75], np.float32), (len(input), 1))
"""


def callable_pool(site: Site, **options: Any) -> PoolRoute:
    digest = site.blobs.put(SOURCE.encode())
    options = {"entry": "predict", "rows": "together", **options}
    member = MemberRoute("c", 1, "callable", digest, {"c.py": digest}, SIGNATURE, IN, "output", [], options)
    return PoolRoute("p", "classification", SIGNATURE, (member,))


async def ask(pool: LoadedPool, rows: int = 1) -> Any:
    """The member's answer on the batcher's way."""
    unit = pool.members[0].unit
    assert isinstance(unit, HostUnit)
    return await unit.run({"input": np.ones((rows, 4), np.float32)}, until=SystemClock().monotonic() + 60.0, limit=30.0)


async def until(what: Callable[[], bool], pool: LoadedPool) -> None:
    async with asyncio.timeout(60):
        while not what():
            pool.tick()
            await asyncio.sleep(0.05)


def hosts(pool: LoadedPool) -> list[Any]:
    unit = pool.members[0].unit
    assert isinstance(unit, HostUnit)
    return [replica.host for replica in unit.replicas.all]


def replaced(pool: LoadedPool, victim: int) -> bool:
    unit: Any = pool.members[0].unit
    return victim not in pids(pool) and all(replica.usable for replica in unit.replicas.all)


def pids(pool: LoadedPool) -> list[int]:
    return [host.pid for host in hosts(pool) if host.pid is not None]


def test_a_killed_process_is_replaced_and_no_answer_is_lost(site: Site) -> None:
    runs = {"p": PoolRun(replicas={"c": 2}, max_batch_rows={"c": 3})}

    async def main() -> None:
        await site.load(site.routing(1, callable_pool(site, pure=True), runs=runs))
        pool = site.named("p")
        before = pids(pool)
        assert len(set(before)) == 2
        for victim in before:
            os.kill(victim, signal.SIGKILL)
            for _ in range(10):
                assert (await ask(pool))[0, 0, 1] == pytest.approx(0.75)
            await until(partial(replaced, pool, victim), pool)
            assert pool.members[0].available
        assert set(before).isdisjoint(pids(pool))
        assert [host.restarts for host in hosts(pool)] == [1, 1]
        pool.close()
        await until(lambda: not pids(pool), pool)

    site.run(main())


def test_a_straggler_is_answered_by_the_other_process_and_counted(site: Site, tmp_path: Path) -> None:
    flag = tmp_path / "straggle"
    source = f"""
import os, threading
{SOURCE}
def straggling(input):
    try:
        os.unlink({str(flag)!r})  # whoever takes it away is the straggler
    except FileNotFoundError:
        return predict(input)
    threading.Event().wait()
"""
    digest = site.blobs.put(source.encode())
    options = {"entry": "straggling", "pure": True}
    member = MemberRoute("c", 1, "callable", digest, {"c.py": digest}, SIGNATURE, IN, "output", [], options)
    runs = {"p": PoolRun(replicas={"c": 2}, max_batch_rows={"c": 3})}

    async def main() -> None:
        await site.load(site.routing(1, PoolRoute("p", "classification", SIGNATURE, (member,)), runs=runs))
        pool = site.named("p")
        unit: Any = pool.members[0].unit
        pool.batcher(unit)
        for _ in range(2000):
            await ask(pool)
            if unit.replicas.hedging.after_ms(1) is not None and unit.replicas.hedging._tokens >= 1:
                break
        won = site.counters.counter("quorate_hedges_total", member="c", result="won")
        before = won.value
        flag.touch()
        async with asyncio.timeout(60):
            assert (await ask(pool))[0, 0, 1] == pytest.approx(0.75)
        assert not flag.exists()
        assert won.value == before + 1
        assert len(pids(pool)) == 2  # nobody was killed for it
        pool.close()
        await until(lambda: not pids(pool), pool)

    site.run(main())


def test_more_replicas_come_with_a_snapshot_and_runs_stay_small(site: Site) -> None:
    route = callable_pool(site)
    rows = {"c": 3}

    async def main() -> None:
        await site.load(site.routing(1, route, runs={"p": PoolRun(max_batch_rows=rows)}))
        one = site.named("p")
        assert one.members[0].available  # it was measured with sixteen rows
        assert (await ask(one, 7)).shape == (7, 1, 2)
        await site.load(site.routing(2, route, runs={"p": PoolRun(replicas={"c": 2}, max_batch_rows=rows)}))
        two = site.named("p")
        assert two is not one
        assert len(pids(two)) == 2
        await until(lambda: not pids(one), one)
        await site.load(site.routing(3, route, runs={"p": PoolRun(False, replicas={"c": 2}, max_batch_rows=rows)}))
        assert site.named("p") is two  # whether it is pinned is no matter of its processes
        two.close()
        await until(lambda: not pids(two), two)

    site.run(main())


def test_what_runs_in_the_worker_is_given_no_more_rows_either(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    real = OnnxSession.run

    def counting(self: Any, inputs: Any) -> Any:
        given.append(len(inputs["input"]))
        return real(self, inputs)

    monkeypatch.setattr(OnnxSession, "run", counting)

    async def main() -> None:
        await site.load(site.routing(1, site.pool("a", 0.75), runs={"a": PoolRun(max_batch_rows={"a-1": 3})}))
        unit: Any = site.named("a").members[0].unit
        assert unit.max_rows == 3
        assert unit.run({"input": np.ones((7, 4), np.float32)}).shape == (7, 1, 2)

    site.run(main())
    assert max(given) == 3
    assert given[-3:] == [3, 3, 1]
