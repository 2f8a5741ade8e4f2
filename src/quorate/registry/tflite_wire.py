"""Checks that a TFLite file is well-formed before anything loads it; LiteRT itself trusts what it reads.

The tables below are those of the public schema (tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3c) through
which LiteRT finds its way. Options of operators that are not listed hold numbers only, or are not looked into.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from quorate.flatbuffer import Malformed, View, field

IDENTIFIER = b"TFL3"


class _List(NamedTuple):
    """A vector of numbers of so many bytes each."""

    width: int


class _Table(NamedTuple):
    """One table, or with ``many`` a vector of them."""

    name: str
    many: bool = False


class _Union(NamedTuple):
    """A table whose kind is the number in the field before; of kinds that are not listed only the outline is known."""

    names: dict[int, str]


class _Text(NamedTuple):
    """A string."""


_What = int | _List | _Table | _Union | _Text
_TEXT = _Text()
_SPARSE = _Union({1: "Int32s", 2: "Uint16s", 3: "Bytes"})
_TABLES: Final[dict[str, dict[int, _What]]] = {
    "Model": {
        0: 4,
        1: _Table("OperatorCode", True),
        2: _Table("SubGraph", True),
        3: _TEXT,
        4: _Table("Buffer", True),
        5: _List(4),
        6: _Table("Metadata", True),
        7: _Table("SignatureDef", True),
    },
    "OperatorCode": {0: 1, 1: _TEXT, 2: 4, 3: 4},
    "SubGraph": {0: _Table("Tensor", True), 1: _List(4), 2: _List(4), 3: _Table("Operator", True), 4: _TEXT},
    "Tensor": {
        0: _List(4),
        1: 1,
        2: 4,
        3: _TEXT,
        4: _Table("Quantization"),
        5: 1,
        6: _Table("Sparsity"),
        7: _List(4),
        8: 1,
        9: _Table("VariantSubType", True),
    },
    "Quantization": {0: _List(4), 1: _List(4), 2: _List(4), 3: _List(8), 4: 1, 5: _Union({1: "Bytes"}), 6: 4},
    "Sparsity": {0: _List(4), 1: _List(4), 2: _Table("Dimension", True)},
    "Dimension": {0: 1, 1: 4, 2: 1, 3: _SPARSE, 4: 1, 5: _SPARSE},
    "VariantSubType": {0: _List(4), 1: 1, 2: 1},
    "Operator": {
        0: 4,
        1: _List(4),
        2: _List(4),
        3: 1,
        4: _Union({3: "ConcatEmbeddings", 17: "Int32s", 30: "Int32s", 111: "VarHandle", 115: "Int32s"}),
        5: _List(1),
        6: 1,
        7: _List(1),
        8: _List(4),
        9: 8,
        10: 8,
        11: 1,
        12: _Union(dict.fromkeys((2, 3, 9, 10, 13), "Int64s") | {7: "Scatter", 16: "Gather", 21: "Composite"}),
    },
    "Buffer": {0: _List(1), 1: 8, 2: 8},
    "Metadata": {0: _TEXT, 1: 4},
    "SignatureDef": {0: _Table("TensorMap", True), 1: _Table("TensorMap", True), 2: _TEXT, 4: 4},
    "TensorMap": {0: _TEXT, 1: 4},
    "ConcatEmbeddings": {0: 4, 1: _List(4), 2: _List(4)},
    "VarHandle": {0: _TEXT, 1: _TEXT},
    "Scatter": {0: 1, 1: _List(8), 2: _List(8), 3: _List(8), 4: 8, 5: 1, 6: 4},
    "Gather": {0: _List(8), 1: _List(8), 2: _List(8), 3: 8, 4: _List(8), 5: 1},
    "Composite": {0: _TEXT, 1: 4, 2: _List(1), 3: 1, 4: 4},
    "Int32s": {0: _List(4)},
    "Uint16s": {0: _List(2)},
    "Bytes": {0: _List(1)},
    "Int64s": {index: _List(8) for index in range(5)},
    "": {},
}


def is_tflite(data: bytes) -> bool:
    """Whether the bytes say of themselves that they are a TFLite file."""
    return data[4:8] == IDENTIFIER


def check_tflite(data: bytes) -> None:
    """Raise :class:`Malformed` unless every part of the file lies inside it and every index names something."""
    if not is_tflite(data):
        raise Malformed(f"bytes 4 to 8 are not {IDENTIFIER.decode()}")
    view = View(data)
    root = view.follow(0)
    seen: set[tuple[str, int]] = set()
    todo = [("Model", root)]
    while todo:
        kind, table = todo.pop()
        if (kind, table) not in seen:  # one table may be part of many; it is looked at once
            seen.add((kind, table))
            todo += _parts(view, kind, table)
    _check_indexes(view, root)


def _parts(view: View, kind: str, table: int) -> Iterator[tuple[str, int]]:
    """Check a table's fields; the tables that it refers to, with their kinds."""
    fields = view.fields(table)
    for index, what in _TABLES[kind].items():
        at = field(fields, index)
        if not at:
            continue
        if isinstance(what, int):
            view.number("BHIQ"[what.bit_length() - 1], at)
        elif isinstance(what, _List):
            view.vector(at, what.width)
        elif isinstance(what, _Text):
            view.text(at)
        elif isinstance(what, _Union):
            chosen = field(fields, index - 1)
            yield what.names.get(view.number("B", chosen) if chosen else 0, ""), view.follow(at)
        elif what.many:
            yield from ((what.name, each) for each in view.tables(at))
        else:
            yield what.name, view.follow(at)


def _check_indexes(view: View, root: int) -> None:
    model = view.fields(root)
    codes, graphs, buffers = (view.tables(field(model, index)) for index in (1, 2, 4))
    if not graphs or not buffers:
        raise Malformed("it has no graph, or no buffers")
    for buffer in buffers:
        offset, size = (_number(view, view.fields(buffer), index, "Q") for index in (1, 2))
        if offset > 1 and offset + size > len(view.data):
            raise Malformed(f"it is cut off: a buffer ends at byte {offset + size} of {len(view.data)}")
    for position, graph in enumerate(graphs):
        _check_graph(view, graph, f"graph {position}", len(codes), len(buffers))
    for signature in view.tables(field(model, 7)):
        fields = view.fields(signature)
        _known(_number(view, fields, 4, "I"), len(graphs), "a signature names graph")
        tensors = len(view.tables(field(view.fields(graphs[_number(view, fields, 4, "I")]), 0)))
        for named in (*view.tables(field(fields, 0)), *view.tables(field(fields, 1))):
            _known(_number(view, view.fields(named), 1, "I"), tensors, "a signature names tensor")


def _check_graph(view: View, graph: int, name: str, codes: int, buffers: int) -> None:
    fields = view.fields(graph)
    tensors = view.tables(field(fields, 0))
    for tensor in tensors:
        _known(_number(view, view.fields(tensor), 2, "I"), buffers, f"a tensor of {name} names buffer")
    for end in (1, 2):
        for index in view.numbers(field(fields, end), "i"):
            _known(index, len(tensors), f"{name} begins or ends with tensor")
    for operator in view.tables(field(fields, 3)):
        inside = view.fields(operator)
        _known(_number(view, inside, 0, "I"), codes, f"{name} names operator")
        for which in (1, 2, 8):
            for index in view.numbers(field(inside, which), "i"):
                if index != -1:  # an input that may be left out
                    _known(index, len(tensors), f"an operator of {name} names tensor")


def _number(view: View, fields: tuple[int, ...], index: int, code: str) -> int:
    """A number, 0 where it is not there: the default of all that are asked for here."""
    at = field(fields, index)
    return view.number(code, at) if at else 0


def _known(index: int, count: int, what: str) -> None:
    if not 0 <= index < count:
        raise Malformed(f"{what} {index}, and there are {count}")
