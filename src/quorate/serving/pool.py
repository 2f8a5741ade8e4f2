"""A pool in memory: its members, what runs them, their circuits, and the probes that close these again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quorate.clock import Clock
from quorate.codecs.snapshot import MemberRoute, PoolRoute
from quorate.core.types import Artifact, Tensors
from quorate.errors import QuorateError, SignatureViolation
from quorate.preprocess.pipeline import Pipeline
from quorate.runtimes.signature import as_answer, usable
from quorate.serving.breaker import Breaker, Circuit
from quorate.serving.lanes import ThreadLane
from quorate.serving.units import AbsentUnit, GraphUnit, HostUnit, InProcessUnit, Unit

PROBE_TIMEOUT = 5.0
START_TIMEOUT = 60.0


class LoadedMember:
    """A member, the unit that runs it by itself, and its circuit."""

    __slots__ = ("artifact", "breaker", "name", "route", "unit", "version")

    def __init__(self, route: MemberRoute, artifact: Artifact, unit: Unit, breaker: Breaker) -> None:
        self.artifact = artifact
        self.name = route.name
        self.version = route.version
        self.route = route
        self.unit = unit
        self.breaker = breaker

    @property
    def available(self) -> bool:
        """Whether requests may run it now."""
        return self.breaker.state is Circuit.CLOSED


class LoadedPool:
    """Loaded members in pool order; shared by generations whose manifest describes it the same way.

    ``on_fault(member, code)`` and ``on_graph_fault()`` count; ``width`` is the numbers per row of an output.
    """

    def __init__(
        self,
        route: PoolRoute,
        members: Sequence[LoadedMember],
        pipelines: Sequence[Pipeline],
        graph: GraphUnit | None,
        samples: Sequence[Tensors],
        *,
        clock: Clock,
        lane: ThreadLane,
        on_fault: Callable[[str, str], None],
        on_graph_fault: Callable[[], None],
    ) -> None:
        self.route = route
        self.members = tuple(members)
        self.pipelines = tuple(pipelines)
        self.graph = graph
        self.graph_breaker = Breaker(clock)
        self.output = route.signature.output
        self.width = self.output.width
        self.users = 0
        self.samples = tuple(samples)
        self._clock = clock
        self._lane = lane
        self._on_fault = on_fault
        self._on_graph_fault = on_graph_fault
        self._probes: set[asyncio.Task[None]] = set()
        self._closed = False

    # --- what runs ---

    def prepare(self, raw: Mapping[str, Any], *, max_pixels: int) -> tuple[Tensors, ...]:
        """Raw input through every distinct preprocessing of the pool, once each."""
        return tuple(pipeline.apply(raw, max_pixels=max_pixels) for pipeline in self.pipelines)

    def units_for(self, members: Sequence[int]) -> list[Unit]:
        """The fewest units that answer for these members: the fused graph if it holds one of them, and the rest."""
        graph = self.graph if self.graph_breaker.state is Circuit.CLOSED else None
        units: list[Unit] = []
        for position in members:
            unit = graph if graph is not None and position in graph.members else self.members[position].unit
            if unit not in units:
                units.append(unit)
        return units

    def separate(self, position: int) -> InProcessUnit:
        """The unit that runs a member of the graph by itself."""
        unit = self.members[position].unit
        assert isinstance(unit, InProcessUnit)  # noqa: S101 - only in-process members are fused
        return unit

    # --- faults ---

    def fault(self, position: int, code: str) -> None:
        """Count a member's fault; enough of them open its circuit, the death of its process does at once."""
        member = self.members[position]
        self._on_fault(member.name, code)
        member.breaker.fault()
        if isinstance(member.unit, HostUnit) and not member.unit.host.ready:
            member.breaker.trip()

    def graph_fault(self) -> None:
        """Count a failure of the fused graph."""
        self._on_graph_fault()
        self.graph_breaker.fault()

    def hung(self, unit: HostUnit, limit: float) -> None:
        """Kill a member process whose oldest run is older than ``limit`` seconds; a probe restarts it."""
        since = unit.host.busy_since
        if since is not None and self._clock.monotonic() - since >= limit:
            unit.host.kill()
            self.members[unit.members[0]].breaker.trip()

    def tick(self) -> None:
        """Start the probes that are due; called a few times a second on the event loop."""
        for member in self.members:
            if isinstance(member.unit, HostUnit) and not member.unit.host.ready:
                member.breaker.trip()
            if member.breaker.probe_due():
                self._spawn(self._probe(member.unit, member.breaker))
        if self.graph is not None and self.graph_breaker.probe_due():
            self._spawn(self._probe(self.graph, self.graph_breaker))

    def _spawn(self, probe: Any) -> None:
        task = asyncio.ensure_future(probe)
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    async def _probe(self, unit: Unit, breaker: Breaker) -> None:
        ok = False
        try:
            await self.check(unit)
            ok = True
        except (QuorateError, TimeoutError, OSError):
            if isinstance(unit, HostUnit):
                unit.host.kill()
        finally:
            if not self._closed:
                breaker.probed(ok)

    async def check(self, unit: Unit) -> None:
        """Run a unit on held-out rows, starting its process if need be; raises what is wrong with it."""
        if isinstance(unit, AbsentUnit):
            unit = self.members[unit.members[0]].unit = await self._lane.submit(unit.load)
        sample = self.samples[unit.feed]
        rows = len(next(iter(sample.values())))
        if isinstance(unit, HostUnit):
            if not unit.host.ready:
                await asyncio.wait_for(unit.host.restart(), START_TIMEOUT)
            outputs = await asyncio.wait_for(unit.run(sample), PROBE_TIMEOUT)
        else:
            assert isinstance(unit, InProcessUnit)  # noqa: S101 - the only other kind
            outputs = await asyncio.wait_for(self._lane.submit(lambda: unit.run(sample)), PROBE_TIMEOUT)
        for position in unit.members:
            artifact = self.members[position].artifact
            answer = as_answer(artifact, outputs.get(position), rows)
            if not usable(answer, artifact.signature.output).all():
                raise SignatureViolation(f"Member '{artifact.name}' does not answer held-out rows as it declares.")

    # --- life ---

    def acquire(self) -> None:
        """One more user: a generation, or a request under way."""
        self.users += 1

    def release(self) -> None:
        """One user less; the last one closes the pool."""
        self.users -= 1
        if self.users == 0:
            self.close()

    def close(self) -> None:
        """Stop probes, kill member processes, give memory back."""
        self._closed = True
        for task in self._probes:
            task.cancel()
        for unit in [m.unit for m in self.members] + ([self.graph] if self.graph else []):
            unit.close()
