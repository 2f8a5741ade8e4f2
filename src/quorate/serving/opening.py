"""Opening: from a member's or graph's route and the files in the registry to the unit that runs it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quorate.clock import Clock
from quorate.codecs import sample as sample_codec
from quorate.codecs.snapshot import THREADS, GraphRoute, MemberRoute, PoolRoute, PoolRun
from quorate.core.types import Artifact, Signature
from quorate.errors import QuorateError
from quorate.registry.blobs import BlobStore
from quorate.runtimes.graph import GraphSession
from quorate.runtimes.host import MemberHost
from quorate.runtimes.lookup import runtime_for
from quorate.serving.breaker import Breaker
from quorate.serving.member import LoadedMember
from quorate.serving.parts import GraphInParts, SessionInParts
from quorate.serving.units import AbsentUnit, GraphUnit, HostUnit, InProcessUnit, SessionUnit, Unit

log = logging.getLogger("quorate.serving")
GRAPH_FILE = "graph.onnx"
AS_MEASURED = PoolRun()


class Opener:
    """Opens units. Where it is not strict, what is damaged is left out and logged."""

    def __init__(self, registry: Path, clock: Clock) -> None:
        self.blobs = BlobStore(registry)
        self._clock = clock

    def size(self, route: PoolRoute) -> int:
        """Bytes of all files of a pool."""
        files = sum(self._weight(member) for member in route.members)
        return files + self._bytes([graph.digest for graph in route.graphs])

    def _weight(self, route: MemberRoute) -> int:
        return self._bytes(route.files.values())

    def _bytes(self, digests: Any) -> int:
        stamps = [self.blobs.stamp(digest) for digest in digests]
        return sum(stamp[1] for stamp in stamps if stamp is not None)

    def member(
        self,
        route: MemberRoute,
        position: int,
        feed: int,
        *,
        strict: bool,
        run: PoolRun = AS_MEASURED,
    ) -> LoadedMember:
        """A member at its position in the pool, which is run as ``run`` says."""

        def load() -> Unit:
            return self._unit(route, position, feed, run.threads, run)

        unit: Unit
        try:
            unit = load()
        except (QuorateError, OSError) as error:
            if strict:
                raise
            # A damaged member costs its share of the ensemble, not the start; probes try again.
            log.error("Member '%s' could not be loaded and is left out: %s", route.name, error)
            unit = AbsentUnit(position, feed, load)
        # What it declares is known even if it cannot be loaded.
        member = LoadedMember(route, artifact_of(route, Path()), unit, Breaker(self._clock))
        member.weights = self._weight(route)
        return member

    def _unit(self, route: MemberRoute, position: int, feed: int, threads: int | None, run: PoolRun) -> Unit:
        """``threads`` are for a member that does not declare its own."""
        runtime = runtime_for(route.format)()
        loadable = artifact_of(route, self.blobs.checkout(route.files), threads)
        most = run.max_batch_rows.get(route.name)
        unit: Unit
        if runtime.isolated:
            hosts = [MemberHost(loadable, clock=self._clock) for _ in range(run.replicas.get(route.name, 1))]
            unit = HostUnit(position, feed, loadable, *hosts, clock=self._clock)
        else:
            session = runtime.load(loadable)
            unit = SessionUnit(position, feed, session if most is None else SessionInParts(session, most), loadable)
        unit.max_rows = most
        return unit

    def graph(
        self,
        route: PoolRoute,
        fused: GraphRoute | None,
        feeds: Sequence[int],
        *,
        strict: bool,
        threads: int = 1,
        run: PoolRun = AS_MEASURED,
    ) -> GraphUnit | None:
        """A fused graph of a pool, if there is one; ``feeds`` are the members' pipelines.

        A run of it has no more rows than any of its members may be given.
        """
        if fused is None:
            return None
        names = fused.order
        positions = _positions(route, fused)
        try:
            folder = self.blobs.checkout({GRAPH_FILE: fused.digest})
            graph = GraphSession(
                folder / GRAPH_FILE,
                names,
                outputs=None if fused.members else fused.outputs,
                name=f"pool {route.name}",
                threads=threads,
                alone=fused.alone,
            )
        except (QuorateError, OSError) as error:
            if strict:
                raise
            log.error("The fused graph of pool '%s' could not be loaded; its members run apart: %s", route.name, error)
            return None
        most = min((run.max_batch_rows[name] for name in names if name in run.max_batch_rows), default=None)
        unit = GraphUnit(positions, feeds[positions[0]], graph if most is None else GraphInParts(graph, most))
        unit.max_rows = most
        return unit

    def reopener(self, route: PoolRoute, unit: InProcessUnit, run: PoolRun) -> Callable[[int], InProcessUnit] | None:
        """Opens a unit again with so many threads; None where it says itself how many it has."""
        if isinstance(unit, GraphUnit):
            feeds = [unit.feed] * len(route.members)
            fused = next(graph for graph in route.graphs if _positions(route, graph) == unit.members)

            def open_graph(threads: int) -> InProcessUnit:
                graph = self.graph(route, fused, feeds, strict=True, threads=threads, run=run)
                assert graph is not None  # noqa: S101 - the unit is one
                return graph

            return open_graph
        (position,) = unit.members
        member = route.members[position]
        if member.format != "onnx" or member.threads is not None:
            return None

        def open_member(threads: int) -> InProcessUnit:
            found = self._unit(member, position, unit.feed, threads, run)
            assert isinstance(found, InProcessUnit)  # noqa: S101 - the runtime is the same
            return found

        return open_member

    def sample(self, route: PoolRoute) -> Mapping[str, Any]:
        """Held-out raw rows of a member, zeros where there are none."""
        for member in route.members:
            if member.sample is not None:
                try:
                    return sample_codec.decode(self.blobs.read(member.sample))[0]
                except QuorateError as error:
                    log.error("The held-out rows of member '%s' cannot be read: %s", member.name, error)
        return blank(route.signature)


def _positions(route: PoolRoute, graph: GraphRoute) -> tuple[int, ...]:
    order = [member.name for member in route.members]
    return tuple(order.index(name) for name in graph.order)


def artifact_of(route: MemberRoute, folder: Path, threads: int | None = None) -> Artifact:
    """What a runtime loads; ``threads`` are for an ONNX member that does not declare its own."""
    options = route.options
    if threads is not None and route.format == "onnx":
        options = {THREADS: threads, **options}
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
        options=options,
    )


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
