"""Open Inference Protocol v2 over REST: what a server says of a model, and its answers.

Sources: the protocol (github.com/kserve/open-inference-protocol) and its binary tensor data extension.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


TOLD: dict[str, tuple[str, list[int]]] = {"members": ("BYTES", []), "abstained": ("BOOL", []), "reason": ("BYTES", [])}
"""Output tensors of answers that tell who gave them, row by row, or that nobody did."""


def available(output: OutputSpec, *, blind: bool, told: bool = False) -> dict[str, tuple[str, list[int]]]:
    """Output tensors: name to datatype and shape of a row; with ``told`` those of :data:`TOLD` too."""
    if output.kind == "values":
        found: dict[str, tuple[str, list[int]]] = {"value": ("FP32", [output.width])}
    elif blind:
        found = {"label": ("BYTES", [])}
    else:
        found = {"probabilities": ("FP32", [output.width]), "label": ("BYTES", []), "confidence": ("FP32", [])}
    return found | TOLD if told else found


def default(output: OutputSpec, *, blind: bool, sure: bool) -> list[str]:
    """The outputs where none are asked for by name; where an answer must be ``sure`` enough, whether it was, too."""
    return list(available(output, blind=blind, told=sure))


def encode(
    infer: InferRequest,
    *,
    name: str,
    version: str,
    answer: FloatArray,
    output: OutputSpec,
    blind: bool,
    parameters: Mapping[str, Any],
    told: Mapping[str, NDArray[Any]] | None = None,
    sure: bool = False,
) -> tuple[bytes, int | None]:
    """The response body, and the length of its JSON part when binary tensors follow it."""
    names = available(output, blind=blind, told=bool(told))
    asked = infer.outputs if infer.outputs else [RequestOutput(n) for n in default(output, blind=blind, sure=sure)]
    all_binary = infer.parameters.get("binary_data_output") is True
    outputs = []
    tail: list[bytes] = []
    for index, one in enumerate(asked):
        check_output(one.name, one.parameters, index, names)
        binary = one.parameters.get("binary_data", all_binary)
        array = output_tensor(one.name, answer, output, told or {})
        entry: dict[str, Any] = {"name": one.name, "datatype": names[one.name][0], "shape": list(array.shape)}
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


def check_outputs(infer: InferRequest, output: OutputSpec, *, blind: bool, told: bool = False) -> None:
    """Refuse unknown outputs before anything runs: no decision is made for an answer that cannot be sent."""
    names = available(output, blind=blind, told=told)
    for index, one in enumerate(infer.outputs or ()):
        check_output(one.name, one.parameters, index, names)


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


def output_tensor(name: str, answer: FloatArray, output: OutputSpec, told: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """One output of an answer ``[n, k]``: float32, or objects that are bytes; a label that is withheld is empty."""
    if name in told:
        return told[name]
    if name == "label":
        labels = np.array([output.classes[i].encode() for i in answer.argmax(axis=1)], object)
        if "abstained" in told:
            labels[told["abstained"]] = b""
        return labels
    if name == "confidence":
        confidence: FloatArray = np.max(answer, axis=1)
        return confidence
    return answer
