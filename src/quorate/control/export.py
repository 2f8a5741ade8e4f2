"""One strategy of an endpoint as one ONNX file: its members, its combiner, and what a caller must know of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from quorate import __version__, plugins
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import EndpointRoute, MemberRoute, PoolRoute, Routing, StrategyRoute
from quorate.control.revisions import fuse
from quorate.core.combine.base import Combiner
from quorate.core.types import Artifact, FloatArray, OutputSpec, State, Tensors
from quorate.errors import ConfigError, FormatRefused, NotFound, ParityError, QuorateError
from quorate.registry.registry import Registry
from quorate.runtimes import adapt

log = logging.getLogger("quorate.compile")

TOLERANCE = 1e-5
"""The most that an exported strategy's answers may differ from those of its members and combiner here."""


@dataclass(frozen=True)
class Exported:
    """The file's bytes and metadata, the outputs it has, and how far it was from the combiner on ``rows`` rows."""

    model: bytes
    metadata: Mapping[str, str]
    outputs: tuple[str, ...]
    rows: int
    largest_difference: float


def export_strategy(routing: Routing, registry: Registry, endpoint: str, strategy: str | None = None) -> Exported:
    """One strategy of an endpoint, the only one if none is named, in ONNX.

    The file takes what the members take, after their declared preprocessing (metadata ``preprocess``), and answers
    ``label`` and ``probabilities``, or ``values``. On held-out rows it answered as the members and the combiner do
    here: within 1e-5 and with the same labels.

    :class:`~quorate.errors.NotFound` for an unknown endpoint or strategy, :class:`~quorate.errors.ConfigError` where a
    name is missing, :class:`~quorate.errors.FormatRefused` with the reason where it cannot be one file,
    :class:`~quorate.errors.ParityError` with the figures where it would answer differently.
    """
    route, chosen = _chosen(routing, endpoint, strategy)
    pool = next(pool for pool in routing.pools if pool.name == route.pool)
    members = [next(member for member in pool.members if member.name == name) for name in chosen.members]
    _check(chosen, members)
    state = _state(chosen, registry)
    plugin = plugins.load("combiners", chosen.kind)
    combiner: Combiner = plugin(msgspec.convert(dict(chosen.params), plugin.Params))
    metadata = _metadata(route, chosen, pool, members)
    return _verified(members, registry, combiner, state, pool.signature.output, metadata)


def _chosen(routing: Routing, endpoint: str, strategy: str | None) -> tuple[EndpointRoute, StrategyRoute]:
    route = next((each for each in routing.endpoints if each.name == endpoint), None)
    if route is None:
        known = ", ".join(sorted(each.name for each in routing.endpoints)) or "none"
        raise NotFound(f"There is no endpoint '{endpoint}'; expected one of: {known}.", path="endpoint")
    names = ", ".join(each.name for each in route.strategies)
    if strategy is None:
        if len(route.strategies) != 1:
            raise ConfigError(
                f"Endpoint '{endpoint}' has {len(route.strategies)} strategies; name one of: {names}.", path="strategy"
            )
        return route, route.strategies[0]
    found = next((each for each in route.strategies if each.name == strategy), None)
    if found is None:
        raise NotFound(
            f"Endpoint '{endpoint}' has no strategy '{strategy}'; expected one of: {names}.", path="strategy"
        )
    return route, found


def _check(strategy: StrategyRoute, members: list[MemberRoute]) -> None:
    """:class:`FormatRefused` unless the members, all of them, can be one graph."""
    if strategy.plan != "all":
        raise FormatRefused(
            f"Strategy '{strategy.name}' cannot be exported: its plan '{strategy.plan}' chooses members as it goes."
        )
    if strategy.calibrate is not None:
        raise FormatRefused(
            f"Strategy '{strategy.name}' cannot be exported: its calibration is no part of a graph, and without it the "
            "probabilities would be others. Export a strategy without 'calibrate'."
        )
    for member in members:
        why = None
        if member.format != "onnx":
            why = f"member '{member.name}:{member.version}' is a {member.format} model; expected onnx"
        elif member.options.get(adapt.ROWS) == adapt.ALONE:
            why = f"the rows of member '{member.name}:{member.version}' must be run one at a time"
        elif fuse.fed_by(member) != fuse.fed_by(members[0]):
            why = f"member '{member.name}' is preprocessed otherwise than '{members[0].name}'"
        if why is not None:
            raise FormatRefused(f"Strategy '{strategy.name}' cannot be exported: {why}.", path=member.name)


def _state(strategy: StrategyRoute, registry: Registry) -> State | None:
    if strategy.state is None:
        return None
    return state_codec.decode({name: registry.read_blob(digest) for name, digest in strategy.state.items()})


def _metadata(
    route: EndpointRoute, strategy: StrategyRoute, pool: PoolRoute, members: list[MemberRoute]
) -> dict[str, str]:
    """What the model's metadata say, each a JSON text but for plain names."""
    output = pool.signature.output

    def json(value: Any) -> str:
        return msgspec.json.encode(value).decode()

    return {
        "quorate.version": __version__,
        "quorate.endpoint": route.name,
        "quorate.strategy": strategy.name,
        "quorate.combiner": json({"kind": strategy.kind, **strategy.params}),
        "quorate.task": pool.task,
        "quorate.classes": json(output.classes),
        "quorate.targets": json({"names": output.names, "units": output.units}),
        "quorate.members": json([{"name": m.name, "version": m.version, "digest": m.digest} for m in members]),
        "quorate.preprocess": json(members[0].preprocess),
        "quorate.input": json({"kind": pool.signature.input_kind, "raw": list(map(str, pool.signature.inputs))}),
    }


def _verified(
    members: list[MemberRoute],
    registry: Registry,
    combiner: Combiner,
    state: State | None,
    output: OutputSpec,
    metadata: Mapping[str, str],
) -> Exported:
    """The first of two graphs that passes: with rewritten operators, else with the members' own."""
    from quorate.runtimes.compile import compile_pool
    from quorate.runtimes.compile.combiners import LABEL, PROBABILITIES, VALUES, attached, with_combiner

    attached(combiner)
    rows = _rows(members, registry)
    artifacts = [(m.name, registry.artifact(registry.manifest(f"{m.name}:{m.version}"))) for m in members]
    expected = _expected(artifacts, rows, combiner, state)
    graph = compile_pool(artifacts, rows)
    model = with_combiner(graph, combiner, state, output, metadata)
    try:
        worst = _compare(model, rows, expected, output)
    except ParityError as error:
        if not graph.rewritten:
            raise
        log.warning("The strategy is exported without rewritten operators: %s", error)
        model = with_combiner(compile_pool(artifacts), combiner, state, output, metadata)
        worst = _compare(model, rows, expected, output)
    names = (LABEL, PROBABILITIES) if output.kind == "scores" else (VALUES,)
    return Exported(model, metadata, names, len(expected), worst)


def _rows(members: list[MemberRoute], registry: Registry) -> Tensors:
    """Everything held out for any of the members, preprocessed."""
    parts = [tensors for member in members if (tensors := fuse.held_out(member, registry)) is not None]
    if not parts:
        raise QuorateError("None of the members has held-out rows to compare on; register them with a sample.")
    name = next(iter(parts[0]))
    return {name: np.concatenate([next(iter(part.values())) for part in parts])}


def _expected(
    members: list[tuple[str, Artifact]], rows: Tensors, combiner: Combiner, state: State | None
) -> FloatArray:
    """What the members and the combiner say here."""
    from quorate.runtimes.compile.parity import own_answers

    outputs = np.stack([own_answers(artifact, rows) for _, artifact in members], axis=1)
    return combiner.combine(outputs, np.zeros(outputs.shape[:2], np.int8), state)


def _compare(model: bytes, rows: Tensors, expected: FloatArray, output: OutputSpec) -> float:
    from quorate.runtimes.onnx import open_session

    session = open_session(model, name="the exported strategy")
    *labels, got = session.run(None, {session.get_inputs()[0].name: next(iter(rows.values()))})
    scale = 1.0 if output.kind == "scores" else np.maximum(1.0, np.abs(expected))
    worst = float((np.abs(got - expected) / scale).max())
    others = 0
    if labels:
        others = int((np.asarray(output.classes)[expected.argmax(axis=1)] != labels[0].astype(str)).sum())
    if not worst <= TOLERANCE or others:
        raise ParityError(
            f"The exported strategy does not answer as its members and combiner do on {len(expected)} held-out rows: "
            f"the largest difference is {worst:.3g} ({TOLERANCE:g} is allowed), and {others} labels differ."
        )
    return worst
