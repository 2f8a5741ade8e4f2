"""A serving plane without processes, files and waiting: fake members on an event loop whose time is a fake clock's."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.codecs import decision as decision_codec
from quorate.codecs.journal import RecordKind
from quorate.codecs.snapshot import EndpointRoute, MemberRoute, PolicyRoute, PoolRoute, StrategyRoute
from quorate.core.types import Artifact, Decision, FloatArray, OutputSpec, Signature, State, Tensors, TensorSpec
from quorate.errors import MemberCrashed, Overloaded
from quorate.ids import IdSource
from quorate.preprocess.pipeline import Pipeline
from quorate.runtimes.signature import as_answer
from quorate.serving.breaker import Breaker
from quorate.serving.call import Call
from quorate.serving.cost import Cost
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.entry import JournalCounters
from quorate.serving.execution import Execution
from quorate.serving.feed import Feed
from quorate.serving.lanes import ThreadLane
from quorate.serving.member import LoadedMember
from quorate.serving.meters import Meters
from quorate.serving.plane import Plane
from quorate.serving.pool import LoadedPool
from quorate.serving.units import AbsentUnit, GraphUnit, HostUnit, InProcessUnit, Unit
from quorate.telemetry.counters import Counters
from quorate.testing.clock import FakeClock

from .sites import Site

CLASSES = ("no", "yes")
INPUT = (TensorSpec("input", "float32", (None, 2)),)
SIGNATURE = Signature("array", INPUT, OutputSpec("scores", CLASSES))
HANG = float("inf")
NO_STATES: Mapping[str, State] = {}

Answer = Callable[[Tensors], Any]


class FakeSession(InProcessUnit):
    """A member in the worker; ``answer`` is called with its tensors."""

    def __init__(self, position: int, artifact: Artifact, answer: Answer, cost: Cost) -> None:
        super().__init__((position,), 0)
        self.artifact = artifact
        self.answer = answer
        self.cost = cost
        self.runs = 0
        self.closed = False

    def run(self, tensors: Tensors) -> FloatArray:
        self.runs += 1
        return as_answer(self.artifact, self.answer(tensors), len(next(iter(tensors.values()))))[:, None]

    def close(self) -> None:
        self.closed = True


class FakeGraph:
    """What a fused graph is to its unit; ``answer`` gives the output of each of its ``members`` by name."""

    def __init__(self, members: Sequence[str], answer: Callable[[Tensors], dict[str, Any]]) -> None:
        self.members = tuple(members)
        self.answer = answer
        self.closed = False

    def run(self, inputs: Tensors) -> FloatArray:
        outputs = self.answer(inputs)
        return np.stack([outputs[name] for name in self.members], axis=1)

    def close(self) -> None:
        self.closed = True


class FakeHost:
    """A member's process: answers after ``delay`` seconds, never for :data:`HANG`; dead until restarted once killed."""

    def __init__(self, clock: FakeClock, answer: Answer, delay: float, artifact: Artifact) -> None:
        self.artifact = artifact
        self.runs = 0
        self.answer = answer
        self.delay = delay
        self.ready = True
        self.busy_since: float | None = None
        self.kills = 0
        self.restarts = 0
        self._clock = clock
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    async def run(self, inputs: Tensors, *, timeout: float | None = None) -> Tensors:
        if not self.ready:
            raise MemberCrashed("it has no running process.")
        self.runs += 1
        died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(died)
        self.busy_since = self.busy_since or self._clock.monotonic()
        try:
            await asyncio.wait_for(died, None if self.delay == HANG else self.delay)
        except TimeoutError:
            self.busy_since = None
        finally:
            self._waiting.discard(died)
        return {"output": self.answer(inputs)}

    async def restart(self) -> None:
        self.restarts += 1
        self.ready = True

    def kill(self) -> None:
        self.kills += 1
        self.ready = False
        self.busy_since = None
        for died in self._waiting:
            if not died.done():
                died.set_exception(MemberCrashed("it was killed."))


class FakeJournal:
    """Keeps what is appended; refuses it while ``blocked``."""

    def __init__(self, clock: FakeClock) -> None:
        self.ids = IdSource(0, 0, clock)
        self.counters = JournalCounters()
        self.records: list[bytes] = []
        self.changes: list[bytes] = []
        self.blocked = False

    @property
    def decisions(self) -> list[Decision]:
        return [decision_codec.decode(record) for record in self.records]

    def accepts(self) -> bool:
        return not self.blocked

    def append(self, payload: bytes, kind: Any, *, on_full: str) -> asyncio.Future[bool] | None:
        if self.blocked and on_full == "shed":
            raise Overloaded("full.")
        if self.blocked:
            self.counters.dropped += 1
            return None
        (self.changes if kind is RecordKind.CHANGE else self.records).append(payload)
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        kept.set_result(True)
        return kept

    def append_group(self, payloads: Sequence[bytes], promise: Any, *, on_full: str) -> None:
        if self.blocked:
            lost = len(payloads)
            self.counters.shed += lost if on_full == "shed" else 0
            self.counters.dropped += lost if on_full == "drop" else 0
            promise.set_result(0)
        else:
            self.records += payloads
            promise.set_result(len(payloads))


class _Selector(selectors.DefaultSelector):
    """Where a real loop would wait for a timer, time moves instead; but it stands still while a thread works."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self._house = house

    def select(self, timeout: float | None = None) -> Any:
        wait = None if timeout is None or (timeout > 0 and self._house.threads_work) else 0
        ready = super().select(wait)
        if not ready and timeout is not None and timeout > 0:
            self._house.clock.advance(timeout)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, house: House) -> None:
        super().__init__(_Selector(house))
        self._fake = house.clock

    def time(self) -> float:
        return self._fake.monotonic()


class House:
    """Makes pools, endpoints and a plane of fakes; :meth:`run` runs a coroutine in the clock's time."""

    HANG = HANG

    def __init__(self, root: Path) -> None:
        self.clock = FakeClock(monotonic=100.0)
        self.lane = ThreadLane(1, clock=self.clock)
        self.journal = FakeJournal(self.clock)
        self.counters = Counters(root / "worker-0.qt")
        self.meters = Meters(self.counters)
        self.plane = Plane(
            clock=self.clock,
            lane=self.lane,
            journal=self.journal,  # type: ignore[arg-type]
            rng=random.Random(7),
            meters=self.meters,
        )
        self.faults: list[tuple[str, str]] = []
        self.graph_faults = 0
        self.batches: list[int] = []
        self.hung = False
        """Set by a test whose thread waits for the test, so that time goes on."""

    @property
    def threads_work(self) -> bool:
        return bool(self.lane._unfinished) and not self.hung

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
            return runner.run(main)

    # --- members ---

    @staticmethod
    def says(yes: float) -> Answer:
        """A member that is that sure of "yes", for every row."""
        return lambda tensors: np.tile(np.array([1 - yes, yes], np.float32), (len(tensors["input"]), 1))

    @staticmethod
    def raises(error: Exception) -> Answer:
        """A member that fails so."""

        def answer(tensors: Tensors) -> Any:
            raise error

        return answer

    def inline(self, answer: Answer | float) -> Callable[[int, Artifact], Unit]:
        """A member cheap enough for the event loop."""
        return lambda position, artifact: FakeSession(position, artifact, self._answer(answer), Cost(0.1, 0.0))

    def threaded(self, answer: Answer | float) -> Callable[[int, Artifact], Unit]:
        """A member that runs in the thread lane."""
        return lambda position, artifact: FakeSession(position, artifact, self._answer(answer), Cost(5.0, 0.0))

    def hosted(self, answer: Answer | float, delay: float = 0.01, replicas: int = 1) -> Callable[[int, Artifact], Unit]:
        """A member in a process of its own, or in several."""
        return lambda position, artifact: HostUnit(
            position,
            0,
            artifact,
            *(FakeHost(self.clock, self._answer(answer), delay, artifact) for _ in range(replicas)),  # type: ignore[arg-type]
            clock=self.clock,
        )

    def absent(self, load: Callable[[], Unit]) -> Callable[[int, Artifact], Unit]:
        """A member that could not be loaded."""
        return lambda position, _: AbsentUnit(position, 0, load)

    def _answer(self, answer: Answer | float) -> Answer:
        return self.says(answer) if isinstance(answer, int | float) else answer

    # --- what they make up ---

    def pool(
        self,
        graph: Callable[[Tensors], dict[str, Any]] | None = None,
        fused: Sequence[str] = (),
        stages: Sequence[Sequence[str]] = (),
        signature: Signature = SIGNATURE,
        **members: Callable[[int, Artifact], Unit],
    ) -> LoadedPool:
        """A pool of members by name; ``fused`` are those that ``graph`` answers for; each of ``stages`` has a graph of
        its own, which answers as they do."""
        loaded = []
        for position, (name, make) in enumerate(members.items()):
            route = MemberRoute(name, 1, "fake", "d", {}, signature, INPUT, "output", [])
            artifact = Artifact(name, 1, "fake", Path(), (), "d", signature, INPUT, "output")
            loaded.append(LoadedMember(route, artifact, make(position, artifact), Breaker(self.clock)))
        unit = None
        if graph is not None:
            order = list(members)
            unit = GraphUnit(tuple(order.index(name) for name in fused), 0, FakeGraph(fused, graph))
            unit.cost = Cost(0.1, 0.0)
        graphs = [self._stage(loaded, names) for names in stages]
        routes = tuple(member.route for member in loaded)
        return LoadedPool(
            PoolRoute("pool", "classification", signature, routes),
            loaded,
            [Pipeline.from_spec([])],
            unit,
            [{"input": np.zeros((3, 2), np.float32)}],
            clock=self.clock,
            lane=self.lane,
            on_fault=lambda member, code: self.faults.append((member, code)),
            on_graph_fault=self._graph_fault,
            on_run=lambda requests, rows, ms: self.batches.append(requests),
            stages=graphs,
        )

    @staticmethod
    def _stage(members: Sequence[LoadedMember], names: Sequence[str]) -> GraphUnit:
        asked = {member.name: (i, member.unit) for i, member in enumerate(members) if member.name in names}

        def answer(tensors: Tensors) -> dict[str, Any]:
            return {name: unit.answer(tensors) for name, (_, unit) in asked.items()}  # type: ignore[attr-defined]

        unit = GraphUnit(tuple(asked[name][0] for name in names), 0, FakeGraph(names, answer))
        unit.cost = Cost(0.1, 0.0)
        return unit

    def fused(self, **answers: Answer | float) -> LoadedPool:
        """A pool of inline members that one graph answers for."""

        def graph(tensors: Tensors) -> dict[str, Any]:
            return {name: self._answer(answer)(tensors) for name, answer in answers.items()}

        return self.pool(graph, tuple(answers), **{name: self.inline(answer) for name, answer in answers.items()})

    def _graph_fault(self) -> None:
        self.graph_faults += 1

    def execution(self, pool: LoadedPool, rows: int = 1, fault_after: float = 0.1) -> Execution:
        feed = Feed({"input": np.zeros((rows, 2), np.float32)}, rows)
        return Execution(pool, feed, rows, clock=self.clock, until=inf, fault_after=fault_after)

    def ran(self, execution: Execution, members: Sequence[int]) -> None:
        """Start members and wait for them."""

        self.run(self.rush(execution, members))

    @staticmethod
    async def rush(execution: Execution, members: Sequence[int]) -> None:
        """The same, on a loop that runs."""
        execution.start(members)
        await execution.wait(inf, members)

    def endpoint(
        self,
        pool: LoadedPool,
        strategies: Sequence[StrategyRoute],
        policy: PolicyRoute | None = None,
        states: Mapping[str, State] = NO_STATES,
        **settings: Any,
    ) -> LoadedEndpoint:
        """An endpoint of 200 ms whose policy is the first strategy; ``states`` are fitted ones, by strategy."""
        policy = policy or PolicyRoute("fixed", {"strategy": strategies[0].name})
        settings.setdefault("deadline_ms", 200.0)
        return LoadedEndpoint(EndpointRoute("main", 1, "pool", tuple(strategies), policy, **settings), pool, states)

    def predict(self, endpoint: LoadedEndpoint, rows: int = 1, **call: Any) -> Decision:
        """One call, arrived just now; its decision."""

        async def main() -> Decision:
            return await self.plane.predict(endpoint, self.call(rows, **call))

        decision: Decision = self.run(main())
        return decision

    def call(self, rows: int = 1, **more: Any) -> Call:
        return Call(
            raw={"input": np.zeros((rows, 2), np.float32)},
            rows=rows,
            size=more.pop("size", 8),
            digest=b"d",
            arrived=self.clock.now(),
            started=self.clock.monotonic(),
            **more,
        )


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """See :class:`House`."""
    house = House(tmp_path)
    yield house
    house.lane.close()
    house.counters.close()


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.loader.close()
    site.lane.close()
    site.counters.close()
