"""Fuse the ONNX members of a pool into one graph that returns the output of every member.

Needs the ``onnx`` package (extra ``train``), which no worker imports: a pool is compiled once, when it is set up;
workers load the result with :mod:`quorate.runtimes.graph`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quorate.core.types import Artifact, FloatArray, Tensors
from quorate.errors import FormatRefused, ParityError
from quorate.runtimes import adapt
from quorate.runtimes.graph import GraphSession
from quorate.runtimes.onnx import OnnxRuntime
from quorate.runtimes.signature import as_answer, one_line, only_file

if TYPE_CHECKING:
    import onnx

# The fused graph runs the same kernels on the same numbers: measured, it is bit for bit equal for linear models,
# forests, neural nets and calibrated SVMs, also where operator sets were raised. A few float32 roundings are left for
# optimisers that fuse across members; a wrong edge or weight is off by far more.
TOLERANCE = 1e-6
_SOFTMAX_OPSET = 13  # for members that use no standard operator themselves

Members = Sequence[tuple[str, Artifact]]


@dataclass(frozen=True, slots=True)
class CompiledGraph:
    """A fused pool: the serialised ONNX ``model``, its one input, and the ``outputs`` tensor of each member.

    ``alone`` says that it must be run one row at a time, because a member must (:mod:`quorate.runtimes.adapt`).
    """

    model: bytes
    outputs: Mapping[str, str]
    input_name: str
    alone: bool = False


def compile_pool(members: Members) -> CompiledGraph:
    """Fuse members, given as (name, artifact), that take the same one tensor.

    Only what a member's own output needs is kept of it. :class:`FormatRefused`, with the reason, if they cannot be
    fused: other formats, other tensors, operator sets that do not agree, or more than 2 GiB together.
    """
    import onnx
    from onnx import helper

    tensor = _shared_tensor(members)
    models = {name: _read(name, artifact) for name, artifact in members}
    opsets = _unify(models)
    graph = onnx.GraphProto(name="pool")
    outputs: dict[str, str] = {}
    for name, artifact in members:
        part = models[name].graph
        _keep_only(part, artifact.output_name)
        _prefix(part, f"{name}/", tensor)
        outputs[name] = f"{name}/{artifact.output_name}"
        if adapt.answers_logits(artifact):
            outputs[name] = _append_softmax(part, artifact.signature.output.width)
            opsets.setdefault("", _SOFTMAX_OPSET)
        if not graph.input:
            graph.input.append(part.input[0])
        graph.node.extend(part.node)
        graph.initializer.extend(part.initializer)
        graph.sparse_initializer.extend(part.sparse_initializer)
        graph.output.extend(part.output)
    fused = helper.make_model(
        graph,
        producer_name="quorate",
        ir_version=max(model.ir_version for model in models.values()),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in sorted(opsets.items())],
    )
    try:
        serialised = fused.SerializeToString()
        onnx.checker.check_model(serialised)
    except Exception as error:  # the checker's, protobuf's and the binding's errors have no common base
        raise FormatRefused(f"These members cannot be fused: the graph is not valid ({one_line(error)}).") from error
    return CompiledGraph(serialised, outputs, tensor, any(adapt.runs_alone(artifact) for _, artifact in members))


def verify_graph(graph: CompiledGraph, members: Members, inputs: Tensors) -> float:
    """Run the graph and every member by itself on the same rows; returns the largest difference.

    :class:`ParityError` if an output differs by more than 1e-6 (relative where it is larger than 1), or if a row's
    largest class is another.
    """
    session = GraphSession(graph.model, graph.outputs, alone=graph.alone)
    try:
        fused = session.run(inputs)
    finally:
        session.close()
    rows = len(next(iter(inputs.values())))
    worst = 0.0
    for name, artifact in members:
        alone = OnnxRuntime().load(artifact)
        try:
            expected = alone.run(inputs)[artifact.output_name]
        finally:
            alone.close()
        worst = max(worst, _compare(name, artifact, expected, as_answer(artifact, fused[name], rows)))
    return worst


def _compare(name: str, artifact: Artifact, expected: FloatArray, got: FloatArray) -> float:
    same = (expected == got) | (np.isnan(expected) & np.isnan(got))
    with np.errstate(invalid="ignore"):
        difference = np.abs(expected - got) / np.maximum(1.0, np.abs(expected))
    worst = float(np.max(np.where(same, 0.0, difference)))
    if not worst <= TOLERANCE:  # so that NaN is a difference
        raise ParityError(
            f"Member '{name}' answers differently in the fused graph: off by {worst:.2g}; "
            f"expected at most {TOLERANCE}; serve it by itself.",
            path=name,
        )
    if artifact.signature.output.kind == "scores" and not np.array_equal(expected.argmax(1), got.argmax(1)):
        row = int(np.argmax(expected.argmax(1) != got.argmax(1)))
        raise ParityError(f"Member '{name}' gives row {row} another label in the fused graph.", path=name)
    return worst


def _shared_tensor(members: Members) -> str:
    if not members:
        raise FormatRefused("There is nothing to fuse; expected at least one member.")
    (first, model), *others = members
    if len({name for name, _ in members}) != len(members):
        raise FormatRefused("Two members to be fused have the same name; name every member once.")
    for name, artifact in members:
        if artifact.format != "onnx":
            raise FormatRefused(
                f"Member '{name}' cannot be fused: its format is {artifact.format}; expected onnx.", path=name
            )
    if len(model.tensors) != 1:
        raise FormatRefused(
            f"Member '{first}' cannot be fused: it takes {len(model.tensors)} tensors; expected one.", path=first
        )
    for name, artifact in others:
        if artifact.tensors != model.tensors:
            raise FormatRefused(
                f"Member '{name}' cannot be fused with '{first}': it takes {', '.join(map(str, artifact.tensors))}, "
                f"that one {model.tensors[0]}.",
                path=name,
            )
    return model.tensors[0].name


def _read(name: str, artifact: Artifact) -> onnx.ModelProto:
    import onnx
    from onnx import inliner

    try:
        model = onnx.load(only_file(artifact, ".onnx"))
        if model.functions:
            model = inliner.inline_local_functions(model)
    except Exception as error:  # protobuf's and the binding's errors have no common base
        raise FormatRefused(f"Member '{name}' cannot be read by onnx ({one_line(error)}).", path=name) from error
    weights = {tensor.name for tensor in model.graph.initializer}  # old files list their weights as inputs as well
    own = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(own)
    return model


def _keep_only(graph: onnx.GraphProto, output: str) -> None:
    """Drop from a graph, in place, whatever does not lead to ``output``."""
    needed = {output}
    kept = []
    for node in reversed(graph.node):  # ONNX demands topological order
        if needed.intersection(node.output):
            kept.append(node)
            for inner in (node, *_inner_nodes(node)):
                needed.update(inner.input)
            for subgraph in _subgraphs(node):
                needed.update(value.name for value in subgraph.output)
    _replace(graph.node, list(reversed(kept)))
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed])
    _replace(graph.sparse_initializer, [t for t in graph.sparse_initializer if t.values.name in needed])
    _replace(graph.output, [value for value in graph.output if value.name == output])


def _append_softmax(graph: onnx.GraphProto, width: int) -> str:
    """Probabilities, float32, in the place of a graph's one output of logits, in place; returns the new output's name.

    On a matrix the softmax of every operator set means the same with the axis written out.
    """
    from onnx import TensorProto, helper

    logits = graph.output[0].name
    graph.node.append(helper.make_node("Cast", [logits], [f"{logits}/float"], to=TensorProto.FLOAT))
    graph.node.append(helper.make_node("Softmax", [f"{logits}/float"], [f"{logits}/softmax"], axis=1))
    _replace(graph.output, [helper.make_tensor_value_info(f"{logits}/softmax", TensorProto.FLOAT, [None, width])])
    return f"{logits}/softmax"


def _prefix(graph: onnx.GraphProto, prefix: str, shared: str) -> None:
    """Put ``prefix`` before every name in a graph and its branches, in place, but the ``shared`` input's.

    ``onnx.compose.add_prefix`` (1.23) forgets, inside branches, the weights that are outside them.
    """

    def renamed(name: str) -> str:
        return name if name in ("", shared) else prefix + name

    for node in graph.node:
        node.name = renamed(node.name)
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
        for subgraph in _subgraphs(node):
            _prefix(subgraph, prefix, shared)
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = renamed(value.name)
    for tensor in graph.sparse_initializer:
        tensor.values.name = renamed(tensor.values.name)


def _replace(field: Any, values: list[Any]) -> None:
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _inner_nodes(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    for graph in _subgraphs(node):
        for inner in graph.node:
            yield inner
            yield from _inner_nodes(inner)


def _unify(models: dict[str, onnx.ModelProto]) -> dict[str, int]:
    """One version per operator domain, the highest of any member; converts members, in place, where that is needed."""
    opsets = {name: _opsets(model) for name, model in models.items()}
    highest: dict[str, int] = {}
    for own in opsets.values():
        for domain, version in own.items():
            highest[domain] = max(version, highest.get(domain, 0))
    for name, own in opsets.items():
        for domain, version in own.items():
            if version != highest[domain] and not _same_meaning(models[name], domain, version, highest[domain]):
                models[name] = _convert(name, models[name], domain, version, highest[domain])
    return highest


def _opsets(model: onnx.ModelProto) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        opsets[domain] = max(entry.version, opsets.get(domain, 0))
    return opsets


def _same_meaning(model: onnx.ModelProto, domain: str, version: int, wanted: int) -> bool:
    """Whether no operator that the model uses was changed between the two versions of its domain."""
    from onnx import defs

    used = {node.op_type for node in _all_nodes(model.graph.node) if _domain(node) == domain}
    try:
        return all(
            defs.get_schema(operator, version, domain).since_version
            == defs.get_schema(operator, wanted, domain).since_version
            for operator in used
        )
    except defs.SchemaError:  # an operator that onnx does not know
        return False


def _all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        yield from _inner_nodes(node)


def _domain(node: onnx.NodeProto) -> str:
    return "" if node.domain == "ai.onnx" else str(node.domain)


def _convert(name: str, model: onnx.ModelProto, domain: str, version: int, wanted: int) -> onnx.ModelProto:
    from onnx import version_converter

    reason = f"onnx converts only its own domain, not {domain}"
    if not domain:
        try:
            converted: onnx.ModelProto = version_converter.convert_version(model, wanted)
            return converted
        except Exception as error:  # the converter's C++ errors
            reason = one_line(error)
    raise FormatRefused(
        f"Member '{name}' cannot be fused: it uses version {version} of the operators '{domain or 'ai.onnx'}', another "
        f"member {wanted} ({reason}); export them with one target_opset.",
        path=name,
    )
