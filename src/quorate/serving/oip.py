"""Open Inference Protocol v2 over REST: requests, their tensors in JSON or in the binary extension.

Sources: the protocol (github.com/kserve/open-inference-protocol) and its binary tensor data extension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.codecs.snapshot import Limits
from quorate.core.types import Signature
from quorate.errors import InvalidInput, MalformedRequest
from quorate.serving.oip_inputs import Understood, check_new, need_inputs, understand
from quorate.serving.oip_tensors import NUMPY, check_datatype, element_count, from_bytes, objects
from quorate.web import json

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


class Infer(Understood, kw_only=True):
    """A whole infer request, understood."""

    request: InferRequest


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
    need_inputs(request.inputs)
    asked = understand(_arrays(request.inputs, tail, limits), request.parameters, signature, limits)
    return Infer(**msgspec.structs.asdict(asked), request=request)


def _arrays(inputs: Sequence[RequestTensor], tail: bytes, limits: Limits) -> dict[str, tuple[NDArray[Any], str]]:
    arrays: dict[str, tuple[NDArray[Any], str]] = {}
    offset = 0
    for index, given in enumerate(inputs):
        path = f"inputs[{index}]"
        check_new(given.name, index, arrays)
        check_datatype(given.datatype, path)
        count = element_count(given.shape, path, limits)
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
        array = from_bytes(
            given.datatype,
            given.shape,
            tail[offset : offset + size],
            count,
            size_path=f"{path}.parameters.binary_data_size",
            data_path=f"{path}.data",
        )
        arrays[given.name] = array, given.datatype
        offset += size
    if offset != len(tail):
        raise MalformedRequest(
            f"{len(tail) - offset} bytes follow the last binary input; the sizes must add up to the body.",
            path="inputs",
        )
    return arrays


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
        return objects(flat, given.shape)
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
