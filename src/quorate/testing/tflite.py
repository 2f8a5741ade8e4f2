"""Small TFLite files, for tests that need one: a layer of weights and a softmax, in floats or in integers."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

INPUT, HIDDEN, LOGITS, SCORES = "pixels", "hidden", "logits", "scores"
_FLOAT32, _INT32, _UINT8, _INT8 = 0, 2, 3, 9
_TYPES = {"float32": _FLOAT32, "int32": _INT32, "uint8": _UINT8, "int8": _INT8}
_FULLY_CONNECTED, _SOFTMAX = 9, 25  # operators; in the union of options they are 8 and 9
_RELU = 1
_OPTIONS = {_FULLY_CONNECTED: 8, _SOFTMAX: 9}
_VERSIONS = {_FULLY_CONNECTED: {"int8": 4}, _SOFTMAX: {"int8": 2}}


class Number(NamedTuple):
    """A number of that :mod:`struct` code, kept inside its table."""

    code: str
    value: float


class Numbers(NamedTuple):
    """A vector of numbers of that code; ``align`` in bytes."""

    code: str
    values: Sequence[float] | bytes
    align: int = 4


Table = dict[int, Any]
"""Field number to :class:`Number`, :class:`Numbers`, text, another table, or a list of tables."""


def flatbuffer(root: Table, identifier: bytes) -> bytes:
    """A FlatBuffer of a table; the parts of a table come after it, in the order of its fields."""
    out = bytearray(4) + identifier
    _refer(out, 0, _write(out, root))
    return bytes(out)


def _write(out: bytearray, value: Any) -> int:
    if isinstance(value, dict):
        return _table(out, value)
    if isinstance(value, str):
        return _vector(out, value.encode(), 1, 4, end=b"\0")
    if isinstance(value, Numbers):
        data = value.values
        if not isinstance(data, bytes):
            data = struct.pack(f"<{len(data)}{value.code}", *data)
        return _vector(out, data, struct.calcsize(value.code), value.align)
    start = _vector(out, bytes(4 * len(value)), 4, 4)
    for index, each in enumerate(value):
        _refer(out, start + 4 + 4 * index, _write(out, each))
    return start


def _table(out: bytearray, fields: Table) -> int:
    sizes = {index: struct.calcsize(v.code) if isinstance(v, Number) else 4 for index, v in fields.items()}
    places, length = {}, 4
    for index in sorted(fields, key=lambda each: -sizes[each]):
        length += -length % sizes[index]
        places[index] = length
        length += sizes[index]
    count = max(fields, default=-1) + 1
    _pad(out, 8)
    vtable = len(out)
    out += struct.pack(f"<{count + 2}H", 4 + 2 * count, length, *(places.get(index, 0) for index in range(count)))
    _pad(out, 8)
    start = len(out)
    out += struct.pack("<i", start - vtable) + bytes(length - 4)
    for index, value in fields.items():
        at = start + places[index]
        if isinstance(value, Number):
            struct.pack_into(f"<{value.code}", out, at, value.value)
        else:
            _refer(out, at, _write(out, value))
    return start


def _vector(out: bytearray, data: bytes, width: int, align: int, end: bytes = b"") -> int:
    while (len(out) + 4) % max(align, width):
        out.append(0)
    start = len(out)
    out += struct.pack("<I", len(data) // width) + data + end
    return start


def _pad(out: bytearray, align: int) -> None:
    out += bytes(-len(out) % align)


def _refer(out: bytearray, at: int, target: int) -> None:
    struct.pack_into("<I", out, at, target - at)


@dataclass(frozen=True, slots=True)
class Step:
    """How a tensor of integers is made: ``real = step * (integer - zero)``."""

    step: float
    zero: int


def dense_network(
    weights: NDArray[np.float64],
    bias: NDArray[np.float64],
    *,
    shape: Sequence[int] | None = None,
    dtype: str = "float32",
    given: Step | None = None,
    logits: Step | None = None,
    softmax: bool = True,
    hidden: NDArray[np.float64] | None = None,
) -> bytes:
    """A TFLite file of ``softmax(input @ weights + bias)``, ``weights`` ``[features, classes]``.

    ``shape`` is that of one row of the input (``[features]`` if not given; others are flattened). With ``dtype`` uint8
    or int8 it takes and answers integers: ``given`` and ``logits`` are the scales of the input and of what the softmax
    takes. Without ``softmax`` it answers the logits. ``hidden`` ``[given, features]`` are the weights of a layer before
    it, in floats, that answers what is positive. Tensors are called :data:`INPUT`, :data:`HIDDEN`, :data:`LOGITS` and
    :data:`SCORES`.
    """
    features, classes = weights.shape
    taken = features if hidden is None else len(hidden)
    tensors: list[Table] = []
    buffers: list[Table] = [{}]
    whole = dtype != "float32"
    coarse = Step(float(np.abs(weights).max()) / 127, 0 if dtype == "int8" else 128)

    def tensor(name: str, size: Sequence[int], kind: str, scale: Step | None, data: bytes | None = None) -> int:
        if data is not None:
            buffers.append({0: Numbers("B", data, 16)})
        made: Table = {0: Numbers("i", size), 1: Number("b", _TYPES[kind]), 3: name}
        made[2] = Number("I", len(buffers) - 1 if data is not None else 0)
        if scale is not None:
            made[4] = {2: Numbers("f", [scale.step]), 3: Numbers("q", [scale.zero], 8)}
        tensors.append(made)
        return len(tensors) - 1

    if whole:
        assert given is not None
        assert logits is not None
        kept = np.rint(weights.T / coarse.step + coarse.zero).astype(dtype)
        added = np.rint(bias / (given.step * coarse.step)).astype(np.int32)
    else:
        kept, added = weights.T.astype(np.float32), bias.astype(np.float32)
    of_bias = Step(given.step * coarse.step, 0) if given is not None else None
    operators = []
    first = before = tensor(INPUT, [1, *(shape or [taken])], dtype, given)
    if hidden is not None:
        layer = tensor("first weights", [features, taken], dtype, None, hidden.T.astype(np.float32).tobytes())
        before = tensor(HIDDEN, [1, features], dtype, None)
        operators.append(_operator(0, _FULLY_CONNECTED, [first, layer, -1], [before], {0: Number("b", _RELU)}))
    layer = tensor("weights", [classes, features], dtype, coarse if whole else None, kept.tobytes())
    shift = tensor("bias", [classes], "int32" if whole else "float32", of_bias, added.tobytes())
    last = tensor(LOGITS, [1, classes], dtype, logits)
    operators.append(_operator(0, _FULLY_CONNECTED, [before, layer, shift], [last], {}))
    if softmax:
        shares = Step(1 / 256, -128 if dtype == "int8" else 0) if whole else None
        before, last = last, tensor(SCORES, [1, classes], dtype, shares)
        operators.append(_operator(1, _SOFTMAX, [before], [last], {0: Number("f", 1.0)}))
    graph: Table = {0: tensors, 1: Numbers("i", [first]), 2: Numbers("i", [last]), 3: operators, 4: "main"}
    return flatbuffer({0: Number("I", 3), 1: _codes(dtype, softmax), 2: [graph], 3: "a layer", 4: buffers}, b"TFL3")


def _codes(dtype: str, softmax: bool) -> list[Table]:
    return [
        {0: Number("b", code), 2: Number("i", _VERSIONS[code].get(dtype, 1)), 3: Number("i", code)}
        for code in (_FULLY_CONNECTED, _SOFTMAX)[: 1 + softmax]
    ]


def _operator(code: int, kind: int, inputs: list[int], outputs: list[int], options: Table) -> Table:
    made: Table = {0: Number("I", code), 1: Numbers("i", inputs), 2: Numbers("i", outputs)}
    return made | {3: Number("B", _OPTIONS[kind]), 4: options}


def dense_answers(
    rows: NDArray[Any],
    weights: NDArray[np.float64],
    bias: NDArray[np.float64],
    *,
    given: Step | None = None,
) -> NDArray[np.float64]:
    """What :func:`dense_network` answers to real numbers, but for the rounding of weights and logits."""
    real = np.asarray(rows, np.float64).reshape(len(rows), math.prod(np.shape(rows)[1:]))
    if given is not None:
        real = np.rint(real / given.step) * given.step
    powers = np.exp(real @ weights + bias)
    found: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return found
