"""Open Inference Protocol v2 over REST: requests, their tensors in JSON or in the binary extension.

Sources: the protocol (github.com/kserve/open-inference-protocol) and its binary tensor data extension.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.codecs.snapshot import Limits
from quorate.core.types import Signature
from quorate.errors import InvalidInput, MalformedRequest, TooLarge
from quorate.serving.inputs import bytes_range, check_context, check_rows, tensor, unbase64
from quorate.web import json

NUMPY = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
DATATYPES = (*NUMPY, "BYTES")
_KNOWN_PARAMETERS = {"strategy", "max_ms", "timeout", "binary_data_output"}
Parameters = dict[str, str | int | float | bool | None]


class RequestTensor(msgspec.Struct):
    """One input as sent; ``data`` is absent when its bytes follow the JSON."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = {}
    data: Any = None


class RequestOutput(msgspec.Struct):
    """One output asked for."""

    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct):
    """The JSON part of an infer request."""

    inputs: list[RequestTensor]
    id: str | None = None
    parameters: Parameters = {}
    outputs: list[RequestOutput] | None = None


_decoder = msgspec.json.Decoder(InferRequest)


class Infer(msgspec.Struct):
    """A whole infer request, understood."""

    request: InferRequest
    raw: dict[str, Any]
    path: str
    rows: int
    strategy: str | None
    max_ms: float | None
    context: dict[str, Any]


def decode(body: bytes, header_length: bytes | None, signature: Signature, limits: Limits) -> Infer:
    """Read an infer request; ``header_length`` is the Inference-Header-Content-Length header."""
    head, tail = body, b""
    if header_length is not None:
        if not header_length.isdigit() or len(header_length) > 12 or int(header_length) > len(body):
            raise MalformedRequest(
                f"Inference-Header-Content-Length is {header_length.decode('latin-1')[:20]!r}; expected a number of "
                f"bytes up to the body's {len(body)}.",
                path="Inference-Header-Content-Length",
            )
        head, tail = body[: int(header_length)], body[int(header_length) :]
    request: InferRequest = json.decode(head, depth=limits.json_depth, decoder=_decoder)
    if not request.inputs:
        raise InvalidInput("The request has no inputs; send one tensor per input of the model.", path="inputs")
    arrays = _arrays(request.inputs, tail, limits)
    raw = _raw(arrays, signature)
    rows = len(next(iter(raw.values())))
    for name, array in raw.items():
        if len(array) != rows:
            raise InvalidInput(
                f"Input '{name}' has {len(array)} rows, others {rows}; they must agree.", path=f"inputs.{name}.shape"
            )
    check_rows(rows, limits, path="inputs[0].shape")
    path = "inputs.image" if signature.input_kind == "image" else "inputs"
    return Infer(request, raw, path, rows, *_options(request.parameters))


def _options(parameters: Mapping[str, Any]) -> tuple[str | None, float | None, dict[str, Any]]:
    context = {k.removeprefix("context."): v for k, v in parameters.items() if k.startswith("context.")}
    check_context(context)
    for name in parameters:
        if name not in _KNOWN_PARAMETERS and not name.startswith("context."):
            raise InvalidInput(
                f"There is no parameter '{name[:64]}'; expected {', '.join(sorted(_KNOWN_PARAMETERS))} or context.KEY.",
                path=f"parameters.{name[:64]}",
            )
    strategy = parameters.get("strategy")
    if strategy is not None and not isinstance(strategy, str):
        raise InvalidInput("parameters.strategy must be text.", path="parameters.strategy")
    if not isinstance(parameters.get("binary_data_output", False), bool):
        raise InvalidInput("parameters.binary_data_output must be true or false.", path="parameters.binary_data_output")
    max_ms = _positive(parameters, "max_ms", 1.0)
    if max_ms is None:
        max_ms = _positive(parameters, "timeout", 0.001)  # the protocol's clients send microseconds
    return strategy, max_ms, context


def _positive(parameters: Mapping[str, Any], name: str, unit: float) -> float | None:
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value * unit <= 3_600_000:
        raise InvalidInput(f"parameters.{name} must be a positive number, an hour at most.", path=f"parameters.{name}")
    return value * unit


def _arrays(inputs: Sequence[RequestTensor], tail: bytes, limits: Limits) -> dict[str, tuple[NDArray[Any], str]]:
    arrays: dict[str, tuple[NDArray[Any], str]] = {}
    offset = 0
    for index, given in enumerate(inputs):
        path = f"inputs[{index}]"
        if given.name in arrays:
            raise InvalidInput(f"Input '{given.name[:64]}' is given twice; send it once.", path=f"{path}.name")
        if given.datatype not in DATATYPES:
            raise InvalidInput(
                f"There is no datatype '{given.datatype[:32]}'; expected one of {', '.join(DATATYPES)}.",
                path=f"{path}.datatype",
            )
        count = _count(given.shape, path, limits)
        size = given.parameters.get("binary_data_size")
        if size is None:
            arrays[given.name] = _from_json(given, count, path), given.datatype
            continue
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(tail) - offset:
            raise MalformedRequest(
                f"Input '{given.name[:64]}' says binary_data_size {size}; {len(tail) - offset} bytes are left after "
                "the JSON.",
                path=f"{path}.parameters.binary_data_size",
            )
        if given.data is not None:
            raise InvalidInput("An input has either data or binary_data_size, not both.", path=f"{path}.data")
        arrays[given.name] = _from_bytes(given, tail[offset : offset + size], count, path), given.datatype
        offset += size
    if offset != len(tail):
        raise MalformedRequest(
            f"{len(tail) - offset} bytes follow the last binary input; the sizes must add up to the body.",
            path="inputs",
        )
    return arrays


def _count(shape: Sequence[int], path: str, limits: Limits) -> int:
    if not shape or len(shape) > 8 or any(not 0 <= d < 1 << 31 for d in shape):
        raise InvalidInput(
            "A shape has 1 to 8 dimensions of 0 or more; the first is the number of rows.", path=f"{path}.shape"
        )
    count = math.prod(shape)
    if count > limits.body_bytes:  # no tensor of a request that was let in can have more elements
        raise TooLarge(
            f"The shape {list(shape)} has {count} elements; the body may have {limits.body_bytes} bytes "
            "(limits.body_bytes).",
            path=f"{path}.shape",
        )
    return count


def _from_bytes(given: RequestTensor, data: bytes, count: int, path: str) -> NDArray[Any]:
    if given.datatype == "BYTES":
        return _objects(_unpack(data, count, path), given.shape)
    dtype = NUMPY[given.datatype]
    if len(data) != count * dtype.itemsize:
        raise MalformedRequest(
            f"Shape {given.shape} of {given.datatype} needs {count * dtype.itemsize} bytes; got {len(data)}.",
            path=f"{path}.parameters.binary_data_size",
        )
    if given.datatype == "BOOL" and data.strip(b"\x00\x01"):
        raise MalformedRequest("BOOL elements are the bytes 0 and 1; got others.", path=f"{path}.data")
    return np.frombuffer(data, dtype).reshape(given.shape)


def _unpack(data: bytes, count: int, path: str) -> list[Any]:
    elements: list[bytes] = []
    offset = 0
    while offset < len(data) and len(elements) <= count:
        size = int.from_bytes(data[offset : offset + 4], "little")
        if offset + 4 + size > len(data):
            break
        elements.append(data[offset + 4 : offset + 4 + size])
        offset += 4 + size
    if offset != len(data) or len(elements) != count:
        raise MalformedRequest(
            f"BYTES data must be {count} elements, each 4 bytes of length (little endian) and its bytes; it is not.",
            path=f"{path}.data",
        )
    return elements


def _from_json(given: RequestTensor, count: int, path: str) -> NDArray[Any]:
    if not isinstance(given.data, list):
        raise InvalidInput(
            f"Input '{given.name[:64]}' has no data list; send data or binary_data_size.", path=f"{path}.data"
        )
    flat = _flatten(given.data)
    if len(flat) != count:
        raise InvalidInput(f"Shape {given.shape} needs {count} elements; data has {len(flat)}.", path=f"{path}.data")
    if given.datatype == "BYTES":
        if any(not isinstance(v, str) for v in flat):
            raise InvalidInput("BYTES elements in JSON are text; images are base64.", path=f"{path}.data")
        return _objects(flat, given.shape)
    dtype = NUMPY[given.datatype]
    wanted: Any = bool if given.datatype == "BOOL" else int if dtype.kind in "iu" else (int, float)
    for i, value in enumerate(flat):
        if not isinstance(value, wanted) or (isinstance(value, bool) and given.datatype != "BOOL"):
            raise InvalidInput(f"Element {i} is not {given.datatype}.", path=f"{path}.data")
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, dtype).reshape(given.shape)
    except (OverflowError, ValueError):
        raise InvalidInput(f"A number does not fit {given.datatype}.", path=f"{path}.data") from None


def _objects(elements: list[Any], shape: Sequence[int]) -> NDArray[Any]:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)


def _flatten(data: list[Any]) -> list[Any]:
    if not any(isinstance(v, list) for v in data):
        return data
    flat: list[Any] = []
    for value in data:
        if isinstance(value, list):
            flat.extend(_flatten(value))
        else:
            flat.append(value)
    return flat


def _raw(arrays: Mapping[str, tuple[NDArray[Any], str]], signature: Signature) -> dict[str, Any]:
    """Protocol tensors as the signature's raw input."""
    expected = {spec.name: spec for spec in signature.inputs}
    if signature.input_kind == "columns" and set(arrays) == {"input"} and "input" not in expected:
        return _split_columns(arrays["input"][0], signature)
    for name in arrays:
        if name not in expected:
            raise InvalidInput(
                f"There is no input '{name[:64]}'; expected {', '.join(expected)}.", path=f"inputs.{name[:64]}"
            )
    missing = [name for name in expected if name not in arrays]
    if missing:
        raise InvalidInput(
            f"Input '{missing[0]}' is missing; expected {', '.join(expected)}.", path=f"inputs.{missing[0]}"
        )
    if signature.input_kind == "image":
        return {"image": _images(*arrays["image"])}
    raw = {}
    for name, spec in expected.items():
        array, kind = arrays[name]
        if len(spec.shape) == 1 and array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if spec.dtype == "str":
            array = _texts(array, kind, name)
        raw[name] = tensor(array, spec, path=f"inputs.{name}")
    return raw


def _split_columns(array: NDArray[Any], signature: Signature) -> dict[str, Any]:
    if array.ndim != 2 or array.shape[1] != len(signature.inputs):
        raise InvalidInput(
            f"Input 'input' must be [n,{len(signature.inputs)}], the columns in order; got {list(array.shape)}.",
            path="inputs.input.shape",
        )
    return {
        spec.name: tensor(array[:, i], spec, path=f"inputs.input.{spec.name}")
        for i, spec in enumerate(signature.inputs)
    }


def _images(array: NDArray[Any], kind: str) -> Any:
    path = "inputs.image"
    if kind == "BYTES":
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise InvalidInput(f"Encoded images are BYTES [n]; got {list(array.shape)}.", path=f"{path}.shape")
        return [
            v if isinstance(v, bytes) else unbase64(v, path=f"{path}.data[{i}]") for i, v in enumerate(array.tolist())
        ]
    if array.ndim not in (3, 4) or 0 in array.shape[1:]:
        raise InvalidInput(
            f"Pixels are UINT8 [n,h,w] or [n,h,w,c]; got {kind}{list(array.shape)}.", path=f"{path}.shape"
        )
    return bytes_range(array, path=f"{path}.data") if len(array) else array.astype(np.uint8)


def _texts(array: NDArray[Any], kind: str, name: str) -> NDArray[Any]:
    if kind != "BYTES":
        raise InvalidInput(f"Input '{name}' is text: send BYTES; got {kind}.", path=f"inputs.{name}.datatype")
    try:
        texts = [v.decode() if isinstance(v, bytes) else v for v in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"Input '{name}' is not UTF-8: {error.reason}.", path=f"inputs.{name}.data") from None
    return _objects(texts, array.shape)
