"""A pool in memory: its members, what runs them, their circuits, and the probes that close these again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quorate.clock import Clock
from quorate.codecs.snapshot import MemberRoute, PoolRoute
from quorate.core.types import Artifact, Tensors
from quorate.errors import MemberTimeout, QuorateError, SignatureViolation
from quorate.preprocess.pipeline import Pipeline
from quorate.runtimes.signature import as_answer, usable
from quorate.serving.breaker import Breaker, Circuit
from quorate.serving.lanes import ThreadLane
from quorate.serving.units import AbsentUnit, GraphUnit, HostUnit, InProcessUnit, Unit

log = logging.getLogger("quorate.serving")

PROBE_TIMEOUT = 5.0


class LoadedMember:
    """A member, the unit that runs it by itself, and its circuit."""

    __slots__ = ("artifact", "breaker", "name", "route", "unit", "version", "weights")

    def __init__(self, route: MemberRoute, artifact: Artifact, unit: Unit, breaker: Breaker) -> None:
        self.artifact = artifact
        self.name = route.name
        self.version = route.version
        self.route = route
        self.unit = unit
        self.breaker = breaker
        self.weights = 0
        """Bytes of its files, set by the loader."""

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
        self.memory: int | None = None
        """Bytes that the process grew by while it was loaded and warmed; None where unknown."""
        self.samples = tuple(samples)
        self._clock = clock
        self._lane = lane
        self._on_fault = on_fault
        self._on_graph_fault = on_graph_fault
        self._probes: set[asyncio.Task[None]] = set()
        self._closed = False

    # --- what runs ---

    def prepare(self, raw: Mapping[str, Any], *, max_pixels: int, path: str) -> tuple[Tensors, ...]:
        """Raw input through every distinct preprocessing of the pool, once each; errors call the rows ``path``."""
        return tuple(pipeline.apply(raw, max_pixels=max_pixels, path=path) for pipeline in self.pipelines)

    def units_for(self, members: Sequence[int]) -> list[Unit]:
        """The fewest units that answer for these members: the fused graph if it holds one of them, and the rest."""
        graph = self.graph if self.graph_breaker.state is Circuit.CLOSED else None
        units: list[Unit] = []
        for position in members:
            unit = graph if graph is not None and position in graph.members else self.members[position].unit
            if unit not in units:
                units.append(unit)
        return units

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
        except (QuorateError, OSError) as error:
            log.warning("Member %s failed a probe; its circuit stays open: %s", self.names(unit), error)
            if isinstance(unit, HostUnit):
                unit.host.kill()
        except Exception:
            log.exception("Member %s failed a probe in a way it must not", self.names(unit))
        finally:
            if not self._closed:
                breaker.probed(ok)

    def names(self, unit: Unit) -> str:
        """The members of a unit, for messages."""
        return ", ".join(f"'{self.members[position].name}'" for position in unit.members)

    async def check(self, unit: Unit) -> None:
        """Run a unit on held-out rows, loading it or starting its process if need be; raises what is wrong with it."""
        if isinstance(unit, AbsentUnit):
            unit = self.members[unit.members[0]].unit = await self._lane.submit(unit.load)
        if isinstance(unit, HostUnit) and not unit.host.ready:
            await unit.host.restart()
        sample = self.samples[unit.feed]
        if isinstance(unit, HostUnit):
            if not unit.host.ready:
                await unit.host.restart()
            outputs = await unit.run(sample, timeout=PROBE_TIMEOUT)
        else:
            outputs = await self._run_in_process(unit, sample)
        rows = len(next(iter(sample.values())))
        for position in unit.members:
            artifact = self.members[position].artifact
            answer = as_answer(artifact, outputs.get(position), rows)
            if not usable(answer, artifact.signature.output).all():
                raise SignatureViolation(f"Member '{artifact.name}' does not answer held-out rows as it declares.")

    async def _run_in_process(self, unit: Unit, sample: Tensors) -> dict[int, Any]:
        assert isinstance(unit, InProcessUnit)  # noqa: S101 - the only kind left
        run = self._lane.submit(lambda: unit.run(sample), limit=PROBE_TIMEOUT)
        try:
            return await asyncio.wait_for(run, PROBE_TIMEOUT)
        except TimeoutError:
            raise MemberTimeout(
                f"Member {self.names(unit)} did not answer held-out rows within {PROBE_TIMEOUT:g} s."
            ) from None

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
