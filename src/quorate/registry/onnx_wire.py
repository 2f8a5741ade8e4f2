"""Reads just enough of an ONNX file's protobuf to see which other files it asks for; the onnx package is not needed.

The table below names every message through which a ``TensorProto`` can be reached in a ``ModelProto``
(onnx/onnx.proto); everything else is skipped over, but must be well-formed.
"""

from __future__ import annotations

import re

_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _FUNCTION, _TRAINING, _SPARSE, _TENSOR, _ENTRY = (
    "ModelProto",
    "GraphProto",
    "NodeProto",
    "AttributeProto",
    "FunctionProto",
    "TrainingInfoProto",
    "SparseTensorProto",
    "TensorProto",
    "StringStringEntryProto",
)
FIELDS: dict[str, dict[int, str]] = {
    _MODEL: {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _TENSOR: {13: _ENTRY},
    _ENTRY: {},
}
_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5
_IR_VERSION, _MODEL_GRAPH, _DATA_LOCATION, _EXTERNAL = 1, 7, 14, 1
_DEPTH = 100  # protobuf's own limit
# An AttributeProto's unpacked floats, ints and short strings: a forest has millions, a field at a time takes seconds.
_NUMBERS = re.compile(rb"(?:\x3d[\x00-\xff]{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f])++")
_STRINGS = 0x4A


class Malformed(ValueError):
    """The bytes are not a well-formed ONNX model; the message says why."""


def external_locations(data: bytes) -> list[str]:
    """Locations of all external data an ONNX model names, in no particular order; :class:`Malformed` if it is none."""
    locations: list[str] = []
    seen: set[int] = set()
    todo = [(_MODEL, 0, len(data), 0)]
    while todo:
        kind, position, end, depth = todo.pop()
        if depth > _DEPTH:
            raise Malformed(f"its messages are nested more than {_DEPTH} deep")
        if kind == _TENSOR:
            locations += _tensor(data, position, end)
            continue
        below = FIELDS[kind]
        while position < end:
            if kind == _ATTRIBUTE:
                position = _skip_lists(data, position, end)
                if position == end:
                    break
            field, wire, start, position = _field(data, position, end)
            if kind == _MODEL:
                seen.add(field)
            if wire == _LEN and field in below:
                todo.append((below[field], start, position, depth + 1))
    if not {_IR_VERSION, _MODEL_GRAPH} <= seen:
        raise Malformed("it has no IR version or no graph")
    return locations


def _skip_lists(data: bytes, position: int, end: int) -> int:
    run = _NUMBERS.match(data, position, end)
    if run is not None:
        position = run.end()
    while position + 1 < end and data[position] == _STRINGS and data[position + 1] < 0x80:
        position += 2 + data[position + 1]
    if position > end:
        raise Malformed("it is cut off in a string")
    return position


def _tensor(data: bytes, position: int, end: int) -> list[str]:
    external = False
    locations: list[str] = []
    while position < end:
        field, wire, start, position = _field(data, position, end)
        if field == _DATA_LOCATION and wire == _VARINT:
            external = external or _varint(data, start, end)[0] == _EXTERNAL
        elif field in FIELDS[_TENSOR] and wire == _LEN:
            texts = _entry(data, start, position)
            if b"location" in texts[1]:
                locations += [text.decode("utf-8", "backslashreplace") for text in texts[2] or [b""]]
    if external and not locations:
        raise Malformed("a tensor is stored outside it, but does not say where")
    return locations


def _entry(data: bytes, position: int, end: int) -> dict[int, list[bytes]]:
    """All values of key (1) and value (2); a parser keeps the last of each, so none of them may be overlooked."""
    texts: dict[int, list[bytes]] = {1: [], 2: []}
    while position < end:
        field, wire, start, position = _field(data, position, end)
        if field in texts and wire == _LEN:
            texts[field].append(data[start:position])
    return texts


def _field(data: bytes, position: int, end: int) -> tuple[int, int, int, int]:
    """Field number, wire type, start of the value, and the position after it."""
    tag, start = _varint(data, position, end)
    field, wire = tag >> 3, tag & 7
    if not 0 < tag < 1 << 32 or field == 0:
        raise Malformed(f"byte {position} does not start a field")
    if wire == _VARINT:
        after = _varint(data, start, end)[1]
    elif wire == _LEN:
        length, start = _varint(data, start, end)
        after = start + length
    elif wire in (_I64, _I32):
        after = start + (8 if wire == _I64 else 4)
    else:
        raise Malformed(f"byte {position} starts a field of unknown wire type {wire}")
    if after > end:
        raise Malformed(f"it is cut off: the field at byte {position} goes on for {after - end} bytes more")
    return field, wire, start, after


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise Malformed("it is cut off in a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise Malformed(f"the number before byte {position} has more than ten bytes")
