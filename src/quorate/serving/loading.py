"""Loading: from a routing manifest to a generation that is warm and measured, without disturbing the present one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from quorate.clock import Clock
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, PoolRun, Routing
from quorate.core.distance import Reference
from quorate.core.types import State, Tensors
from quorate.errors import NotReady, Overloaded, QuorateError
from quorate.preprocess.pipeline import Pipeline
from quorate.serving import fronts
from quorate.serving.background import Background
from quorate.serving.breaker import Breaker
from quorate.serving.desired import Desired
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.facts import Surroundings, reference_of
from quorate.serving.fronts import LoadedFront
from quorate.serving.generation import Generation, Model
from quorate.serving.lanes import ThreadLane
from quorate.serving.measuring import Measurer
from quorate.serving.member import LoadedMember
from quorate.serving.memory import give_back_memory
from quorate.serving.meters import Meters
from quorate.serving.opening import Opener, artifact_of
from quorate.serving.pool import LoadedPool, away
from quorate.serving.residency import Residency
from quorate.serving.units import AbsentUnit, GraphUnit, HostUnit, Unit
from quorate.telemetry.process import resident_bytes
from quorate.web.auth import Keyring

log = logging.getLogger("quorate.serving")
EVERYTHING = Desired()
_NO_PIXEL_LIMIT = 1 << 40


class Loader:
    """Builds generations; pools whose description did not change are shared with the present one.

    ``residency`` has their members in memory; ``cores`` are what runs of this worker may use,
    ``drift`` is where monitors say what they see.
    """

    def __init__(
        self,
        registry: Path,
        *,
        clock: Clock,
        lane: ThreadLane,
        meters: Meters,
        cores: int = 1,
        drift: Path | None = None,
    ) -> None:
        self._opener = Opener(registry, clock)
        self._clock = clock
        self._lane = lane
        self._meters = meters
        self._surroundings = Surroundings(clock, drift)
        # Loading must not wait behind members' runs, nor they behind it.
        self._background = Background("loader")
        self._measurer = Measurer(self._opener, self._background, clock, cores)
        self._runs: Mapping[str, PoolRun] = {}
        self.residency = Residency(clock=clock, fill=self._pool, discard=self._discard)

    async def load(self, routing: Routing, present: Generation, desired: Desired = EVERYTHING) -> Generation:
        """Load a manifest; the result is warm and holds its pools once. On failure nothing has changed.

        ``desired`` says what stays out of memory. Where there is a memory budget, so do pools that are not pinned,
        but for those whose former version is in use.

        Where a generation is serving, a damaged blob fails the load, since the present one is whole. At the start of
        a worker, what is damaged is left out and what remains answers.
        """
        strict = present.version > 0
        before, self._runs = self._runs, routing.runs
        budget, self.residency.budget = self.residency.budget, routing.memory_budget
        out = desired.pools_out(routing)
        pools: dict[str, LoadedPool] = {}
        built: list[LoadedPool] = []
        try:
            for route in routing.pools:
                former = next((pool for pool in present.pools if pool.route.name == route.name), None)
                run = routing.runs.get(route.name, PoolRun())
                pinned = run.pinned or routing.memory_budget is None
                if former is not None and former.route == route and _alike(before.get(route.name, PoolRun()), run):
                    pool = former
                else:
                    pool = self._shell(route, pinned)
                    built.append(pool)
                pools[route.name] = pool
                if route.name not in out and (pinned or (former is not None and former.resident)):
                    await self._hold(pool, strict)
            endpoints = {}
            for endpoint in routing.endpoints:
                states = await self._background.submit(self._states, endpoint, strict)
                loaded = LoadedEndpoint(
                    endpoint,
                    pools[endpoint.pool],
                    states,
                    secret=routing.secret,
                    on_combine=self._meters.combining(endpoint.name),
                    on_rule=self._meters.ruling(endpoint.name),
                    on_fact_failure=self._meters.fact_failure(endpoint.name),
                    surroundings=self._surroundings,
                )
                if loaded.facts is not None and loaded.facts.measures_distance:
                    loaded.facts.reference = await self._background.submit(self._reference, loaded.pool.route)
                endpoints[endpoint.name] = loaded
            known = await self._fronts(routing, endpoints)
        except BaseException:
            self._runs, self.residency.budget = before, budget
            for pool in built:
                pool.close()
            raise
        for name, pool in pools.items():
            pool.pinned = routing.memory_budget is None or routing.runs.get(name, PoolRun()).pinned
            pool.max_pixels = routing.limits.image_pixels
        models: dict[str, dict[int, Model]] = {}
        for pool in pools.values():
            for position, member in enumerate(pool.members):
                models.setdefault(member.name, {}).setdefault(member.version, Model(pool, position))
        generation = Generation(
            routing.version,
            routing,
            tuple(pools.values()),
            endpoints,
            models,
            Keyring(routing.keys, secret=routing.secret),
            known,
        )
        desired.mark(generation)
        generation.acquire()
        return generation

    async def _hold(self, pool: LoadedPool, strict: bool) -> None:
        try:
            await self.residency.hold(pool, strict=strict)
        except (Overloaded, NotReady) as error:  # its first request may find room
            if isinstance(error, NotReady) and not pool.unloaded:
                raise
            log.warning("Pool '%s' is not loaded yet: %s", pool.route.name, error)

    def _shell(self, route: PoolRoute, pinned: bool) -> LoadedPool:
        """A pool that is not in memory."""
        members = [
            LoadedMember(member, artifact_of(member, Path()), AbsentUnit(position, 0, away), Breaker(self._clock))
            for position, member in enumerate(route.members)
        ]
        pool = self._made(route, members, [], None, [])
        pool.resident = False
        pool.pinned = pinned
        pool.footprint = self._opener.size(route)
        return pool

    async def _discard(self, units: Sequence[Unit]) -> None:
        """Close units and give their memory back."""
        for unit in units:
            if isinstance(unit, HostUnit):
                unit.close()
        await self._background.submit(_close, [unit for unit in units if not isinstance(unit, HostUnit)])

    def _states(self, route: EndpointRoute, strict: bool) -> dict[str, State]:
        states = {}
        for strategy in route.strategies:
            if strategy.state is None:
                continue
            try:
                files = {name: self._opener.blobs.read(digest) for name, digest in strategy.state.items()}
                states[strategy.name] = state_codec.decode(files)
            except (QuorateError, OSError) as error:
                if strict:
                    raise
                log.error("Strategy '%s' of '%s' cannot answer: %s", strategy.name, route.name, error)
        return states

    async def _fronts(self, routing: Routing, endpoints: Mapping[str, LoadedEndpoint]) -> Mapping[str, LoadedFront]:
        found = fronts.loaded(routing.fronts, endpoints, self._clock, self._surroundings, self._meters.fact_failure)
        for front in found.values():
            for name in front.measured:
                route = endpoints[name].pool.route
                front.references[name] = await self._background.submit(self._reference, route)
        return found

    def _reference(self, route: PoolRoute) -> Reference | None:
        found = reference_of(self._opener.sample(route), route.signature)
        if found is None:
            log.warning("Pool '%s' has too few held-out rows, so input.distance is not known.", route.name)
        return found

    async def _pool(self, shell: LoadedPool, strict: bool) -> LoadedPool:
        """Load what the pool's route describes: warm, measured and tuned."""
        route = shell.route
        if self.residency.budget is not None:  # what is free in the process would hide what the pool takes
            await self._background.submit(give_back_memory)
        before = resident_bytes()
        pool = await self._background.submit(self._assemble, route, strict)
        try:
            await self._measurer.warm_up(pool, self._runs.get(route.name))
            if self.residency.budget is not None:
                await self._background.submit(give_back_memory)
            after = resident_bytes()
            if before is not None and after is not None:
                pool.memory = max(0, after - before)
            replicas = [replica for u in pool.units if isinstance(u, HostUnit) for replica in u.replicas.all]
            hosts = sum(resident_bytes(replica.host.pid) or 0 for replica in replicas if replica.host.pid)
            # Memory that other pools left free may have been used again, so what it took before may be truer.
            pool.footprint = max((pool.memory or 0) + hosts, shell.footprint)
        except BaseException:
            pool.close()
            raise
        return pool

    def _assemble(self, route: PoolRoute, strict: bool) -> LoadedPool:
        pipelines: list[Pipeline] = []
        feeds: list[int] = []
        for member in route.members:
            pipeline = Pipeline.from_spec(member.preprocess)
            digests = [p.digest for p in pipelines]
            if pipeline.digest not in digests:
                pipelines.append(pipeline)
                digests.append(pipeline.digest)
            feeds.append(digests.index(pipeline.digest))
        run = self._runs.get(route.name, PoolRun())
        members = [
            self._opener.member(member, position, feeds[position], strict=strict, run=run)
            for position, member in enumerate(route.members)
        ]
        raw = self._opener.sample(route)
        samples = [pipeline.apply(raw, max_pixels=_NO_PIXEL_LIMIT) for pipeline in pipelines]
        threads = run.threads or 1
        graph = self._opener.graph(route, route.graph, feeds, strict=strict, threads=threads, run=run)
        stages = [
            self._opener.graph(route, stage, feeds, strict=strict, threads=threads, run=run) for stage in route.stages
        ]
        pool = self._made(route, members, pipelines, graph, samples, [stage for stage in stages if stage is not None])
        pool.threads = threads
        return pool

    def _made(
        self,
        route: PoolRoute,
        members: Sequence[LoadedMember],
        pipelines: Sequence[Pipeline],
        graph: GraphUnit | None,
        samples: Sequence[Tensors],
        stages: Sequence[GraphUnit] = (),
    ) -> LoadedPool:
        return LoadedPool(
            route,
            members,
            pipelines,
            graph,
            samples,
            clock=self._clock,
            lane=self._lane,
            on_fault=self._meters.member_fault(route.name),
            on_graph_fault=self._meters.graph_fault(route.name),
            on_run=self._meters.runs(route.name),
            on_hedge=self._meters.hedged,
            stages=stages,
        )

    async def give_back(self) -> None:
        """Return to the system what closed pools have left free."""
        await self._background.submit(give_back_memory)

    def close(self) -> None:
        """Stop the loader's thread; nobody waits for a load under way."""
        self._background.close(lambda: None, timeout=0.0)


def _alike(before: PoolRun, now: PoolRun) -> bool:
    """Whether a pool that was loaded by the one setting is as by the other."""
    return replace(before, pinned=now.pinned) == now


def _close(units: Sequence[Unit]) -> None:
    for unit in units:
        unit.close()
    give_back_memory()
