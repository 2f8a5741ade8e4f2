"""Nodes that work column by column, read as expressions.

A column is an affine combination of *atoms*; an atom is a column of a tensor that comes from elsewhere, or a function
(exp, a product of two expressions …) of other expressions. Equal atoms are one. ``1 / (1 + exp(z))`` is read as a
sigmoid, which cannot overflow on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.runtimes.compile import parts

if TYPE_CHECKING:
    import onnx

FLOAT = 1  # TensorProto's number
_WIDEST = 256
_UNARY = frozenset({"Exp", "Abs", "Sigmoid", "Tanh"})
_SOURCE = "source"


class Affine(NamedTuple):
    """``sum(coefficient * atom) + constant``; terms (atom, coefficient) in the order of atoms, none of them 0."""

    terms: tuple[tuple[int, float], ...]
    constant: float = 0.0


class Atom(NamedTuple):
    """A column: ``key`` is the tensor it comes from and its place there, or an operator; ``args`` its operands."""

    operator: str
    args: tuple[Affine, ...]
    place: tuple[str, int] | None = None


Columns = tuple[Affine, ...]


class Reader:
    """The expressions of a graph's tensors: ``columns`` by name, over ``atoms`` by number."""

    def __init__(self, graph: onnx.GraphProto, widths: Mapping[str, int]) -> None:
        from onnx import numpy_helper

        self.graph = graph
        self.widths = widths
        self.atoms: list[Atom] = []
        self.columns: dict[str, Columns] = {}
        self._numbers: dict[Atom, int] = {}
        small = [tensor for tensor in graph.initializer if np.prod(tensor.dims, dtype=np.int64) <= _WIDEST]
        self.constants: dict[str, NDArray[Any]] = {tensor.name: numpy_helper.to_array(tensor) for tensor in small}

    def region(self) -> list[onnx.NodeProto]:
        """The nodes that can be expressed and lead to a concatenation of what was expressed."""
        maker: dict[str, onnx.NodeProto] = {}
        ends: list[onnx.NodeProto] = []
        for node in self.graph.node:
            found = self._express(node)
            if found is None:
                continue
            self.columns[node.output[0]] = found
            maker[node.output[0]] = node
            if node.op_type == "Concat" and any(name in maker for name in node.input):
                ends.append(node)
        kept: set[str] = set()
        while ends:
            node = ends.pop()
            if node.output[0] not in kept:
                kept.add(node.output[0])
                ends.extend(maker[name] for name in node.input if name in maker)
        return [node for node in self.graph.node if node.output[0] in kept]

    def _express(self, node: onnx.NodeProto) -> Columns | None:
        from onnx import helper

        if len(node.output) != 1:
            return None
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        domain = parts.domain_of(node)
        if domain == "ai.onnx.ml" and node.op_type == "ArrayFeatureExtractor":
            return self._picked(node, -1)
        if domain:
            return None
        rule: Callable[[onnx.NodeProto, dict[str, Any]], Columns | None] | None = _RULES.get(node.op_type)
        return None if rule is None else rule(self, node, attributes)  # type: ignore[call-arg]

    # --- operands ---------------------------------------------------------------------------------

    def operand(self, name: str) -> Columns | None:
        """A tensor's columns, those of a weight that is one row included; None where it is no such thing."""
        if name in self.columns:
            return self.columns[name]
        value = self.constants.get(name)
        if value is not None:
            if value.dtype != np.float32 or value.ndim > 2 or (value.ndim == 2 and value.shape[0] != 1):
                return None
            return tuple(Affine((), float(number)) for number in value.ravel())
        width = self.widths.get(name, 0)
        if not 0 < width <= _WIDEST:
            return None
        return tuple(self.atom(Atom(_SOURCE, (), (name, column))) for column in range(width))

    def atom(self, atom: Atom) -> Affine:
        """The expression that is this atom alone."""
        number = self._numbers.setdefault(atom, len(self.atoms))
        if number == len(self.atoms):
            self.atoms.append(atom)
        return Affine(((number, 1.0),))

    def is_bool(self, column: Affine) -> bool:
        """Whether a column is a comparison's truth, which is no number yet."""
        return any(self.atoms[atom].operator == "Less" for atom, _ in column.terms)

    def numbers(self, node: onnx.NodeProto) -> list[Columns] | None:
        """The node's operands, brought to one width; None if one of them is unknown or no number."""
        found = [self.operand(name) for name in node.input]
        if any(each is None for each in found):
            return None
        operands = [each for each in found if each is not None]
        if not any(column.terms for each in operands for column in each):
            return None
        width = max(map(len, operands))
        if any(len(each) not in (1, width) for each in operands):
            return None
        if any(self.is_bool(column) for each in operands for column in each):
            return None
        return [each * width if len(each) == 1 else each for each in operands]

    # --- operators --------------------------------------------------------------------------------

    def same(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> Columns | None:
        return self.columns.get(node.input[0]) or self.operand(node.input[0])

    def cast(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> Columns | None:
        found = self.operand(node.input[0])
        if found is None or attributes.get("to") != FLOAT:
            return None
        return tuple(self.atom(Atom("Cast", (each,))) if self.is_bool(each) else each for each in found)

    def added(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> Columns | None:
        operands = self.numbers(node)
        if operands is None:
            return None
        signs = [1.0, -1.0] if node.op_type == "Sub" else [1.0] * len(operands)
        return tuple(combined(zip(each, signs, strict=True)) for each in zip(*operands, strict=True))

    def negated(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> Columns | None:
        operands = self.numbers(node)
        return None if operands is None else tuple(combined([(each, -1.0)]) for each in operands[0])

    def multiplied(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> Columns | None:
        operands = self.numbers(node)
        return None if operands is None else tuple(self._product(a, b) for a, b in zip(*operands, strict=True))

    def _product(self, a: Affine, b: Affine) -> Affine:
        if not a.terms:
            return combined([(b, a.constant)])
        return combined([(a, b.constant)]) if not b.terms else self.atom(Atom("Mul", (a, b)))

    def divided(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> Columns | None:
        operands = self.numbers(node)
        return None if operands is None else tuple(self._quotient(a, b) for a, b in zip(*operands, strict=True))

    def _quotient(self, a: Affine, b: Affine) -> Affine:
        if not b.terms and b.constant:
            return combined([(a, 1.0 / b.constant)])
        if a == Affine((), 1.0) and b.constant == 1.0 and len(b.terms) == 1:
            (number, coefficient), *_ = b.terms
            atom = self.atoms[number]
            if coefficient == 1.0 and atom.operator == "Exp":
                return self.atom(Atom("Sigmoid", (combined([(atom.args[0], -1.0)]),)))
        return self.atom(Atom("Div", (a, b)))

    def function(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> Columns | None:
        operands = self.numbers(node)
        return (
            None
            if operands is None
            else tuple(self.atom(Atom(node.op_type, args)) for args in zip(*operands, strict=True))
        )

    def joined(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> Columns | None:
        if attributes.get("axis") not in (1, -1):
            return None
        found = [self.operand(name) if name not in self.constants else None for name in node.input]
        if any(each is None for each in found):
            return None
        columns = tuple(column for each in found if each is not None for column in each)
        return columns if len(columns) <= _WIDEST else None

    def picked(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> Columns | None:
        return self._picked(node, attributes.get("axis", 0))

    def _picked(self, node: onnx.NodeProto, axis: int) -> Columns | None:
        found, where = self.operand(node.input[0]), self.constants.get(node.input[1])
        if found is None or where is None or axis not in (1, -1) or node.input[0] in self.constants:
            return None
        if where.ndim != 1 and node.op_type == "Gather":
            return None  # which has another rank
        indices = [int(i) for i in where.ravel()]
        return tuple(found[i] for i in indices) if all(-len(found) <= i < len(found) for i in indices) else None

    def sliced(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> Columns | None:
        found = self.operand(node.input[0])
        given = [self.constants.get(name) for name in node.input[1:]]
        if found is None or node.input[0] in self.constants or len(given) < 3 or any(each is None for each in given):
            return None
        starts, ends, axes, *steps = (each.ravel().tolist() for each in given if each is not None)
        if axes not in ([1], [-1]) or (steps and steps[0] != [1]):
            return None
        return found[slice(starts[0], ends[0])] or None


_RULES: dict[str, Any] = {
    "Identity": Reader.same,
    "Cast": Reader.cast,
    "Add": Reader.added,
    "Sub": Reader.added,
    "Sum": Reader.added,
    "Neg": Reader.negated,
    "Mul": Reader.multiplied,
    "Div": Reader.divided,
    "Less": Reader.function,
    "Concat": Reader.joined,
    "Gather": Reader.picked,
    "Slice": Reader.sliced,
    **dict.fromkeys(_UNARY, Reader.function),
}


def combined(parts_of: Iterable[tuple[Affine, float]]) -> Affine:
    """The weighted sum of expressions.

    >>> combined([(Affine(((0, 1.0),), 2.0), 3.0), (Affine(((0, -3.0),)), 1.0)])
    Affine(terms=(), constant=6.0)
    """
    total: dict[int, float] = {}
    constant = 0.0
    for expression, weight in parts_of:
        constant += weight * expression.constant
        for atom, coefficient in expression.terms:
            total[atom] = total.get(atom, 0.0) + weight * coefficient
    return Affine(tuple((atom, total[atom]) for atom in sorted(total) if total[atom]), constant)
