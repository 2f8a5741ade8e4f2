"""The graph of a pool: its ONNX members fused into one, compiled when a configuration is applied."""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from quorate.codecs import sample as sample_codec
from quorate.codecs.snapshot import GraphRoute, Limits, MemberRoute, PoolRoute
from quorate.control.revisions.together import EVERYBODY, Together
from quorate.core.types import Tensors
from quorate.errors import QuorateError
from quorate.preprocess import Pipeline
from quorate.registry.registry import Registry
from quorate.runtimes import adapt

log = logging.getLogger("quorate.compile")


def fuse(
    pool: PoolRoute, registry: Registry, known: Sequence[PoolRoute], together: Together = EVERYBODY
) -> tuple[PoolRoute, str | None]:
    """The pool with a fused graph where two or more ONNX members are fed alike; else, or for some of them, why not.

    So it is with the sets of members that are asked ``together`` and the others not. A graph of the same members in
    ``known`` pools is used again. A fused graph answers as its members do on their held-out rows, or it is refused. A
    member that stands in its way is left out and runs by itself, and so do all where there is no graph; then the reason
    is returned.
    """
    graph, why = _fused(pool, pool.members, registry, known) if together.whole else (None, None)
    stages, reasons = [], [] if why is None else [why]
    for names in together.sets:
        stage, why = _fused(pool, [member for member in pool.members if member.name in names], registry, known)
        if stage is not None:
            stages.append(stage)
        if why is not None:
            reasons.append(why)
    found = msgspec.structs.replace(pool, graph=graph, stages=tuple(stages))
    return found, " ".join(dict.fromkeys(reasons)) or None


def _fused(
    pool: PoolRoute, members: Sequence[MemberRoute], registry: Registry, known: Sequence[PoolRoute]
) -> tuple[GraphRoute | None, str | None]:
    group = _fed_alike(members)
    left_out: list[str] = []
    while len(group) >= 2:
        graph = _compiled_before(group, registry, known)
        try:
            graph = graph or _compile(pool.name, group, registry)
        except ModuleNotFoundError as error:
            return None, _reason(pool, f"the package '{error.name}' is not installed")
        except QuorateError as error:
            why = str(error).rstrip(".")
            if len(group) == 2 or error.path not in {member.name for member in group}:
                return None, _reason(pool, "; ".join([*left_out, why]))
            group = [member for member in group if member.name != error.path]
            left_out.append(why)
            continue
        told = f"pools.{pool.name}: not all ONNX members are in the fused graph: {'; '.join(left_out)}."
        return graph, told if left_out else None
    return None, None


def _fed_alike(members: Sequence[MemberRoute]) -> list[MemberRoute]:
    """The largest set of ONNX members with the same preprocessing and the same own inputs, whose rows run together."""
    groups: dict[bytes, list[MemberRoute]] = defaultdict(list)
    for member in members:
        if member.format == "onnx" and member.options.get(adapt.ROWS) != adapt.ALONE:
            groups[fed_by(member)].append(member)
    return max(groups.values(), key=len, default=[])


def fed_by(member: MemberRoute) -> bytes:
    """Equal for members that can be given the same tensors: how they are preprocessed, and what they take."""
    tensors = member.tensors
    if len(tensors) == 1:  # a model of one tensor takes it whatever its own name for it
        tensors = (dataclasses.replace(tensors[0], name=""),)
    return msgspec.json.encode((member.preprocess, tensors), order="sorted")


def _compiled_before(group: Sequence[MemberRoute], registry: Registry, known: Sequence[PoolRoute]) -> GraphRoute | None:
    wanted = [_compiled_from(member) for member in group]
    for pool in known:
        for graph in pool.graphs:
            if not graph.members or not registry.blobs.has(graph.digest):
                continue
            if [_compiled_from(member) for member in pool.members if member.name in graph.outputs] == wanted:
                return graph
    return None


def _compiled_from(member: MemberRoute) -> tuple[object, ...]:
    return member.name, member.digest, member.output_name, member.options


def _compile(pool: str, group: Sequence[MemberRoute], registry: Registry) -> GraphRoute:
    from quorate.runtimes.compile import compile_verified
    from quorate.runtimes.graph import STACKED

    members = [
        (member.name, registry.artifact(registry.manifest(f"{member.name}:{member.version}"))) for member in group
    ]
    compiled = compile_verified(members, _rows(group, registry))
    log.info(
        "pools.%s: %d members in one graph; operators rewritten: %s; nodes shared: %d",
        pool,
        len(group),
        ", ".join(f"{count} of '{name}'" for name, count in compiled.rewritten.items()) or "none",
        compiled.shared,
    )
    return GraphRoute(
        digest=registry.blobs.put(compiled.model),
        outputs=dict.fromkeys(compiled.members, STACKED),
        input_name=compiled.input_name,
        members=compiled.members,
    )


def _rows(group: Sequence[MemberRoute], registry: Registry) -> Tensors:
    """The held-out rows of the first member that has some."""
    for member in group:
        found = held_out(member, registry)
        if found is not None:
            return found
    raise QuorateError("none of its members has held-out rows to verify the graph on; register them with a sample")


def held_out(member: MemberRoute, registry: Registry) -> Tensors | None:
    """A member's held-out rows, preprocessed; None where it came without."""
    if member.sample is None:
        return None
    raw, _ = sample_codec.decode(registry.read_blob(member.sample))
    return Pipeline.from_spec(member.preprocess).apply(raw, max_pixels=Limits().image_pixels)


def _reason(pool: PoolRoute, why: str) -> str:
    return f"pools.{pool.name}: the ONNX members run separately, not as one fused graph: {why}."
