"""Open Inference Protocol responses and metadata."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from quorate.codecs.snapshot import Limits
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import InvalidInput
from quorate.serving import oip_responses
from quorate.serving.oip import InferRequest, decode
from quorate.serving.oip_tensors import DATATYPES

SCORES = OutputSpec("scores", ("no", "maybe", "yes"))
VALUES = OutputSpec("values", names=("price", "weight"))
ARRAY = Signature("array", (TensorSpec("input", "float32", (None, 2)),), SCORES)
IMAGE = Signature("image", (TensorSpec("image", "uint8", (None, None, None)),), SCORES)
COLUMNS = Signature("columns", (TensorSpec("age", "float32", (None,)), TensorSpec("town", "str", (None,))), SCORES)
ANSWER = np.array([[0.25, 0.25, 0.5], [0.75, 0.125, 0.125]], np.float32)


def packed(*elements: bytes) -> bytes:
    return b"".join(len(one).to_bytes(4, "little") + one for one in elements)


def _request(**top: Any) -> InferRequest:
    tensor = {"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    return decode(json.dumps({"inputs": [tensor], **top}).encode(), None, ARRAY, Limits()).request


def encode(
    request: dict[str, Any], output: OutputSpec = SCORES, answer: Any = ANSWER, **more: Any
) -> tuple[Any, bytes]:
    """The JSON part as a value, and the bytes behind it."""
    infer = _request(**request)
    fields = {"name": "m", "version": "3", "blind": False, "parameters": {}, **more}
    body, length = oip_responses.encode(infer, answer=answer, output=output, **fields)
    return json.loads(body[:length]), body[len(body) if length is None else length :]


def test_all_outputs_in_json_by_default() -> None:
    body, tail = encode({"id": "7"}, parameters={"decision_id": "d"})
    assert body == {
        "model_name": "m",
        "model_version": "3",
        "id": "7",
        "parameters": {"decision_id": "d"},
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [2, 3], "data": ANSWER.ravel().tolist()},
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["yes", "no"]},
            {"name": "confidence", "datatype": "FP32", "shape": [2], "data": [0.5, 0.75]},
        ],
    }
    assert tail == b""


def test_outputs_come_in_the_order_asked_in_the_form_asked() -> None:
    asked = [{"name": "label", "parameters": {"binary_data": True}}, {"name": "confidence"}]
    body, tail = encode({"outputs": asked})
    label, confidence = body["outputs"]
    assert label == {"name": "label", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 13}}
    assert confidence["data"] == [0.5, 0.75]
    assert tail == packed(b"yes", b"no")


def test_the_request_says_the_default_form_and_an_output_overrides_it() -> None:
    asked = [{"name": "probabilities"}, {"name": "label", "parameters": {"binary_data": False}}]
    body, tail = encode({"parameters": {"binary_data_output": True}, "outputs": asked})
    assert body["outputs"][0]["parameters"] == {"binary_data_size": 24}
    assert body["outputs"][1]["data"] == ["yes", "no"]
    assert tail == ANSWER.astype("<f4").tobytes()


def test_values_have_one_output() -> None:
    body, _ = encode({}, VALUES, np.float32([[1.5, 2]]))
    assert body["outputs"] == [{"name": "value", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2]}]


def test_a_blind_answer_is_the_label() -> None:
    body, _ = encode({}, blind=True)
    assert [output["name"] for output in body["outputs"]] == ["label"]
    with pytest.raises(InvalidInput) as caught:
        encode({"outputs": [{"name": "confidence"}]}, blind=True)
    assert caught.value.path == "outputs[0].name"


@pytest.mark.parametrize(
    ("outputs", "path"),
    [
        ([{"name": "label"}, {"name": "logits"}], "outputs[1].name"),
        ([{"name": "label", "parameters": {"classification": 3}}], "outputs[0].parameters"),
        ([{"name": "label", "parameters": {"binary_data": "yes"}}], "outputs[0].parameters.binary_data"),
    ],
)
def test_bad_outputs_are_refused_before_anything_runs(outputs: list[dict[str, Any]], path: str) -> None:
    infer = _request(outputs=outputs)
    with pytest.raises(InvalidInput) as caught:
        oip_responses.check_outputs(infer, SCORES, blind=False)
    assert caught.value.path == path


# --- metadata -------------------------------------------------------------------------------------


def test_metadata_declares_what_is_taken_and_given() -> None:
    found = oip_responses.metadata("m", ["1", "2"], "quorate_onnx", COLUMNS, blind=False)
    assert found == {
        "name": "m",
        "versions": ["1", "2"],
        "platform": "quorate_onnx",
        "inputs": [
            {"name": "age", "datatype": "FP32", "shape": [-1]},
            {"name": "town", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "confidence", "datatype": "FP32", "shape": [-1]},
        ],
    }
    image = oip_responses.metadata("m", ["1"], "p", IMAGE, blind=True)
    assert image["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert [output["name"] for output in image["outputs"]] == ["label"]
    assert oip_responses.metadata("m", ["1"], "p", ARRAY, blind=False)["inputs"][0]["shape"] == [-1, 2]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "float64", "str", "bytes"])
def test_every_dtype_has_a_datatype(dtype: str) -> None:
    assert oip_responses.datatype(dtype) in DATATYPES
