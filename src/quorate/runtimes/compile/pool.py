"""Fuse the ONNX members of a pool into one graph that answers for all of them in one tensor."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quorate.core.types import Artifact, FloatArray, Tensors
from quorate.errors import FormatRefused, ParityError
from quorate.runtimes import adapt
from quorate.runtimes.compile import columns, opsets, parts, shared, svm
from quorate.runtimes.compile.parity import REWRITTEN, compare, own_answers
from quorate.runtimes.graph import STACKED, GraphSession
from quorate.runtimes.signature import one_line

if TYPE_CHECKING:
    import onnx

log = logging.getLogger("quorate.compile")

_SOFTMAX_OPSET = 13  # for members that use no standard operator themselves
_REWRITES_FROM = 11  # older standard operators lack what rewritten nodes need
_INPUT = "input"

Members = Sequence[tuple[str, Artifact]]


@dataclass(frozen=True, slots=True)
class CompiledGraph:
    """A fused pool: the serialised ONNX ``model`` with one input ``input_name`` and one output.

    The output is float32 ``[n, m, k]``, on its second axis the ``members`` in order. ``rewritten`` says how many
    operators of which members were written otherwise, ``shared`` how many nodes several members had in common.
    """

    model: bytes
    members: tuple[str, ...]
    input_name: str
    rewritten: Mapping[str, int] = field(default_factory=dict)
    shared: int = 0


def compile_pool(members: Members, rows: Tensors | None = None) -> CompiledGraph:
    """Fuse members, given as (name, artifact), that take the same one tensor; its name may differ.

    Only what a member's own output needs is kept of it. With ``rows``, real ones, operators that ONNX Runtime is
    slow at are written otherwise (:mod:`~quorate.runtimes.compile.svm`, :mod:`~quorate.runtimes.compile.columns`) in
    every member that then answers those rows as before (:data:`~quorate.runtimes.compile.parity.REWRITTEN`); the
    others stay as they are. :class:`FormatRefused`, with the reason and the member's name as its path, if members
    cannot be fused: other formats or tensors, rows that must run alone, operator sets that do not agree, over 2 GiB.
    """
    _check(members)
    models = {name: parts.read(name, artifact) for name, artifact in members}
    versions = opsets.unify(models)
    versions.setdefault("", _SOFTMAX_OPSET)
    ir_version = max(model.ir_version for model in models.values())
    for name, artifact in members:
        _prepare(models[name].graph, name, artifact)
    rewritten: dict[str, int] = {}
    if rows is not None and versions[""] >= _REWRITES_FROM:
        for name, artifact in members:
            count = _rewrite(models[name], (name, artifact), versions, ir_version, rows)
            if count:
                rewritten[name] = count
    pool, common = _assemble([(name, artifact, models[name].graph) for name, artifact in members])
    return CompiledGraph(
        _model(pool, versions, ir_version), tuple(name for name, _ in members), _INPUT, rewritten, common
    )


def _check(members: Members) -> None:
    if not members:
        raise FormatRefused("There is nothing to fuse; expected at least one member.")
    (first, model), *others = members
    if len({name for name, _ in members}) != len(members):
        raise FormatRefused("Two members to be fused have the same name; name every member once.")
    for name, artifact in members:
        if artifact.format != "onnx":
            raise _refused(name, f"its format is {artifact.format}; expected onnx")
        if len(artifact.tensors) != 1:
            raise _refused(name, f"it takes {len(artifact.tensors)} tensors; expected one")
        if adapt.runs_alone(artifact):
            raise _refused(name, "its rows must be run alone, which would keep the others' rows apart too")
    (expected,) = model.tensors
    for name, artifact in others:
        (found,) = artifact.tensors
        if (found.dtype, found.shape) != (expected.dtype, expected.shape):
            raise FormatRefused(
                f"Member '{name}' cannot be fused with '{first}': it takes {found}, not {expected}.", path=name
            )
        if artifact.signature.output.width != model.signature.output.width:
            raise FormatRefused(
                f"Member '{name}' cannot be fused with '{first}': it answers {artifact.signature.output.width} numbers "
                f"a row, not {model.signature.output.width}.",
                path=name,
            )


def _refused(name: str, why: str) -> FormatRefused:
    return FormatRefused(f"Member '{name}' cannot be fused: {why}.", path=name)


def _prepare(graph: onnx.GraphProto, name: str, artifact: Artifact) -> None:
    """A member's graph as part of a pool's, in place: one output ``[n, k]`` or ``[n]``, names of its own."""
    parts.keep_only(graph, artifact.output_name)
    if not graph.output:
        raise _refused(name, f"its file has no output '{artifact.output_name}'")
    if graph.sparse_initializer:
        raise _refused(name, "it has sparse weights")
    parts.lift_constants(graph)
    parts.prefix(graph, f"{name}/", {graph.input[0].name: _INPUT})


def _rewrite(
    model: onnx.ModelProto, member: tuple[str, Artifact], versions: Mapping[str, int], ir_version: int, rows: Tensors
) -> int:
    """Rewrite a member's slow operators, in place, if it then answers ``rows`` as before; how many were replaced."""
    name, artifact = member
    graph = type(model.graph).FromString(model.graph.SerializeToString())
    machines, scores = svm.rewrite(graph, versions[""], f"{name}/")
    widths = svm.widths(graph, scores)
    saved = columns.vectorise(graph, versions[""], widths, scores, f"{name}/") if widths else 0
    if not machines and not saved:
        return 0
    try:
        pool, _ = _assemble([(name, artifact, graph)])
        session = GraphSession(_model(pool, versions, ir_version), [name], name=name)
        try:
            got: FloatArray = session.run(rows)[:, 0]
        finally:
            session.close()
        compare(name, artifact, own_answers(artifact, rows), got, REWRITTEN)
    except (FormatRefused, ParityError) as error:
        log.warning("Member '%s' keeps its own operators, because rewritten ones are no substitute: %s", name, error)
        return 0
    model.graph.CopyFrom(graph)
    return machines + saved


def _assemble(members: Sequence[tuple[str, Artifact, onnx.GraphProto]]) -> tuple[onnx.GraphProto, int]:
    """The pool's graph and how many nodes its members share."""
    import onnx
    from onnx import TensorProto, helper

    graph = onnx.GraphProto(name="pool")
    columns_of = []
    for name, artifact, part in members:
        graph.node.extend(part.node)
        graph.initializer.extend(part.initializer)
        columns_of.append(_answer(graph, name, artifact, part.output[0]))
    _, artifact, first = members[0]
    width = artifact.signature.output.width
    value = first.input[0].type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else None for dim in value.shape.dim]
    graph.input.append(helper.make_tensor_value_info(_INPUT, value.elem_type, ["rows", *shape[1:]]))
    shape_name = f"{STACKED}/shape"
    graph.initializer.append(helper.make_tensor(shape_name, TensorProto.INT64, [3], [-1, len(members), width]))
    flat = columns_of[0]
    if len(columns_of) > 1:
        flat = f"{STACKED}/flat"
        graph.node.append(helper.make_node("Concat", columns_of, [flat], axis=1))
    graph.node.append(helper.make_node("Reshape", [flat, shape_name], [STACKED]))
    graph.output.append(helper.make_tensor_value_info(STACKED, TensorProto.FLOAT, ["rows", len(members), width]))
    return graph, shared.share(graph)


def _answer(graph: onnx.GraphProto, name: str, artifact: Artifact, output: Any) -> str:
    """Append what makes a member's output float32 ``[n, k]``, a softmax if it asks for one; the tensor's name.

    On a matrix the softmax of every operator set means the same with the axis written out.
    """
    from onnx import TensorProto, helper

    found: str = output.name
    width = artifact.signature.output.width
    if output.type.tensor_type.elem_type != TensorProto.FLOAT:
        graph.node.append(helper.make_node("Cast", [found], [f"{name}//float"], to=TensorProto.FLOAT))
        found = f"{name}//float"
    if width == 1:  # [n] will do for such a model
        graph.initializer.append(helper.make_tensor(f"{name}//column", TensorProto.INT64, [2], [-1, 1]))
        graph.node.append(helper.make_node("Reshape", [found, f"{name}//column"], [f"{name}//matrix"]))
        found = f"{name}//matrix"
    if adapt.answers_logits(artifact):
        graph.node.append(helper.make_node("Softmax", [found], [f"{name}//softmax"], axis=1))
        found = f"{name}//softmax"
    return found


def _model(graph: onnx.GraphProto, versions: Mapping[str, int], ir_version: int) -> bytes:
    import onnx
    from onnx import helper

    used = {parts.domain_of(node) for node in parts.all_nodes(graph.node)}
    fused = helper.make_model(
        graph,
        producer_name="quorate",
        ir_version=ir_version,
        opset_imports=[
            helper.make_opsetid(domain, version) for domain, version in sorted(versions.items()) if domain in used
        ],
    )
    try:
        serialised: bytes = fused.SerializeToString(deterministic=True)
        onnx.checker.check_model(serialised)
    except Exception as error:  # the checker's, protobuf's and the binding's errors have no common base
        raise FormatRefused(f"These members cannot be fused: the graph is not valid ({one_line(error)}).") from error
    return serialised
