"""Work that several members begin with is done once: equal nodes on equal inputs are merged.

Two nodes are equal if operator, attributes and inputs are; weights are equal if type, shape and every byte are. So
members that start with the same Cast or Scaler share it, and whatever follows alike. What draws random numbers, has
branches or no inputs to tell it by is left as it is.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from quorate.runtimes.compile import parts

if TYPE_CHECKING:
    import onnx

_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli", "Dropout"}
)


def share(graph: onnx.GraphProto) -> int:
    """Merge equal nodes and equal weights of a graph, in place; returns how many nodes went.

    What a branch reads from outside is renamed with the rest; graph outputs keep their names.
    """
    renamed: dict[str, str] = {}
    _share_weights(graph, renamed)
    first: dict[tuple[object, ...], onnx.NodeProto] = {}
    outputs = {value.name for value in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        _rename(node, renamed)
        key = _key(node)
        same = None if key is None or outputs.intersection(node.output) else first.setdefault(key, node)
        if same is None or same is node:
            kept.append(node)
        else:
            renamed.update(zip(node.output, same.output, strict=True))
    dropped = len(graph.node) - len(kept)
    parts.replace(graph.node, kept)
    return dropped


def _share_weights(graph: onnx.GraphProto, renamed: dict[str, str]) -> None:
    first: dict[bytes, str] = {}
    kept = []
    for tensor in graph.initializer:
        content = type(tensor).FromString(tensor.SerializeToString())
        content.ClearField("name")
        content.ClearField("doc_string")
        digest = hashlib.sha256(content.SerializeToString(deterministic=True)).digest()
        name = first.setdefault(digest, tensor.name)
        if name == tensor.name:
            kept.append(tensor)
        else:
            renamed[tensor.name] = name
    parts.replace(graph.initializer, kept)


def _rename(node: onnx.NodeProto, renamed: dict[str, str]) -> None:
    for inner in (node, *parts.inner_nodes(node)):
        inner.input[:] = [renamed.get(name, name) for name in inner.input]
    for each in (node, *parts.inner_nodes(node)):
        for graph in parts.subgraphs(each):
            for value in graph.output:  # a branch may hand on what is outside it
                value.name = renamed.get(value.name, value.name)


def _key(node: onnx.NodeProto) -> tuple[object, ...] | None:
    """What equal nodes have in common; None for one that must not be merged."""
    if node.op_type in _RANDOM or any(True for _ in parts.subgraphs(node)):
        return None
    if not any(node.input):
        return None
    attributes = sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)
    used = tuple(bool(name) for name in node.output)
    return parts.domain_of(node), node.op_type, tuple(node.input), tuple(attributes), used
