"""Open Inference Protocol v2: tensors and parameters as a signature's raw input and a call's options.

REST and gRPC read their own bytes; what they have read means the same from here on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sized
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.codecs.snapshot import Limits
from quorate.core.types import Signature
from quorate.errors import InvalidInput
from quorate.serving.inputs import bytes_range, check_context, check_rows, tensor, unbase64
from quorate.serving.oip_tensors import objects

_KNOWN_PARAMETERS = {"strategy", "max_ms", "min_confidence", "timeout", "binary_data_output"}


class Understood(msgspec.Struct):
    """What an infer request asks: the raw input, what its rows are called in errors, and the call's options."""

    raw: dict[str, Any]
    path: str
    rows: int
    strategy: str | None
    max_ms: float | None
    context: dict[str, Any]
    min_confidence: float | None = None


def understand(
    arrays: Mapping[str, tuple[NDArray[Any], str]], parameters: Mapping[str, Any], signature: Signature, limits: Limits
) -> Understood:
    """Tensors by name, each with its datatype, and the request's parameters; client errors name the field."""
    raw = _raw(arrays, signature)
    rows = len(next(iter(raw.values())))
    for name, array in raw.items():
        if len(array) != rows:
            raise InvalidInput(
                f"Input '{name}' has {len(array)} rows, others {rows}; they must agree.", path=f"inputs.{name}.shape"
            )
    check_rows(rows, limits, path="inputs[0].shape")
    path = "inputs.image" if signature.input_kind == "image" else "inputs"
    return Understood(raw, path, rows, *_options(parameters))


def check_new(name: str, index: int, known: Collection[str]) -> None:
    """Raise :class:`InvalidInput` for an input that was given before."""
    if name in known:
        raise InvalidInput(f"Input '{name[:64]}' is given twice; send it once.", path=f"inputs[{index}].name")


def need_inputs(inputs: Sized) -> None:
    """Raise :class:`InvalidInput` for a request without inputs."""
    if not len(inputs):
        raise InvalidInput("The request has no inputs; send one tensor per input of the model.", path="inputs")


def _options(parameters: Mapping[str, Any]) -> tuple[str | None, float | None, dict[str, Any], float | None]:
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
    # The protocol's clients send microseconds. The smaller of the two counts.
    given = (_positive(parameters, "max_ms", 1.0), _positive(parameters, "timeout", 0.001))
    max_ms = min((limit for limit in given if limit is not None), default=None)
    return strategy, max_ms, context, _confidence(parameters)


def _confidence(parameters: Mapping[str, Any]) -> float | None:
    value = parameters.get("min_confidence")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInput("parameters.min_confidence must be a number from 0 to 1.", path="parameters.min_confidence")
    return float(value)


def _positive(parameters: Mapping[str, Any], name: str, unit: float) -> float | None:
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value * unit <= 3_600_000:
        raise InvalidInput(f"parameters.{name} must be a positive number, an hour at most.", path=f"parameters.{name}")
    return value * unit


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
    return objects(texts, array.shape)
