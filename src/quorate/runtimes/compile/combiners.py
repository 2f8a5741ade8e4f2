"""A combiner as nodes behind a fused graph: from every member's output to one answer, in double precision as in numpy.

An exported graph has all its members: what a combiner does without one of them is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from quorate.core.combine.base import Combiner
from quorate.core.combine.mean import Mean
from quorate.core.combine.single import Single
from quorate.core.combine.stack import Stack
from quorate.core.combine.vote import WINNER, Vote
from quorate.core.combine.weighted import Weighted
from quorate.core.types import OutputSpec, State
from quorate.errors import FormatRefused
from quorate.runtimes.compile.parts import Builder
from quorate.runtimes.compile.pool import CompiledGraph
from quorate.runtimes.graph import STACKED
from quorate.runtimes.signature import one_line

if TYPE_CHECKING:
    import onnx

LABEL, PROBABILITIES, VALUES = "label", "probabilities", "values"

_OPSET = 13  # reductions have their axes as an input since
_FLOAT, _DOUBLE = 1, 11  # TensorProto's numbers

Attach = Callable[[Builder, Combiner, "State | None", int], str]


def with_combiner(
    graph: CompiledGraph, combiner: Combiner, state: State | None, output: OutputSpec, notes: Mapping[str, str]
) -> bytes:
    """The graph with the combiner behind it: ``label`` text ``[n]`` and ``probabilities``, or ``values``, ``[n, k]``.

    ``notes`` become the model's metadata. :class:`FormatRefused` for a combiner that has no form in ONNX.
    """
    import onnx
    from onnx import TensorProto, helper

    attach = attached(combiner)
    model = onnx.load_from_string(graph.model)
    opset = _opset_of(model)
    build = Builder(model.graph, "combiner/", opset)
    answer = attach(build, combiner, state, len(graph.members))
    name = PROBABILITIES if output.kind == "scores" else VALUES
    build.node("Cast", [answer], output=name, to=_FLOAT)
    del model.graph.output[:]
    if output.kind == "scores":
        best = build.node("ArgMax", [name], axis=1, keepdims=0)
        labels = build.weight(np.asarray(output.classes, object))
        build.node("Gather", [labels, best], output=LABEL)
        model.graph.output.append(helper.make_tensor_value_info(LABEL, TensorProto.STRING, ["rows"]))
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", output.width]))
    model.graph.node.extend(build.nodes)
    model.graph.initializer.extend(build.weights)
    helper.set_model_props(model, dict(notes))
    try:
        onnx.checker.check_model(model)
        serialised: bytes = model.SerializeToString(deterministic=True)
    except Exception as error:  # the checker's and protobuf's errors have no common base
        raise FormatRefused(f"The members and their combiner are no valid graph ({one_line(error)}).") from error
    return serialised


def attached(combiner: Combiner) -> Attach:
    """What writes a combiner as nodes; :class:`FormatRefused` for one that has no form in ONNX."""
    attach = _ATTACH.get(type(combiner))
    if attach is None:
        raise FormatRefused(
            f"The combiner '{combiner.kind}' has no form in ONNX; expected one of "
            f"{', '.join(sorted(kind.kind for kind in _ATTACH))}."
        )
    return attach


def _opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operators; :class:`FormatRefused` where it is too old for a combiner's nodes."""
    found: int = next(entry.version for entry in model.opset_import if not entry.domain)
    if found < _OPSET:
        raise FormatRefused(
            f"The members use version {found} of the standard operators, which is too old for a combiner; expected "
            f"{_OPSET} or newer: export them again with a newer opset."
        )
    return found


def _single(build: Builder, combiner: Combiner, state: State | None, members: int) -> str:
    return build.node("Gather", [STACKED, build.weight(np.asarray(0))], axis=1)


def _mean(build: Builder, combiner: Combiner, state: State | None, members: int) -> str:
    return _average(build, build.node("Cast", [STACKED], to=_DOUBLE), members)


def _vote(build: Builder, combiner: Combiner, state: State | None, members: int) -> str:
    soft = _mean(build, combiner, state, members)
    if combiner.params.voting == "soft":
        return soft
    votes = _one_hot(build, build.node("ArgMax", [STACKED], axis=2, keepdims=0), 2)
    share = _average(build, votes, members)
    tie = build.node("Mul", [soft, build.weight(np.asarray(0.5 / members))])
    winner = build.node("ArgMax", [build.node("Add", [share, tie])], axis=1, keepdims=0)
    most = build.node("Mul", [share, build.weight(np.asarray(1.0 - WINNER))])
    extra = build.node("Mul", [_one_hot(build, winner, 1), build.weight(np.asarray(WINNER))])
    return build.node("Add", [most, extra])


def _one_hot(build: Builder, indices: str, axis: int) -> str:
    """1 where a class was chosen, else 0, as float64; as many classes as the members' outputs have."""
    shape = build.node("Shape", [STACKED])
    classes = build.node("Gather", [shape, build.weight(np.asarray([2]))])
    found = build.node("OneHot", [indices, classes, build.weight(np.asarray([0, 1], np.float32))], axis=axis)
    return build.node("Cast", [found], to=_DOUBLE)


def _weighted(build: Builder, combiner: Combiner, state: State | None, members: int) -> str:
    given = state.arrays["weights"] if state is not None else combiner.params.weights
    weights = np.asarray(given, np.float64).reshape(1, members, 1)
    product = build.node("Mul", [build.node("Cast", [STACKED], to=_DOUBLE), build.weight(weights)])
    return build.node("Div", [_sum(build, product), build.weight(np.asarray(weights.sum()))])


def _stack(build: Builder, combiner: Combiner, state: State | None, members: int) -> str:
    if state is None:
        raise FormatRefused("'stack' needs a fitted state; name one from the registry under 'state'.")
    coefficients, intercepts = state.arrays["coefficients"][0], state.arrays["intercepts"][0]
    flat = build.node("Reshape", [STACKED, build.weight(np.asarray([-1, len(coefficients)]))])
    features = build.node("Cast", [flat], to=_DOUBLE)
    scores = state.meta["output"] == "scores"
    if scores:
        clip = build.weight(np.asarray(state.meta["clip"], np.float64))
        features = build.node("Log", [build.node("Max", [features, clip])])
    product = build.node("MatMul", [features, build.weight(np.asarray(coefficients, np.float64))])
    answer = build.node("Add", [product, build.weight(np.asarray(intercepts, np.float64))])
    return build.node("Softmax", [answer], axis=1) if scores else answer


def _average(build: Builder, doubles: str, members: int) -> str:
    return build.node("Div", [_sum(build, doubles), build.weight(np.asarray(float(members)))])


def _sum(build: Builder, doubles: str) -> str:
    """Over the members."""
    return build.node("ReduceSum", [doubles, build.weight(np.asarray([1]))], keepdims=0)


_ATTACH: dict[type[Combiner], Attach] = {
    Single: _single,
    Mean: _mean,
    Vote: _vote,
    Weighted: _weighted,
    Stack: _stack,
}
