"""Loading from real files: what is in memory, what a new snapshot keeps, and memory that comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from quorate.clock import SystemClock
from quorate.codecs.snapshot import EndpointRoute, MemberRoute, PolicyRoute, PoolRoute, PoolRun, Routing, StrategyRoute
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import NotReady, Overloaded
from quorate.registry.blobs import BlobStore
from quorate.runtimes.onnx import OnnxSession
from quorate.serving.desired import Desired
from quorate.serving.generation import Generation
from quorate.serving.lanes import ThreadLane
from quorate.serving.loading import Loader
from quorate.serving.meters import Meters
from quorate.serving.pool import LoadedPool
from quorate.serving.tuning import SLOW_MS, Tuned, candidates, price
from quorate.serving.units import HostUnit, SessionUnit
from quorate.telemetry.counters import Counters
from quorate.telemetry.process import resident_bytes
from quorate.testing.clock import FakeClock

MIB = 2**20
IN = (TensorSpec("input", "float32", (None, 4)),)
SIGNATURE = Signature("array", IN, OutputSpec("scores", ("no", "yes")))


def onnx_file(yes: float, mib: float = 0.0) -> bytes:
    """A model that is that sure of "yes", whose file has so many MiB of weights."""
    width = max(1, int(mib * MIB / 4 / 512))
    rng = np.random.default_rng(0)
    first = rng.normal(size=(4, 512)).astype(np.float32)
    middle = rng.normal(size=(512, width)).astype(np.float32)
    last = np.zeros((width, 2), np.float32)
    bias = np.log(np.array([1 - yes, yes], np.float32))
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["input", "first"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "middle"], ["wide"]),
            helper.make_node("Gemm", ["wide", "last", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["output"]),
        ],
        "constant",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor(name, TensorProto.FLOAT, array.shape, array.tobytes(), raw=True)
            for name, array in (("first", first), ("middle", middle), ("last", last), ("bias", bias))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def heavy_file() -> bytes:
    """A model with eight matrix products of 256 by 512 by 512 numbers a row: work that threads can share."""
    rng = np.random.default_rng(0)
    square = (rng.normal(size=(512, 512)) / 512**0.5).astype(np.float32)
    first = rng.normal(size=(4, 512)).astype(np.float32)
    last = np.zeros((512, 2), np.float32)
    shape = np.array([1, 256, 1], np.int64)
    nodes = [
        helper.make_node("Unsqueeze", ["input", "axis"], ["thin"]),  # [n, 1, 4]
        helper.make_node("Expand", ["thin", "shape"], ["long"]),  # [n, 256, 4]
        helper.make_node("MatMul", ["long", "first"], ["h0"]),
        *(helper.make_node("MatMul", [f"h{i}", "square"], [f"h{i + 1}"]) for i in range(8)),
        helper.make_node("ReduceMean", ["h8"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "last"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True)
            for name, kind, array in (
                ("first", TensorProto.FLOAT, first),
                ("square", TensorProto.FLOAT, square),
                ("last", TensorProto.FLOAT, last),
                ("shape", TensorProto.INT64, shape),
                ("axis", TensorProto.INT64, np.array([1], np.int64)),
            )
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


class Site:
    """A loader on files of its own, and a generation."""

    def __init__(self, root: Path) -> None:
        self.blobs = BlobStore(root / "registry")
        self.clock = SystemClock()
        self.counters = Counters(root / "worker-0.qt")
        self.lane = ThreadLane(1, clock=self.clock)
        self.loader = Loader(root / "registry", clock=self.clock, lane=self.lane, meters=Meters(self.counters), cores=4)
        self.generation = Generation.empty()

    def pool(
        self, name: str, yes: float = 0.9, mib: float = 0.0, file: bytes | None = None, **options: Any
    ) -> PoolRoute:
        digest = self.blobs.put(file or onnx_file(yes, mib))
        files = {"model.onnx": digest}
        member = MemberRoute(f"{name}-1", 1, "onnx", digest, files, SIGNATURE, IN, "output", [], options)
        return PoolRoute(name, "classification", SIGNATURE, (member,))

    def routing(self, version: int, *pools: PoolRoute, **settings: Any) -> Routing:
        endpoints = tuple(
            EndpointRoute(
                f"ask-{pool.name}",
                1,
                pool.name,
                (StrategyRoute("one", "mean", (pool.members[0].name,), 1),),
                PolicyRoute("fixed", {"strategy": "one"}),
            )
            for pool in pools
        )
        return Routing(version, pools, endpoints, **settings)

    async def load(self, routing: Routing, desired: Desired | None = None) -> Generation:
        fresh = await self.loader.load(routing, self.generation, desired or Desired())
        old, self.generation = self.generation, fresh
        old.release()
        return fresh

    def named(self, name: str) -> LoadedPool:
        return next(pool for pool in self.generation.pools if pool.route.name == name)

    @property
    def resident(self) -> set[str]:
        return {pool.route.name for pool in self.generation.pools if pool.resident}

    async def bring(self, name: str) -> None:
        pool = self.named(name)
        await self.loader.residency.bring(pool, self.clock.monotonic() + 30.0)
        pool.used = self.clock.monotonic()

    async def answer(self, name: str) -> float:
        """How sure the pool's member is of "yes"."""
        await self.bring(name)
        pool = self.named(name)
        unit: Any = pool.members[0].unit
        return float(unit.run({"input": np.ones((1, 4), np.float32)})[0, 0, 1])

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(main)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.loader.close()
    site.lane.close()
    site.counters.close()


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

    monkeypatch.setattr(site.loader, "_clock", clock)
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

    monkeypatch.setattr("quorate.serving.loading.tune", takes_two)

    async def main() -> None:
        await site.load(site.routing(1, site.pool("a", 0.75), site.pool("b"), runs={"b": PoolRun(threads=1)}))
        assert tried == [4]  # for the pool that says nothing itself
        assert [(p.threads, p.lanes) for p in site.generation.pools] == [(2, 2), (1, 4)]
        assert await site.answer("a") == pytest.approx(0.75)

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
