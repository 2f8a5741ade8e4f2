"""Nodes that work column by column, done for all columns at once.

Converters of calibrated and one-against-the-rest models take a matrix ``[n, c]`` apart, treat each column by nodes of
its own and put the results side by side again; for one row nearly all the time goes into calling those nodes. Here
they are read as expressions (:mod:`~quorate.runtimes.compile.expressions`) and written again: atoms of the same
function and depth by one node, affine combinations by one product or matrix product::

    Concat(Div(1, Add(1, Exp(Add(Mul(a0, x[0]), b0)))), …)   becomes   Sigmoid(Add(Mul(x, [-a0, …]), [-b0, …]))

A matrix product would carry a column that is not finite into all the others, so columns that may be infinite where the
answer is not are never mixed by one: such a graph stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quorate.runtimes.compile import parts
from quorate.runtimes.compile.expressions import FLOAT, Affine, Columns, Reader

if TYPE_CHECKING:
    import onnx

_BOUNDED = frozenset({"Sigmoid", "Tanh", "Cast"})


class _NotThisGraph(Exception):
    """A region that cannot, or need not, be written otherwise."""


def vectorise(
    graph: onnx.GraphProto, opset: int, widths: Mapping[str, int], finite: Iterable[str], stem: str = ""
) -> int:
    """Write column-wise regions anew, in place; returns how many nodes there are less.

    ``widths`` are the numbers of columns of float32 matrices, by tensor; ``finite`` are tensors that are finite
    wherever the model's answer is. New names begin with ``stem``. Only what leads to a concatenation is looked at; a
    graph in which that saves nothing stays.
    """
    reader = Reader(graph, widths)
    region = reader.region()
    if not region:
        return 0
    made = {node.output[0] for node in region}  # which tells a node from others
    outside = [node for node in graph.node if node.output[0] not in made]
    wanted = made & parts.consumers(outside, graph.output).keys()
    build = parts.Builder(graph, f"{stem}columns/", opset)
    try:
        _Writer(build, reader, frozenset(finite)).write({name: reader.columns[name] for name in sorted(wanted)})
    except _NotThisGraph:
        return 0
    saved = len(region) - len(build.nodes)
    if saved <= 0:
        return 0
    graph.initializer.extend(build.weights)
    parts.replace(graph.node, _sorted([*outside, *build.nodes]))
    return saved


def _sorted(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Nodes after those whose outputs they read."""
    maker = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    done: set[int] = set()
    found: list[onnx.NodeProto] = []
    for last in range(len(nodes)):
        stack = [last]
        while stack:
            index = stack[-1]
            read = (name for each in parts.all_nodes([nodes[index]]) for name in each.input if name in maker)
            before = [maker[name] for name in read if maker[name] not in done and maker[name] != index]
            stack.extend(before)
            if not before:
                stack.pop()
                if index not in done:
                    done.add(index)
                    found.append(nodes[index])
    return found


@dataclass(frozen=True)
class _Vector:
    """A tensor of atoms side by side."""

    name: str
    width: int


class _Writer:
    """Turns expressions into nodes."""

    def __init__(self, build: parts.Builder, reader: Reader, finite: frozenset[str]) -> None:
        self._build = build
        self._atoms = reader.atoms
        self._widths = reader.widths
        self._finite = finite
        self._at: dict[int, tuple[_Vector, int]] = {}

    def write(self, wanted: Mapping[str, Columns]) -> None:
        """Nodes for tensors by name; :class:`_NotThisGraph` if that cannot be done safely."""
        order: dict[int, int] = {}  # atom to depth, in the order in which they are met
        for columns in wanted.values():
            for column in columns:
                self._depth(column, order)
        groups: dict[tuple[int, str], list[int]] = {}
        for number, depth in order.items():
            atom = self._atoms[number]
            if atom.place is None:
                groups.setdefault((depth, atom.operator), []).append(number)
        self._sources(order)
        for (_, operator), numbers in sorted(groups.items()):
            operands = zip(*(self._atoms[number].args for number in numbers), strict=True)
            made = [self._tensor(list(columns)) for columns in operands]
            extra: dict[str, Any] = {"to": FLOAT} if operator == "Cast" else {}
            vector = _Vector(self._build.node(operator, made, **extra), len(numbers))
            self._at.update({number: (vector, place) for place, number in enumerate(numbers)})
        for name, columns in wanted.items():
            if not any(column.terms for column in columns):
                raise _NotThisGraph  # it has no rows
            self._build.node("Identity", [self._tensor(list(columns))], output=name)
        self._drop_identities(wanted)

    def _depth(self, column: Affine, order: dict[int, int]) -> int:
        deepest = 0
        for number, _ in column.terms:
            if number not in order:
                below = [self._depth(argument, order) for argument in self._atoms[number].args]
                order[number] = 1 + max(below, default=0)
            deepest = max(deepest, order[number])
        return deepest

    def _sources(self, order: Mapping[int, int]) -> None:
        for number in order:
            place = self._atoms[number].place
            if place is not None:
                self._at[number] = (_Vector(place[0], self._widths[place[0]]), place[1])

    def _bounded(self, number: int) -> bool:
        atom = self._atoms[number]
        if atom.place is not None:
            return atom.place[0] in self._finite
        if atom.operator == "Abs":
            return all(self._bounded(term) for term, _ in atom.args[0].terms)
        return atom.operator in _BOUNDED

    def _tensor(self, columns: list[Affine]) -> str:
        """The name of a tensor ``[n, len(columns)]``: a sum over the vectors that its atoms are in."""
        vectors = list(dict.fromkeys(self._at[number][0] for column in columns for number, _ in column.terms))
        bias: str | None = None
        constants = np.asarray([[column.constant for column in columns]], np.float32)
        if constants.any() or not vectors:
            bias = self._build.weight(constants)
        if not vectors:
            return str(bias)
        products = []
        total = ""
        if all(len(column.terms) == 1 for column in columns):
            total, vectors = self._picked(columns), []
        for vector in vectors:
            picked = self._selection(vector, columns)
            if picked is None:
                products.append(vector)
            else:
                total = picked if not total else self._build.node("Add", [total, picked])
        for vector in products:
            matrix = self._matrix(vector, columns)
            added = [total] if total else [bias] if bias is not None else []
            bias = bias if total else None
            total = self._build.node("Gemm", [vector.name, self._build.weight(matrix), *added])
        return total if bias is None else self._build.node("Add", [total, bias])

    def _terms(self, vector: _Vector, columns: Sequence[Affine]) -> list[list[tuple[int, int, float]]]:
        """For each column its terms in the vector: atom, place, coefficient."""
        return [
            [(n, self._at[n][1], coefficient) for n, coefficient in column.terms if self._at[n][0] == vector]
            for column in columns
        ]

    def _selection(self, vector: _Vector, columns: Sequence[Affine]) -> str | None:
        """The vector's share where each column has exactly one term in it: picked and scaled; else None."""
        terms = self._terms(vector, columns)
        if any(len(each) != 1 for each in terms):
            return None
        return self._picked([Affine(((number, coefficient),)) for ((number, _, coefficient),) in terms])

    def _picked(self, columns: Sequence[Affine]) -> str:
        """Columns of one term each, picked from the vectors they are in, and scaled."""
        runs: list[tuple[_Vector, list[int]]] = []
        for column in columns:
            vector, place = self._at[column.terms[0][0]]
            if not runs or runs[-1][0] != vector:
                runs.append((vector, []))
            runs[-1][1].append(place)
        pieces = [
            vector.name
            if places == list(range(vector.width))
            else self._build.node("Gather", [vector.name, self._build.weight(np.asarray(places))], axis=1)
            for vector, places in runs
        ]
        name = pieces[0] if len(pieces) == 1 else self._build.node("Concat", pieces, axis=1)
        scale = np.asarray([[column.terms[0][1] for column in columns]], np.float32)
        return name if (scale == 1).all() else self._build.node("Mul", [name, self._build.weight(scale)])

    def _matrix(self, vector: _Vector, columns: Sequence[Affine]) -> NDArray[np.float32]:
        terms = self._terms(vector, columns)
        if not all(self._bounded(number) for each in terms for number, _, _ in each):
            raise _NotThisGraph
        matrix = np.zeros((vector.width, len(columns)))
        for column, each in enumerate(terms):
            for _, place, coefficient in each:
                matrix[place, column] = coefficient
        return matrix.astype(np.float32)

    def _drop_identities(self, wanted: Mapping[str, Columns]) -> None:
        """Let nodes write what is wanted themselves, where nothing else reads it."""
        nodes = self._build.nodes
        for name in wanted:
            identity = next(node for node in nodes if node.op_type == "Identity" and node.output[0] == name)
            maker = [node for node in nodes if identity.input[0] in node.output]
            readers = [node for node in nodes if identity.input[0] in node.input]
            if maker and len(readers) == 1:
                maker[0].output[0] = name
                nodes.remove(identity)
