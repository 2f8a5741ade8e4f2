"""Loading: from a routing manifest to a generation that is warm and measured, without disturbing the present one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quorate.clock import Clock
from quorate.codecs import sample as sample_codec
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import EndpointRoute, MemberRoute, PoolRoute, Routing
from quorate.core.types import Artifact, Signature, State, Tensors
from quorate.errors import QuorateError
from quorate.preprocess.pipeline import Pipeline
from quorate.registry.blobs import BlobStore
from quorate.runtimes.graph import GraphSession
from quorate.runtimes.host import MemberHost
from quorate.runtimes.lookup import runtime_for
from quorate.serving.background import Background
from quorate.serving.breaker import Breaker, Circuit
from quorate.serving.cost import Cost, measure
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.generation import Generation, Model
from quorate.serving.lanes import ThreadLane
from quorate.serving.meters import Meters
from quorate.serving.pool import PROBE_TIMEOUT, LoadedMember, LoadedPool
from quorate.serving.units import AbsentUnit, GraphUnit, HostUnit, InProcessUnit, SessionUnit, Unit
from quorate.telemetry.process import resident_bytes
from quorate.web.auth import Keyring

log = logging.getLogger("quorate.serving")
_NO_PIXEL_LIMIT = 1 << 40
GRAPH_FILE = "graph.onnx"
SLOW_ROW_MS = 100.0
"""From here on a row is taken to cost all of a run's time: sixteen of them are not tried out."""


class Loader:
    """Builds generations; pools whose description did not change are shared with the present one."""

    def __init__(self, registry: Path, *, clock: Clock, lane: ThreadLane, meters: Meters, lanes: int = 1) -> None:
        self._blobs = BlobStore(registry)
        self._clock = clock
        self._lane = lane
        self._meters = meters
        self._lanes = lanes
        # Loading must not wait behind members' runs, nor they behind it.
        self._background = Background("loader")

    async def load(self, routing: Routing, present: Generation) -> Generation:
        """Load a manifest; the result is warm and holds its pools once. On failure nothing has changed.

        Where a generation is serving, a damaged blob fails the load, since the present one is whole. At the start of
        a worker, what is damaged is left out and what remains answers.
        """
        strict = present.version > 0
        known = {pool.route.name: pool for pool in present.pools}
        pools: dict[str, LoadedPool] = {}
        built: list[LoadedPool] = []
        try:
            for route in routing.pools:
                same = known.get(route.name)
                if same is not None and same.route == route:
                    pools[route.name] = same
                else:
                    pools[route.name] = await self._pool(route, strict)
                    built.append(pools[route.name])
                pools[route.name].max_pixels = routing.limits.image_pixels
            endpoints = {}
            for endpoint in routing.endpoints:
                states = await self._background.submit(self._states, endpoint, strict)
                endpoints[endpoint.name] = LoadedEndpoint(endpoint, pools[endpoint.pool], states, secret=routing.secret)
        except BaseException:
            for pool in built:
                pool.close()
            raise
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
        )
        generation.acquire()
        return generation

    def _states(self, route: EndpointRoute, strict: bool) -> dict[str, State]:
        states = {}
        for strategy in route.strategies:
            if strategy.state is None:
                continue
            try:
                files = {name: self._blobs.read(digest) for name, digest in strategy.state.items()}
                states[strategy.name] = state_codec.decode(files)
            except (QuorateError, OSError) as error:
                if strict:
                    raise
                log.error("Strategy '%s' of '%s' cannot answer: %s", strategy.name, route.name, error)
        return states

    async def _pool(self, route: PoolRoute, strict: bool) -> LoadedPool:
        before = resident_bytes()
        pool = await self._background.submit(self._assemble, route, strict)
        try:
            units: list[tuple[Unit, Breaker]] = [(member.unit, member.breaker) for member in pool.members]
            if pool.graph is not None:
                units.append((pool.graph, pool.graph_breaker))
            await asyncio.gather(*(self._warm(pool, unit, breaker) for unit, breaker in units))
            for unit, breaker in units:  # one after the other: they are measured, and must not disturb each other
                if breaker.state is Circuit.CLOSED:
                    await self._measure(pool, unit, breaker)
            after = resident_bytes()
            if before is not None and after is not None:
                pool.memory = max(0, after - before)
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
        members = [
            self._member(member, position, feeds[position], strict) for position, member in enumerate(route.members)
        ]
        raw = self._sample(route)
        return LoadedPool(
            route,
            members,
            pipelines,
            self._graph(route, feeds, strict),
            [pipeline.apply(raw, max_pixels=_NO_PIXEL_LIMIT) for pipeline in pipelines],
            clock=self._clock,
            lane=self._lane,
            on_fault=self._meters.member_fault(route.name),
            on_graph_fault=self._meters.graph_fault(route.name),
            on_run=self._meters.runs(route.name),
            lanes=self._lanes,
        )

    def _member(self, route: MemberRoute, position: int, feed: int, strict: bool) -> LoadedMember:
        artifact = _artifact(route, Path())  # what it declares is known even if it cannot be loaded

        def load() -> Unit:
            runtime = runtime_for(route.format)()
            loadable = _artifact(route, self._blobs.checkout(route.files))
            if runtime.isolated:
                return HostUnit(position, feed, loadable, MemberHost(loadable, clock=self._clock))
            return SessionUnit(position, feed, runtime.load(loadable), loadable)

        unit: Unit
        try:
            unit = load()
        except (QuorateError, OSError) as error:
            if strict:
                raise
            # A damaged member costs its share of the ensemble, not the start; probes try again.
            log.error("Member '%s' could not be loaded and is left out: %s", route.name, error)
            unit = AbsentUnit(position, feed, load)
        member = LoadedMember(route, artifact, unit, Breaker(self._clock))
        stamps = [self._blobs.stamp(digest) for digest in route.files.values()]
        member.weights = sum(stamp[1] for stamp in stamps if stamp is not None)
        return member

    def _graph(self, route: PoolRoute, feeds: list[int], strict: bool) -> GraphUnit | None:
        if route.graph is None:
            return None
        order = [member.name for member in route.members]
        names = route.graph.order
        positions = tuple(order.index(name) for name in names)
        try:
            folder = self._blobs.checkout({GRAPH_FILE: route.graph.digest})
            graph = GraphSession(
                folder / GRAPH_FILE,
                names,
                outputs=None if route.graph.members else route.graph.outputs,
                name=f"pool {route.name}",
                threads=1,
                alone=route.graph.alone,
            )
        except (QuorateError, OSError) as error:
            if strict:
                raise
            log.error("The fused graph of pool '%s' could not be loaded; its members run apart: %s", route.name, error)
            return None
        return GraphUnit(positions, feeds[positions[0]], graph)

    def _sample(self, route: PoolRoute) -> Mapping[str, Any]:
        for member in route.members:
            if member.sample is not None:
                try:
                    return sample_codec.decode(self._blobs.read(member.sample))[0]
                except QuorateError as error:
                    log.error("The held-out rows of member '%s' cannot be read: %s", member.name, error)
        return blank(route.signature)

    async def _warm(self, pool: LoadedPool, unit: Unit, breaker: Breaker) -> None:
        """Run once; a member that cannot do that starts with an open circuit."""
        if isinstance(unit, AbsentUnit):
            breaker.trip()
            return
        try:
            await pool.check(unit)
        except Exception as error:
            self._leave_out(pool, unit, breaker, error)

    async def _measure(self, pool: LoadedPool, unit: Unit, breaker: Breaker) -> None:
        sample = pool.samples[unit.feed]
        try:
            if isinstance(unit, InProcessUnit):
                unit.cost = await self._background.submit(
                    measure, lambda rows: unit.run(repeated(sample, rows)), self._clock
                )
            elif isinstance(unit, HostUnit):
                unit.cost = await self._time(unit, sample)
        except Exception as error:
            self._leave_out(pool, unit, breaker, error)

    async def _time(self, unit: HostUnit, sample: Tensors) -> Cost:
        """One row and, if that is quick, sixteen: what a member in a process of its own costs."""

        async def once(rows: int) -> float:
            started = self._clock.monotonic()
            await unit.run(repeated(sample, rows), timeout=PROBE_TIMEOUT)
            return (self._clock.monotonic() - started) * 1000

        single = min([await once(1) for _ in range(3)])
        if single > SLOW_ROW_MS:
            return Cost(0.0, single)
        row = max(0.0, await once(16) - single) / 15
        return Cost(max(0.0, single - row), row)

    def _leave_out(self, pool: LoadedPool, unit: Unit, breaker: Breaker, error: Exception) -> None:
        breaker.trip()
        if isinstance(unit, HostUnit):
            unit.host.kill()
        unexpected = None if isinstance(error, QuorateError | OSError) else error
        log.error(
            "Member %s failed its warm-up and starts with an open circuit: %s",
            pool.names(unit),
            error,
            exc_info=unexpected,
        )

    def close(self) -> None:
        """Stop the loader's thread; nobody waits for a load under way."""
        self._background.close(lambda: None, timeout=0.0)


def _artifact(route: MemberRoute, folder: Path) -> Artifact:
    return Artifact(
        name=route.name,
        version=route.version,
        format=route.format,
        folder=folder,
        files=tuple(route.files),
        digest=route.digest,
        signature=route.signature,
        tensors=route.tensors,
        output_name=route.output_name,
        options=route.options,
    )


def repeated(sample: Tensors, rows: int) -> Tensors:
    """The first ``rows`` rows of a sample, repeated where it has fewer."""
    return {name: np.take(array, np.arange(rows) % len(array), axis=0) for name, array in sample.items()}


def blank(signature: Signature) -> dict[str, Any]:
    """One row of zeros of a raw signature, for members that came without held-out rows."""
    if signature.input_kind == "image":
        return {"image": np.zeros((1, 32, 32, 3), np.uint8)}
    return {
        spec.name: np.full((1, *(d or 1 for d in spec.shape[1:])), "" if spec.dtype == "str" else 0, _dtype(spec.dtype))
        for spec in signature.inputs
    }


def _dtype(name: str) -> str:
    return "U1" if name == "str" else name
