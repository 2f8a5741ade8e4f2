"""A ``ModelInferRequest`` as the raw input and options that a call needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.codecs.snapshot import Limits
from quorate.core.types import Signature
from quorate.errors import InvalidInput, MalformedRequest
from quorate.serving.grpc.open_inference_pb2 import InferParameter, ModelInferRequest
from quorate.serving.oip_inputs import Understood, check_new, need_inputs, understand
from quorate.serving.oip_tensors import NUMPY, check_datatype, element_count, from_bytes, objects

CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Datatype -> the field that has its elements; FP16 has none."""


def decode(request: ModelInferRequest, signature: Signature, limits: Limits) -> Understood:
    """Read an infer request; client errors name the field."""
    need_inputs(request.inputs)
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise MalformedRequest(
            f"raw_input_contents has {len(raw)} tensors for {len(request.inputs)} inputs; send one for each, or none.",
            path="raw_input_contents",
        )
    arrays: dict[str, tuple[NDArray[Any], str]] = {}
    for index, given in enumerate(request.inputs):
        path = f"inputs[{index}]"
        datatype, shape = given.datatype, list(given.shape)
        check_new(given.name, index, arrays)
        check_datatype(datatype, path)
        count = element_count(shape, path, limits)
        if not raw:
            arrays[given.name] = _typed(given, shape, count, path), datatype
            continue
        if given.HasField("contents"):
            raise InvalidInput("An input has either contents or raw_input_contents, not both.", path=f"{path}.contents")
        place = f"raw_input_contents[{index}]"
        array = from_bytes(datatype, shape, raw[index], count, size_path=place, data_path=place)
        arrays[given.name] = array, datatype
    return understand(arrays, parameters(request.parameters), signature, limits)


def _typed(given: ModelInferRequest.InferInputTensor, shape: list[int], count: int, path: str) -> NDArray[Any]:
    datatype, path = given.datatype, f"{path}.contents"
    if datatype == "FP16":
        raise InvalidInput("FP16 has no typed contents; send raw_input_contents.", path=path)
    field = CONTENTS[datatype]
    others = [found.name for found, _ in given.contents.ListFields() if found.name != field]
    if others:
        raise InvalidInput(f"{datatype} is sent as {field}; got {', '.join(others)}.", path=path)
    elements = list(getattr(given.contents, field))
    if len(elements) != count:
        raise InvalidInput(f"Shape {shape} needs {count} elements; {field} has {len(elements)}.", path=path)
    if datatype == "BYTES":
        return objects(elements, shape)
    try:
        return np.array(elements, NUMPY[datatype]).reshape(shape)
    except OverflowError:
        raise InvalidInput(f"A number does not fit {datatype}.", path=path) from None


def parameters(given: Mapping[str, InferParameter]) -> dict[str, str | int | float | bool | None]:
    """Parameters as REST has them; one without a value is null."""
    found: dict[str, str | int | float | bool | None] = {}
    for name, value in given.items():
        choice = value.WhichOneof("parameter_choice")
        found[name] = one = None if choice is None else getattr(value, choice)
        if isinstance(one, float) and not math.isfinite(one):
            raise InvalidInput(f"A parameter must be a finite number; got {one}.", path=f"parameters.{name[:64]}")
    return found
