"""A pool in memory: its members, what runs them, and their circuits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from quorate.clock import Clock
from quorate.codecs.snapshot import Limits, PoolRoute
from quorate.core.plan.budgeted import together_ms
from quorate.core.types import MemberRun, Status, Tensors
from quorate.errors import MemberCrashed
from quorate.preprocess.pipeline import Pipeline
from quorate.preprocess.prepared import prepare
from quorate.serving.batch import Batch
from quorate.serving.batcher import Batcher, OnRun
from quorate.serving.breaker import Breaker, Circuit
from quorate.serving.cost import INLINE_MS
from quorate.serving.lanes import ThreadLane
from quorate.serving.member import LoadedMember
from quorate.serving.probing import Prober
from quorate.serving.spreading import longest_first
from quorate.serving.units import AbsentUnit, GraphUnit, HostUnit, InProcessUnit, Unit

_RECENT = 0.05  # the weight of the newest measurement


def _uncounted(member: str, won: bool) -> None:
    """What is called where nobody counts."""


class LoadedPool:
    """Members in pool order; shared by generations whose manifest describes it the same way.

    It stays the same object while its members come into memory (:meth:`fill`) and go (:meth:`vacate`); requests may run
    them only while it is ``resident``.

    ``on_fault(member, code)``, ``on_graph_fault()``, ``on_run(requests, rows, ms)`` and ``on_hedge(member, won)``
    count; ``width`` is the numbers per row of an output, ``everyone`` all positions, ``lanes`` the runs of one unit
    that may be under way in threads. ``stages`` are graphs of members that some plan asks together.
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
        on_run: OnRun,
        on_hedge: Callable[[str, bool], None] = _uncounted,
        lanes: int = 1,
        stages: Sequence[GraphUnit] = (),
    ) -> None:
        self.route = route
        self.members = tuple(members)
        self.pipelines = tuple(pipelines)
        self.graph = graph
        self.graph_breaker = Breaker(clock)
        self.stages: dict[GraphUnit, Breaker] = {unit: Breaker(clock) for unit in stages}
        """Graphs beside that one, of members that a plan asks together."""
        self.output = route.signature.output
        self.width = self.output.width
        self.everyone = tuple(range(len(self.members)))
        self.users = 0
        self.max_pixels = Limits().image_pixels
        self.memory: int | None = None
        """Bytes that the process grew by while it was loaded and warmed; None where unknown."""
        self.footprint = 0
        """Bytes that count against a memory budget, also while it is not resident: what it took when it was."""
        self.resident = True
        self.pinned = True
        self.unloaded = False
        """Somebody asked for its memory; requests do not bring it back."""
        self.requests = 0
        """Requests that run it or wait for it; with one it stays in memory."""
        self.used = 0.0
        """When the last of them came (monotonic seconds)."""
        self.load_s: float | None = None
        """Seconds that it took to load the last time."""
        self.threads = 1
        """Threads of one run; the most of any unit."""
        self.tried: Mapping[int, float] = {}
        """Milliseconds of one row by the number of threads, of the slowest unit whose threads were measured."""
        self.clock = clock
        self._lane = lane
        self._on_fault = on_fault
        self._on_graph_fault = on_graph_fault
        self._on_run = on_run
        self._on_hedge = on_hedge
        self.lanes = lanes
        self.preparing_ms = 0.0
        """What is being prepared in threads before it can be put in line, as far as is known."""
        self._row_ms = [0.0, 0.0]  # of arrays, of encoded images
        self._quick = [True, True]  # likewise: whether the last was prepared on the event loop
        self._batchers: dict[Unit, Batcher] = {}
        self._rank: dict[Unit, int] = {}
        """The order in which members are started where they run side by side."""
        self.prober = Prober(self.members, samples, self.output, lane)
        self.closed = False
        """Whether its last user has gone."""

    # --- what runs ---

    def prepare(self, raw: Mapping[str, Any], path: str) -> Sequence[Tensors]:
        """Raw input through every distinct preprocessing of the pool, once each; errors call the rows ``path``.

        Of pictures in several sizes, those that nobody asks for are not made (:mod:`quorate.preprocess.prepared`).
        """
        started = self.clock.monotonic()
        tensors = prepare(self.pipelines, raw, max_pixels=self.max_pixels, path=path)
        first = next(iter(raw.values()))
        per_row = (self.clock.monotonic() - started) * 1000 / len(first)
        encoded = isinstance(first[0], bytes)
        self._row_ms[encoded] += _RECENT * (per_row - self._row_ms[encoded])
        return tensors

    def prepare_ms(self, raw: Mapping[str, Any]) -> float:
        """How long :meth:`prepare` takes for such an input, as far as is known."""
        first = next(iter(raw.values()))
        return self._row_ms[isinstance(first[0], bytes)] * len(first)

    def prepares_quickly(self, raw: Mapping[str, Any]) -> bool:
        """Whether preparing such an input holds the event loop up no longer than a hand-off to a thread would.

        What was quick is not taken for slow before it takes twice as long: threads wait for each other, so that what is
        near the limit would seem slow there, and on the loop quick again.
        """
        encoded = isinstance(next(iter(raw.values()))[0], bytes)
        quick = self.prepare_ms(raw) <= (2 * INLINE_MS if self._quick[encoded] else INLINE_MS)
        self._quick[encoded] = quick
        return quick

    def backlog_ms(self, units: Sequence[Unit]) -> float:
        """How long what is in line for these, and is being prepared, will take, as far as is known."""
        lines = [self._batchers[unit].backlog_ms for unit in units if unit in self._batchers]
        return max(lines, default=0.0) + self.preparing_ms

    def together(self) -> InProcessUnit | None:
        """The one unit in this process that answers for all members; None if there is no such thing."""
        (unit, *others) = self.units_for(self.everyone)
        return unit if not others and isinstance(unit, InProcessUnit) else None

    def prompt(self, rows: int) -> bool:
        """Whether such a request is answered on the event loop, in one of its next turns."""
        unit = self.together()
        return unit is not None and self.batcher(unit).prompt(rows)

    @property
    def sound(self) -> bool:
        """Whether no member's circuit is open."""
        for member in self.members:  # noqa: SIM110 - it is asked for every request, and a generator takes longer
            if member.breaker.state is not Circuit.CLOSED:
                return False
        return True

    def ran_well(self, batch: Batch) -> tuple[MemberRun, ...]:
        """The record of all members, for a part of a batch that each of them answered as it should."""
        self.graph_breaker.success()
        for member in self.members:
            member.breaker.success()
        return tuple([MemberRun(m.name, m.version, Status.OK, batch.elapsed) for m in self.members])

    def prepares_in_thread(self, rows: int) -> bool:
        """Whether the members run, all together, in a thread that can as well prepare their input."""
        unit = self.together()
        return unit is not None and not self.batcher(unit).prompt(rows)

    def batcher(self, unit: InProcessUnit | HostUnit) -> Batcher:
        """The line of a unit."""
        found = self._batchers.get(unit)
        if found is None:
            found = self._batchers[unit] = Batcher(
                unit,
                self.prepare,
                self.output,
                clock=self.clock,
                lane=self._lane,
                on_run=self._on_run,
                width=unit.width if isinstance(unit, HostUnit) else self.lanes,
            )
            if isinstance(unit, HostUnit):
                name = self.members[unit.members[0]].name
                unit.replicas.on_retried = partial(self.fault, unit.members[0])
                unit.replicas.on_hedged = partial(self._on_hedge, name)
        return found

    def units_for(self, members: Sequence[int]) -> list[Unit]:
        """The fewest units that answer for these members: the fused graph if it holds one of them, and the rest."""
        graph = self.graph if self.graph_breaker.state is Circuit.CLOSED else None
        if graph is not None and graph.members == self.everyone:
            return [graph] if members else []
        if graph is None and self.stages:
            return self.apart(members)
        units: list[Unit] = []
        for position in members:
            unit = graph if graph is not None and position in graph.members else self.members[position].unit
            if unit not in units:
                units.append(unit)
        if self._rank and len(units) > 1:
            units.sort(key=lambda unit: self._rank.get(unit, 0))
        return units

    def apart(self, members: Sequence[int]) -> list[Unit]:
        """Units of these members and of nobody else: graphs of some of them, the largest first, and their own."""
        left = set(members)
        graphs = [] if self.graph is None else [(self.graph, self.graph_breaker)]
        units: list[Unit] = []
        for graph, breaker in sorted([*graphs, *self.stages.items()], key=lambda found: -len(found[0].members)):
            if left.issuperset(graph.members) and breaker.state is Circuit.CLOSED:
                units.append(graph)
                left.difference_update(graph.members)
        return units + [self.members[position].unit for position in members if position in left]

    def within_ms(self, unit: Unit, rows: int) -> float:
        """How long so many rows of a unit take from now on, of which nineteen in twenty runs are quicker."""
        return self.batcher(unit).within_ms(rows) if isinstance(unit, InProcessUnit | HostUnit) else 0.0

    def takes_ms(self, units: Sequence[Unit], rows: int) -> float:
        """The same of units that are started together."""
        if len(units) == 1:
            return self.within_ms(units[0], rows)
        costs = [self.within_ms(unit, rows) for unit in units]
        return together_ms(costs, [isinstance(unit, InProcessUnit) for unit in units], self.width_of(units, rows))

    def width_of(self, units: Sequence[Unit], rows: int) -> int:
        """How many of these run at a time in this process: those on the event loop one after the other."""
        here = [unit for unit in units if isinstance(unit, InProcessUnit)]
        return 1 if all(self.batcher(unit).prompt(rows) for unit in here) else self.lanes

    # --- faults ---

    def fault(self, position: int, code: str) -> None:
        """Count a member's fault; enough of them open its circuit, the death of its process does at once."""
        member = self.members[position]
        self._on_fault(member.name, code)
        member.breaker.fault()
        if isinstance(member.unit, HostUnit) and not member.unit.ready:
            member.breaker.trip()

    def breaker_of(self, unit: GraphUnit) -> Breaker:
        """The circuit of a fused graph."""
        return self.stages.get(unit, self.graph_breaker)

    def graph_fault(self, unit: GraphUnit) -> None:
        """Count a failure of a fused graph."""
        self._on_graph_fault()
        self.breaker_of(unit).fault()

    def hung(self, unit: HostUnit, limit: float) -> None:
        """Kill member processes whose oldest run is older than ``limit`` seconds; a probe restarts them."""
        self.prober.kill(unit, unit.replicas.hung(limit))

    def tick(self) -> None:
        """Start the probes and runs that are due; called a few times a second on the event loop."""
        if not self.resident:
            return
        self.prober.tick()
        for batcher in self._batchers.values():
            batcher.pump()
        for graph in self.graphs:
            if self.breaker_of(graph).probe_due():
                self.prober.probe(graph, self.breaker_of(graph))

    def names(self, unit: Unit) -> str:
        """The members of a unit, for messages."""
        return self.prober.names(unit)

    async def check(self, unit: Unit) -> None:
        """Run a unit on held-out rows; see :meth:`Prober.check`."""
        await self.prober.check(unit)

    # --- life ---

    def acquire(self) -> None:
        """One more user: a generation, or a request under way."""
        self.users += 1

    def enter(self, at: float) -> None:
        """A request that runs it came then (monotonic seconds): it stays in memory until ``requests`` is 0."""
        self.requests += 1
        self.used = at

    def release(self) -> None:
        """One user less; the last one closes the pool."""
        self.users -= 1
        if self.users == 0:
            self.close()

    @property
    def graphs(self) -> list[GraphUnit]:
        """All fused graphs."""
        return [*([self.graph] if self.graph else []), *self.stages]

    @property
    def units(self) -> list[Unit]:
        """All units that hold memory."""
        return [*(member.unit for member in self.members), *self.graphs]

    def replace(self, unit: InProcessUnit, by: InProcessUnit) -> None:
        """Run another unit for the same members; before any request."""
        if unit is self.graph and isinstance(by, GraphUnit):
            self.graph = by
        elif isinstance(unit, GraphUnit) and isinstance(by, GraphUnit):
            self.stages = {by if graph is unit else graph: breaker for graph, breaker in self.stages.items()}
        elif unit is not by:
            self.members[unit.members[0]].unit = by

    def spread(self) -> None:
        """Have the members of the graph run by themselves, the longest first; before any request."""
        self.graph, self.threads = None, 1
        self._rank = {unit: rank for rank, unit in enumerate(longest_first([m.unit for m in self.members]))}

    def fill(self, loaded: LoadedPool) -> None:
        """Take over what was loaded from the same route; ``loaded`` is not used any more."""
        self.members, self.pipelines, self.prober = loaded.members, loaded.pipelines, loaded.prober
        self.graph, self.graph_breaker, self.stages = loaded.graph, loaded.graph_breaker, loaded.stages
        self.memory, self.footprint = loaded.memory, loaded.footprint
        self._rank = loaded._rank
        self.threads, self.lanes, self.load_s = loaded.threads, loaded.lanes, loaded.load_s
        self.tried = loaded.tried
        self._row_ms = [0.0, 0.0]
        self._batchers = {}
        self.resident = True

    def vacate(self) -> list[Unit]:
        """Let go of the members; returns the units that are to be closed. No request may be under way."""
        units = self.units
        self.prober.close()
        self.resident = False
        self.members = tuple(
            LoadedMember(member.route, member.artifact, AbsentUnit(position, 0, away), Breaker(self.clock))
            for position, member in enumerate(self.members)
        )
        self.prober = Prober(self.members, (), self.output, self._lane)
        self.graph, self.memory, self.stages = None, None, {}
        self._batchers = {}
        return units

    def close(self) -> None:
        """Stop probes, kill member processes, give memory back."""
        self.closed = True
        self._batchers.clear()
        self.prober.close()
        for unit in self.units:
            unit.close()


def away() -> Unit:
    """What loads a member of a pool that is not in memory: nothing, members come and go together."""
    raise MemberCrashed("The pool is not in memory.")
