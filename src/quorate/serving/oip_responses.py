"""Open Inference Protocol v2 over REST: what a server says of a model, and its answers.

Sources: the protocol (github.com/kserve/open-inference-protocol) and its binary tensor data extension.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.core.types import FloatArray, OutputSpec, Signature
from quorate.errors import InvalidInput
from quorate.serving.oip import InferRequest, RequestOutput
from quorate.serving.oip_tensors import NUMPY, to_bytes

_OF = {dtype.name: name for name, dtype in NUMPY.items()} | {"str": "BYTES", "bytes": "BYTES"}
_encode = msgspec.json.Encoder().encode


def datatype(dtype: str) -> str:
    """The protocol's name of a signature's dtype."""
    return _OF[dtype]


def datatype_of(array: NDArray[Any]) -> str:
    """The protocol's name of what a tensor holds."""
    return "BYTES" if array.dtype == object else _OF[array.dtype.name]


def metadata(name: str, versions: Sequence[str], platform: str, signature: Signature, *, blind: bool) -> dict[str, Any]:
    """Model metadata: raw inputs and the outputs that an infer request may ask for."""
    inputs = []
    for spec in signature.inputs:
        if signature.input_kind == "image":
            inputs.append({"name": spec.name, "datatype": "BYTES", "shape": [-1]})
        else:
            shape = [-1, *(-1 if d is None else d for d in spec.shape[1:])]
            inputs.append({"name": spec.name, "datatype": datatype(spec.dtype), "shape": shape})
    return {
        "name": name,
        "versions": list(versions),
        "platform": platform,
        "inputs": inputs,
        "outputs": [
            {"name": out, "datatype": kind, "shape": [-1, *more]}
            for out, (kind, more) in available(signature.output, blind=blind).items()
        ],
    }


def available(output: OutputSpec, *, blind: bool) -> dict[str, tuple[str, list[int]]]:
    """Output tensors: name to datatype and shape of a row."""
    if output.kind == "values":
        return {"value": ("FP32", [output.width])}
    if blind:
        return {"label": ("BYTES", [])}
    return {"probabilities": ("FP32", [output.width]), "label": ("BYTES", []), "confidence": ("FP32", [])}


def encode(
    infer: InferRequest,
    *,
    name: str,
    version: str,
    answer: FloatArray,
    output: OutputSpec,
    blind: bool,
    parameters: Mapping[str, Any],
    more: Mapping[str, NDArray[Any]] = MappingProxyType({}),
) -> tuple[bytes, int | None]:
    """The response body, and the length of its JSON part when binary tensors follow it.

    Tensors in ``more`` follow those asked for.
    """
    names = available(output, blind=blind)
    asked = infer.outputs if infer.outputs else [RequestOutput(n) for n in names]
    asked = [*asked, *(RequestOutput(n) for n in more)]
    default = infer.parameters.get("binary_data_output") is True
    outputs = []
    tail: list[bytes] = []
    for index, one in enumerate(asked):
        array = more.get(one.name)
        if array is None:
            check_output(one.name, one.parameters, index, names)
            array = output_tensor(one.name, answer, output)
        binary = one.parameters.get("binary_data", default)
        kind = datatype_of(array)
        entry: dict[str, Any] = {"name": one.name, "datatype": kind, "shape": list(array.shape)}
        if binary:
            data = to_bytes(array)
            entry["parameters"] = {"binary_data_size": len(data)}
            tail.append(data)
        else:
            flat = array.ravel().tolist()
            entry["data"] = [v.decode() for v in flat] if array.dtype == object else flat
        outputs.append(entry)
    body: dict[str, Any] = {"model_name": name, "model_version": version, "outputs": outputs}
    if infer.id is not None:
        body["id"] = infer.id
    if parameters:
        body["parameters"] = parameters
    head = _encode(body)
    return (b"".join([head, *tail]), len(head)) if tail else (head, None)


def check_outputs(infer: InferRequest, output: OutputSpec, *, blind: bool) -> None:
    """Refuse unknown outputs before anything runs: no decision is made for an answer that cannot be sent."""
    blank = np.zeros((1, output.width), np.float32)
    encode(infer, name="", version="", answer=blank, output=output, blind=blind, parameters={})


def check_output(name: str, parameters: Mapping[str, Any], index: int, names: Mapping[str, Any]) -> None:
    """Raise :class:`InvalidInput` for an output, or a parameter of one, that cannot be asked for."""
    if name not in names:
        raise InvalidInput(
            f"There is no output '{name[:64]}'; expected {', '.join(names)}.", path=f"outputs[{index}].name"
        )
    for parameter in parameters:
        if parameter != "binary_data":
            raise InvalidInput(
                f"There is no output parameter '{parameter[:64]}'; expected binary_data.",
                path=f"outputs[{index}].parameters",
            )
    if not isinstance(parameters.get("binary_data", False), bool):
        raise InvalidInput("binary_data must be true or false.", path=f"outputs[{index}].parameters.binary_data")


def output_tensor(name: str, answer: FloatArray, output: OutputSpec) -> NDArray[Any]:
    """One output of an answer ``[n, k]``: float32, or objects that are bytes."""
    if name == "label":
        return np.array([output.classes[i].encode() for i in answer.argmax(axis=1)], object)
    if name == "confidence":
        confidence: FloatArray = np.max(answer, axis=1)
        return confidence
    return answer
