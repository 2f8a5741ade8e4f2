"""One member's graph, read, inlined, reduced to what its answer needs, and named so that it fits beside others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import Artifact
from quorate.errors import FormatRefused
from quorate.runtimes.signature import one_line, only_file

if TYPE_CHECKING:
    import onnx


def read(name: str, artifact: Artifact) -> onnx.ModelProto:
    """A member's model with its weights and without functions; :class:`FormatRefused` if onnx cannot read it."""
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
    if len(own) != 1:
        raise FormatRefused(
            f"Member '{name}' cannot be fused: its file takes {len(own)} tensors; expected one.", path=name
        )
    return model


def keep_only(graph: onnx.GraphProto, output: str) -> None:
    """Drop from a graph, in place, whatever does not lead to ``output``, and what was noted of shapes.

    Lengths without a number are known by names that each exporter chooses for itself; two members' equal names for
    different lengths would make ONNX Runtime share memory between them.
    """
    needed = {output}
    kept = []
    for node in reversed(graph.node):  # ONNX demands topological order
        if needed.intersection(node.output):
            kept.append(node)
            for inner in (node, *inner_nodes(node)):
                needed.update(inner.input)
            for subgraph in subgraphs(node):
                needed.update(value.name for value in subgraph.output)
                del subgraph.value_info[:]
    replace(graph.node, list(reversed(kept)))
    replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed])
    replace(graph.sparse_initializer, [t for t in graph.sparse_initializer if t.values.name in needed])
    replace(graph.output, [value for value in graph.output if value.name == output])
    del graph.value_info[:], graph.quantization_annotation[:]


def prefix(graph: onnx.GraphProto, by: str, shared: dict[str, str]) -> None:
    """Put ``by`` before every name in a graph and its branches, in place; names in ``shared`` become what it says.

    ``onnx.compose.add_prefix`` (1.23) forgets, inside branches, the weights that are outside them.
    """

    def renamed(name: str) -> str:
        return shared.get(name, by + name) if name else name

    for node in graph.node:
        node.name = by + node.name if node.name else ""
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
        for subgraph in subgraphs(node):
            prefix(subgraph, by, shared)
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = renamed(value.name)
    for tensor in graph.sparse_initializer:
        tensor.values.name = renamed(tensor.values.name)


def replace(field: Any, values: list[Any]) -> None:
    """Put copies of ``values`` in the place of a repeated field's content, which they may be part of."""
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The branches of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def inner_nodes(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """The nodes in a node's branches, and in theirs."""
    for graph in subgraphs(node):
        yield from all_nodes(graph.node)


def all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes and those in their branches."""
    for node in nodes:
        yield node
        yield from inner_nodes(node)


def domain_of(node: onnx.NodeProto) -> str:
    """A node's operator domain; the standard one has two names."""
    return "" if node.domain == "ai.onnx" else str(node.domain)


def consumers(nodes: Sequence[onnx.NodeProto], outputs: Iterable[onnx.ValueInfoProto]) -> dict[str, int]:
    """How often each tensor is read: by nodes, those in branches included, and as an output, theirs or ``outputs``."""
    found: dict[str, int] = {}
    names = [value.name for value in outputs]
    for node in all_nodes(nodes):
        names.extend(node.input)
        names.extend(value.name for subgraph in subgraphs(node) for value in subgraph.output)
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found


def lift_constants(graph: onnx.GraphProto) -> None:
    """Make weights of the graph's own Constant nodes of numbers, in place."""
    from onnx import TensorProto, helper, numpy_helper

    dtypes = {"value_float": "float32", "value_floats": "float32", "value_int": "int64", "value_ints": "int64"}
    kept = []
    for node in graph.node:
        attributes: dict[str, Any] = {
            attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute
        }
        (kind, value), *_ = [*attributes.items(), ("", None)]
        if node.op_type == "Constant" and not domain_of(node) and kind == "value":
            tensor = TensorProto.FromString(value.SerializeToString())
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
        elif node.op_type == "Constant" and not domain_of(node) and kind in dtypes:
            graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtypes[kind]), node.output[0]))
        else:
            kept.append(node)
    replace(graph.node, kept)


class Builder:
    """Appends nodes and weights to a graph under names that nothing else has."""

    def __init__(self, graph: onnx.GraphProto, stem: str, opset: int) -> None:
        self._opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        taken = {name for node in all_nodes(graph.node) for name in (*node.input, *node.output)}
        taken |= {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
        while any(name.startswith(stem) for name in taken):
            stem += "_"
        self._stem = stem

    def _name(self, hint: str) -> str:
        return f"{self._stem}{hint}{len(self.nodes) + len(self.weights)}"

    def node(
        self, operator: str, inputs: Sequence[str], *, output: str = "", domain: str = "", **attributes: Any
    ) -> str:
        """Append a node of one output; returns the output's name."""
        from onnx import helper

        output = output or self._name(operator.lower())
        self.nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def weight(self, value: NDArray[Any]) -> str:
        """Append a weight; returns its name."""
        from onnx import numpy_helper

        name = self._name("w")
        self.weights.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def reduced(self, operator: str, tensor: str) -> str:
        """Append a reduction over the second axis, which keeps it; returns the output's name."""
        if self._opset < 18:  # axes became an input
            return self.node(operator, [tensor], axes=[1], keepdims=1)
        return self.node(operator, [tensor, self.weight(np.asarray([1]))], keepdims=1)
