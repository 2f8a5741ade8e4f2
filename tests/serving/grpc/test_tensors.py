"""Infer requests as protocol buffers, understood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.codecs.snapshot import Limits
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import InvalidInput, MalformedRequest, QuorateError, TooLarge
from quorate.serving.grpc import tensors
from quorate.serving.grpc.open_inference_pb2 import InferTensorContents, ModelInferRequest
from quorate.serving.oip_tensors import DATATYPES, NUMPY

SCORES = OutputSpec("scores", ("no", "yes"))
ARRAY = Signature("array", (TensorSpec("input", "float32", (None, 2)),), SCORES)
COUNTS = Signature("array", (TensorSpec("input", "int64", (None, 2)),), SCORES)
IMAGE = Signature("image", (TensorSpec("image", "uint8", (None, None, None)),), SCORES)
COLUMNS = Signature("columns", (TensorSpec("age", "float32", (None,)), TensorSpec("town", "str", (None,))), SCORES)
LIMITS = Limits(rows=4, body_bytes=1000)


def request(*inputs: dict[str, Any], raw: list[bytes] | None = None, **parameters: Any) -> ModelInferRequest:
    made = ModelInferRequest(model_name="m", raw_input_contents=raw or ())
    for one in inputs:
        contents = one.pop("contents", None)
        given = made.inputs.add(**{"name": "input", "datatype": "FP32", "shape": [2, 2], **one})
        if contents is not None:
            given.contents.CopyFrom(InferTensorContents(**contents))
    for name, (kind, value) in parameters.items():
        setattr(made.parameters[name.replace("__", ".")], kind, value)
    return made


def decode(made: ModelInferRequest, signature: Signature = ARRAY) -> Any:
    return tensors.decode(made, signature, LIMITS)


@pytest.mark.parametrize("datatype", [name for name in NUMPY if name != "BOOL"])
def test_numbers_of_every_type_come_raw(datatype: str) -> None:
    array = np.array([[1, 2], [3, 4]], NUMPY[datatype])
    found = decode(request({"datatype": datatype}, raw=[array.tobytes()]), COUNTS)
    assert found.rows == 2
    assert found.raw["input"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(("datatype", "name"), tensors.CONTENTS.items())
def test_every_type_but_fp16_comes_in_its_contents(datatype: str, name: str) -> None:
    if datatype == "BYTES":
        made = request(
            {"name": "town", "datatype": "BYTES", "shape": [2], "contents": {name: [b"Bern", "Zürich".encode()]}},
            {"name": "age", "shape": [2], "contents": {"fp32_contents": [1, 2]}},
        )
        assert decode(made, COLUMNS).raw["town"].tolist() == ["Bern", "Zürich"]
        return
    values = [True, False, True, True] if datatype == "BOOL" else [1, 0, 3, 4]
    signature = Signature(
        "array", (TensorSpec("input", "bool" if datatype == "BOOL" else "float64", (None, 2)),), SCORES
    )
    found = decode(request({"datatype": datatype, "contents": {name: values}}), signature)
    assert found.raw["input"].ravel().tolist() == values


def test_fp16_is_the_only_type_without_contents() -> None:
    assert set(DATATYPES) - set(tensors.CONTENTS) == {"FP16"}
    with pytest.raises(InvalidInput, match="send raw_input_contents"):
        decode(request({"datatype": "FP16", "contents": {"fp32_contents": [1, 2, 3, 4]}}))


def test_images_come_encoded_or_as_pixels() -> None:
    packed = (3).to_bytes(4, "little") + b"PNG"
    found = decode(request({"name": "image", "datatype": "BYTES", "shape": [1]}, raw=[packed]), IMAGE)
    assert found.raw["image"] == [b"PNG"]
    assert found.path == "inputs.image"
    pixels = decode(request({"name": "image", "datatype": "UINT8", "shape": [1, 2, 2]}, raw=[bytes(4)]), IMAGE)
    assert pixels.raw["image"].shape == (1, 2, 2)


def test_parameters_are_those_of_rest() -> None:
    found = decode(
        request(
            {},
            raw=[bytes(16)],
            strategy=("string_param", "best"),
            max_ms=("double_param", 7.5),
            timeout=("int64_param", 9000),
            context__user=("string_param", "u"),
            context__age=("uint64_param", 7),
            context__vip=("bool_param", True),
        )
    )
    assert (found.strategy, found.max_ms) == ("best", 7.5)
    assert found.context == {"user": "u", "age": 7, "vip": True}


GOOD = {"contents": {"fp32_contents": [1, 2, 3, 4]}}
BAD: list[tuple[str, type[QuorateError], str, ModelInferRequest]] = [
    ("no inputs", InvalidInput, "inputs", request()),
    ("too few raw", MalformedRequest, "raw_input_contents", request({}, {"name": "b"}, raw=[bytes(16)])),
    ("too many raw", MalformedRequest, "raw_input_contents", request({}, raw=[bytes(16)] * 2)),
    ("raw and contents", InvalidInput, "inputs[0].contents", request({**GOOD}, raw=[bytes(16)])),
    ("neither", InvalidInput, "inputs[0].contents", request({})),
    ("raw too short", MalformedRequest, "raw_input_contents[0]", request({}, raw=[bytes(15)])),
    ("raw too long", MalformedRequest, "raw_input_contents[0]", request({}, raw=[bytes(17)])),
    ("too few elements", InvalidInput, "inputs[0].contents", request({"contents": {"fp32_contents": [1]}})),
    ("another field", InvalidInput, "inputs[0].contents", request({"contents": {"fp64_contents": [1] * 4}})),
    (
        "one field too many",
        InvalidInput,
        "inputs[0].contents",
        request({"contents": {"fp32_contents": [1] * 4, "int_contents": [1]}}),
    ),
    (
        "beyond the type",
        InvalidInput,
        "inputs[0].contents",
        request({"datatype": "INT8", "contents": {"int_contents": [300] * 4}}),
    ),
    ("unknown type", InvalidInput, "inputs[0].datatype", request({"datatype": "BF16"}, raw=[bytes(8)])),
    ("given twice", InvalidInput, "inputs[1].name", request({}, {}, raw=[bytes(16)] * 2)),
    ("no shape", InvalidInput, "inputs[0].shape", request({"shape": []}, raw=[b""])),
    ("negative shape", InvalidInput, "inputs[0].shape", request({"shape": [-1, 2]}, raw=[b""])),
    ("a shape too deep", InvalidInput, "inputs[0].shape", request({"shape": [1] * 9}, raw=[b"\0" * 4])),
    ("a shape beyond the message", TooLarge, "inputs[0].shape", request({"shape": [1001, 1]}, raw=[b""])),
    ("a shape beyond memory", InvalidInput, "inputs[0].shape", request({"shape": [1 << 40, 1 << 40]}, raw=[b""])),
    ("no rows", InvalidInput, "inputs[0].shape", request({"shape": [0, 2]}, raw=[b""])),
    ("too many rows", TooLarge, "inputs[0].shape", request({"shape": [5, 2]}, raw=[bytes(40)])),
    ("NaN", InvalidInput, "inputs.input[0][1]", request({}, raw=[np.float32([1, np.nan, 1, 1]).tobytes()])),
    ("infinity", InvalidInput, "inputs.input[1][0]", request({"contents": {"fp32_contents": [1, 1, np.inf, 1]}})),
    ("another name", InvalidInput, "inputs.other", request({"name": "other"}, raw=[bytes(16)])),
    (
        "broken elements",
        MalformedRequest,
        "raw_input_contents[0]",
        request({"datatype": "BYTES", "shape": [1]}, raw=[b"\xff\xff\xff\x7fab"]),
    ),
    ("BOOL of 2", MalformedRequest, "raw_input_contents[0]", request({"datatype": "BOOL"}, raw=[b"\0\1\2\0"])),
    ("unknown parameter", InvalidInput, "parameters.x", request({}, raw=[bytes(16)], x=("int64_param", 1))),
    ("no time", InvalidInput, "parameters.timeout", request({}, raw=[bytes(16)], timeout=("int64_param", 0))),
    ("time as text", InvalidInput, "parameters.max_ms", request({}, raw=[bytes(16)], max_ms=("string_param", "1"))),
    (
        "a context of NaN",
        InvalidInput,
        "parameters.context.a",
        request({}, raw=[bytes(16)], context__a=("double_param", np.nan)),
    ),
    (
        "a context beyond 64 bits",
        InvalidInput,
        "context.a",
        request({}, raw=[bytes(16)], context__a=("uint64_param", 1 << 63)),
    ),
]


@pytest.mark.parametrize(("error", "path", "made"), [one[1:] for one in BAD], ids=[one[0] for one in BAD])
def test_what_is_wrong_is_named(error: type[QuorateError], path: str, made: ModelInferRequest) -> None:
    with pytest.raises(error) as raised:
        decode(made)
    assert raised.value.path == path
