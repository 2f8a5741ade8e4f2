"""The graph of a pool: its ONNX members fused into one, compiled when a configuration is applied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from quorate.codecs import sample as sample_codec
from quorate.codecs.snapshot import GraphRoute, Limits, MemberRoute, PoolRoute
from quorate.core.types import Tensors
from quorate.errors import QuorateError
from quorate.preprocess import Pipeline
from quorate.registry.registry import Registry


def fuse(pool: PoolRoute, registry: Registry, known: Sequence[PoolRoute]) -> tuple[PoolRoute, str | None]:
    """The pool with a fused graph where two or more ONNX members are fed alike; else why there is none.

    A graph of the same members in ``known`` pools is used again. A fused graph answers as its members do on their
    held-out rows, or it is refused; then the members run separately, and the reason is returned.
    """
    group = _fed_alike(pool.members)
    if len(group) < 2:
        return pool, None
    graph = _compiled_before(group, registry, known)
    if graph is None:
        try:
            graph = _compile(group, registry)
        except ModuleNotFoundError as error:
            return pool, _reason(pool, f"the package '{error.name}' is not installed")
        except QuorateError as error:
            return pool, _reason(pool, str(error).rstrip("."))
    return msgspec.structs.replace(pool, graph=graph), None


def _fed_alike(members: Sequence[MemberRoute]) -> list[MemberRoute]:
    """The largest set of ONNX members with the same preprocessing and the same own inputs."""
    groups: dict[bytes, list[MemberRoute]] = defaultdict(list)
    for member in members:
        if member.format == "onnx":
            groups[msgspec.json.encode((member.preprocess, member.tensors), order="sorted")].append(member)
    return max(groups.values(), key=len, default=[])


def _compiled_before(group: Sequence[MemberRoute], registry: Registry, known: Sequence[PoolRoute]) -> GraphRoute | None:
    wanted = [_compiled_from(member) for member in group]
    for pool in known:
        if pool.graph is not None and registry.blobs.has(pool.graph.digest):
            fused = [_compiled_from(member) for member in pool.members if member.name in pool.graph.outputs]
            if fused == wanted:
                return pool.graph
    return None


def _compiled_from(member: MemberRoute) -> tuple[object, ...]:
    return member.name, member.digest, member.output_name, member.options


def _compile(group: Sequence[MemberRoute], registry: Registry) -> GraphRoute:
    from quorate.runtimes.compile import compile_pool, verify_graph

    members = [
        (member.name, registry.artifact(registry.manifest(f"{member.name}:{member.version}"))) for member in group
    ]
    compiled = compile_pool(members)
    verify_graph(compiled, members, _rows(group, registry))
    digest = registry.blobs.put(compiled.model)
    return GraphRoute(
        digest=digest, outputs=dict(compiled.outputs), input_name=compiled.input_name, alone=compiled.alone
    )


def _rows(group: Sequence[MemberRoute], registry: Registry) -> Tensors:
    """Held-out rows, preprocessed; those of the first member that has some."""
    for member in group:
        if member.sample is not None:
            raw, _ = sample_codec.decode(registry.read_blob(member.sample))
            return Pipeline.from_spec(member.preprocess).apply(raw, max_pixels=Limits().image_pixels)
    raise QuorateError("none of its members has held-out rows to verify the graph on; register them with a sample")


def _reason(pool: PoolRoute, why: str) -> str:
    return f"pools.{pool.name}: the ONNX members run separately, not as one fused graph: {why}."
