"""Open Inference Protocol requests and responses as bytes."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.codecs.snapshot import Limits
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import InvalidInput, MalformedRequest, QuorateError, TooLarge
from quorate.serving import oip

SCORES = OutputSpec("scores", ("no", "maybe", "yes"))
ARRAY = Signature("array", (TensorSpec("input", "float32", (None, 2)),), SCORES)
COUNTS = Signature("array", (TensorSpec("input", "int64", (None, 2)),), SCORES)
IMAGE = Signature("image", (TensorSpec("image", "uint8", (None, None, None)),), SCORES)
COLUMNS = Signature("columns", (TensorSpec("age", "float32", (None,)), TensorSpec("town", "str", (None,))), SCORES)
NUMBERS = Signature(
    "columns", (TensorSpec("age", "float32", (None,)), TensorSpec("income", "float32", (None,), nullable=True)), SCORES
)
LIMITS = Limits(rows=4, body_bytes=1000)


def tensor(name: str = "input", shape: Any = (2, 2), datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "datatype": datatype, **more}


def decode(signature: Signature, *inputs: dict[str, Any], tail: bytes | None = None, **top: Any) -> oip.Infer:
    head = json.dumps({"inputs": list(inputs), **top}).encode()
    length = None if tail is None else str(len(head)).encode()
    return oip.decode(head + (tail or b""), length, signature, LIMITS)


def packed(*elements: bytes) -> bytes:
    return b"".join(len(one).to_bytes(4, "little") + one for one in elements)


def sized(data: bytes) -> dict[str, Any]:
    return {"parameters": {"binary_data_size": len(data)}}


# --- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [[1, 2, 3, 4.5], [[1, 2], [3, 4.5]], [[[1], [2]], [3, 4.5]]])
def test_json_data_may_be_flat_or_nested(data: Any) -> None:
    found = decode(ARRAY, tensor(data=data))
    assert found.rows == 2
    assert found.raw["input"].dtype == np.float32
    assert found.raw["input"].tolist() == [[1, 2], [3, 4.5]]


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [
        ("UINT8", "<u1"),
        ("UINT16", "<u2"),
        ("UINT32", "<u4"),
        ("UINT64", "<u8"),
        ("INT8", "<i1"),
        ("INT16", "<i2"),
        ("INT32", "<i4"),
        ("INT64", "<i8"),
        ("FP16", "<f2"),
        ("FP32", "<f4"),
        ("FP64", "<f8"),
    ],
)
@pytest.mark.parametrize("signature", [ARRAY, COUNTS])
def test_every_numeric_datatype_is_cast_to_the_declared_one(signature: Signature, datatype: str, dtype: str) -> None:
    wanted = [[1, 2], [3, 100]]
    data = np.array(wanted, dtype).tobytes()
    found = [
        decode(signature, tensor(datatype=datatype, data=wanted)),
        decode(signature, tensor(datatype=datatype, **sized(data)), tail=data),
    ]
    for one in found:
        assert one.raw["input"].dtype == signature.inputs[0].dtype
        assert one.raw["input"].tolist() == wanted


def test_several_binary_inputs_follow_in_order() -> None:
    ages, towns = np.float32([30, 40]).tobytes(), packed("Århus".encode(), b"")
    found = decode(
        COLUMNS,
        tensor("town", [2], "BYTES", **sized(towns)),
        tensor("age", [2, 1], "FP32", **sized(ages)),
        tail=towns + ages,
    )
    assert found.raw["age"].tolist() == [30, 40]
    assert found.raw["town"].tolist() == ["Århus", ""]


def test_json_and_binary_inputs_mix() -> None:
    towns = packed(b"Oslo", b"Rom")
    found = decode(
        COLUMNS, tensor("age", [2], "INT32", data=[30, 40]), tensor("town", [2], "BYTES", **sized(towns)), tail=towns
    )
    assert found.raw["age"].tolist() == [30, 40]
    assert found.raw["town"].tolist() == ["Oslo", "Rom"]


def test_numeric_columns_may_come_as_one_matrix() -> None:
    found = decode(NUMBERS, tensor(data=[30, 1, 40, 2]))
    assert found.raw["age"].tolist() == [30, 40]
    assert found.raw["income"].tolist() == [1, 2]


def test_pictures_come_encoded_or_as_pixels() -> None:
    files = [b"\x89PNG one", b"\xff\xd8 two"]
    data = packed(*files)
    assert decode(IMAGE, tensor("image", [2], "BYTES", **sized(data)), tail=data).raw["image"] == files
    texts = [base64.b64encode(file).decode() for file in files]
    assert decode(IMAGE, tensor("image", [2, 1], "BYTES", data=texts)).raw["image"] == files
    pixels = np.arange(8, dtype=np.uint8)
    for datatype in ("UINT8", "INT64", "FP32"):
        found = decode(IMAGE, tensor("image", [2, 2, 2], datatype, data=pixels.tolist())).raw["image"]
        assert found.dtype == np.uint8
        assert found.tolist() == pixels.reshape(2, 2, 2).tolist()
    assert decode(IMAGE, tensor("image", [2, 1, 1, 4], "UINT8", data=pixels.tolist())).raw["image"].shape == (
        2,
        1,
        1,
        4,
    )


def test_parameters_are_options_and_context() -> None:
    given = {"strategy": "mean", "max_ms": 20, "binary_data_output": False, "context.user": "u", "context.age": 7}
    found = decode(ARRAY, tensor(data=[1, 2, 3, 4]), parameters=given)
    assert (found.strategy, found.max_ms, found.context) == ("mean", 20, {"user": "u", "age": 7})
    found = decode(ARRAY, tensor(data=[1, 2, 3, 4]), parameters={"timeout": 50_000})  # microseconds, as clients send it
    assert (found.strategy, found.max_ms, found.context) == (None, 50, {})


@pytest.mark.parametrize(("max_ms", "timeout", "expected"), [(20, 50_000, 20), (80, 50_000, 50), (80, None, 80)])
def test_the_smaller_of_two_limits_counts(max_ms: float, timeout: int | None, expected: float) -> None:
    given = {"max_ms": max_ms, "timeout": timeout}
    assert decode(ARRAY, tensor(data=[1, 2, 3, 4]), parameters=given).max_ms == expected


def test_what_the_protocol_adds_is_tolerated() -> None:
    found = decode(ARRAY, tensor(data=[1, 2, 3, 4], parameters={"hint": "x"}), id="7", more=1, outputs=[])
    assert found.request.id == "7"


@pytest.mark.parametrize(
    ("signature", "inputs", "error", "path"),
    [
        (ARRAY, [], InvalidInput, "inputs"),
        (ARRAY, [{"name": "input"}], InvalidInput, "inputs[0]"),
        (ARRAY, [tensor(data=[1, 2, 3, 4], datatype="FP8")], InvalidInput, "inputs[0].datatype"),
        (ARRAY, [tensor(data=[1, 2, 3, 4], shape=[])], InvalidInput, "inputs[0].shape"),
        (ARRAY, [tensor(data=[1, 2, 3, 4], shape=[2, -2])], InvalidInput, "inputs[0].shape"),
        (ARRAY, [tensor(data=[1, 2, 3, 4], shape=[2**31, 0])], InvalidInput, "inputs[0].shape"),
        (ARRAY, [tensor(data=[1, 2, 3, 4], shape=[50, 50])], TooLarge, "inputs[0].shape"),
        (ARRAY, [tensor(data=[1, 2, 3, 4], shape=[4])], InvalidInput, "inputs.input"),
        (ARRAY, [tensor(data=[1, 2, 3, 4], shape=[4, 1])], InvalidInput, "inputs.input"),
        (ARRAY, [tensor(data=[], shape=[0, 2])], InvalidInput, "inputs[0].shape"),
        (ARRAY, [tensor(data=[0.5] * 10, shape=[5, 2])], TooLarge, "inputs[0].shape"),
        (ARRAY, [tensor(data=[1, 2, 3])], InvalidInput, "inputs[0].data"),
        (ARRAY, [tensor(data=[[1, 2], [3]])], InvalidInput, "inputs[0].data"),
        (ARRAY, [tensor(data="1234")], InvalidInput, "inputs[0].data"),
        (ARRAY, [tensor()], InvalidInput, "inputs[0].data"),
        (ARRAY, [tensor(data=[1, 2, 3, True])], InvalidInput, "inputs[0].data"),
        (ARRAY, [tensor(data=[1, 2, 3, None])], InvalidInput, "inputs[0].data"),
        (ARRAY, [tensor(data=[1, 2, 3, {}])], InvalidInput, "inputs[0].data"),
        (ARRAY, [tensor(data=[1, 2, 3, 1e39])], InvalidInput, "inputs.input[1][1]"),
        (ARRAY, [tensor(data=[1, 2, 3, 70000], datatype="FP16")], InvalidInput, "inputs.input[1][1]"),
        (ARRAY, [tensor(data=[1, 2, 3, 4.5], datatype="INT32")], InvalidInput, "inputs[0].data"),
        (ARRAY, [tensor(data=[1, 2, 3, 2**64], datatype="UINT64")], InvalidInput, "inputs[0].data"),
        (ARRAY, [tensor(data=[1, 2, 3, -1], datatype="UINT8")], InvalidInput, "inputs[0].data"),
        (ARRAY, [tensor(data=["1"] * 4, datatype="BYTES")], InvalidInput, "inputs.input"),
        (COUNTS, [tensor(data=[1, 2, 3, 4.5])], InvalidInput, "inputs.input[1]"),
        (COUNTS, [tensor(data=[1, 2, 3, 2.0**63], datatype="FP64")], InvalidInput, "inputs.input[1]"),
        (COUNTS, [tensor(data=[1, 2, 3, 2**63], datatype="UINT64")], InvalidInput, "inputs.input[1]"),
        (ARRAY, [tensor(data=[1, 2, 3, 4])] * 2, InvalidInput, "inputs[1].name"),
        (COLUMNS, [tensor("age", [2], data=[1, 2])], InvalidInput, "inputs.town"),
        (COLUMNS, [tensor("size", [2], data=[1, 2])], InvalidInput, "inputs.size"),
        (
            COLUMNS,
            [tensor("age", [2], data=[1, 2]), tensor("town", [1], "BYTES", data=["a"])],
            InvalidInput,
            "inputs.town.shape",
        ),
        (
            COLUMNS,
            [tensor("age", [1], data=[1]), tensor("town", [1], "FP32", data=[1])],
            InvalidInput,
            "inputs.town.datatype",
        ),
        (NUMBERS, [tensor(shape=[1, 3], data=[1, 2, 3])], InvalidInput, "inputs.input.shape"),
        (IMAGE, [tensor("image", [2], "UINT8", data=[1, 2])], InvalidInput, "inputs.image.shape"),
        (IMAGE, [tensor("image", [1, 0, 5], "UINT8", data=[])], InvalidInput, "inputs.image.shape"),
        (IMAGE, [tensor("image", [1, 1, 2], "INT32", data=[1, 256])], InvalidInput, "inputs.image.data"),
        (IMAGE, [tensor("image", [1, 1, 1, 1], "BYTES", data=["AAAA"])], InvalidInput, "inputs.image.shape"),
        (IMAGE, [tensor("image", [2], "BYTES", data=["AAAA", "?"])], InvalidInput, "inputs.image.data[1]"),
        (IMAGE, [tensor("image", [1], "BYTES", data=[7])], InvalidInput, "inputs[0].data"),
    ],
)
def test_a_bad_input_is_named(
    signature: Signature, inputs: list[dict[str, Any]], error: type[QuorateError], path: str
) -> None:
    with pytest.raises(error) as caught:
        decode(signature, *inputs)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({"sequence_id": 1}, "parameters.sequence_id"),
        ({"strategy": 1}, "parameters.strategy"),
        ({"max_ms": "5"}, "parameters.max_ms"),
        ({"max_ms": True}, "parameters.max_ms"),
        ({"max_ms": 0}, "parameters.max_ms"),
        ({"timeout": -1}, "parameters.timeout"),
        ({"timeout": 1e13}, "parameters.timeout"),
        ({"binary_data_output": "yes"}, "parameters.binary_data_output"),
        ({"strategy": ["a"]}, "parameters[...]"),
    ],
)
def test_a_bad_parameter_is_named(parameters: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode(ARRAY, tensor(data=[1, 2, 3, 4]), parameters=parameters)
    assert caught.value.path == path


GOOD = np.float32([1, 2, 3, 4]).tobytes()
SIZE = "inputs[0].parameters.binary_data_size"


@pytest.mark.parametrize(
    ("given", "tail", "error", "path"),
    [
        (sized(GOOD[:12]), GOOD[:12], MalformedRequest, SIZE),
        (sized(GOOD), GOOD[:12], MalformedRequest, SIZE),
        (sized(GOOD), GOOD + b"x", MalformedRequest, "inputs"),
        ({"parameters": {"binary_data_size": -1}}, GOOD, MalformedRequest, SIZE),
        ({"parameters": {"binary_data_size": "16"}}, GOOD, MalformedRequest, SIZE),
        ({"parameters": {"binary_data_size": True}}, GOOD, MalformedRequest, SIZE),
        ({"data": [1, 2, 3, 4]}, GOOD, MalformedRequest, "inputs"),
        ({**sized(GOOD), "data": [1, 2, 3, 4]}, GOOD, InvalidInput, "inputs[0].data"),
        (sized(GOOD), np.float32([1, 2, 3, np.inf]).tobytes(), InvalidInput, "inputs.input[1][1]"),
        ({**sized(b"\2" * 4), "datatype": "BOOL"}, b"\2" * 4, MalformedRequest, "inputs[0].data"),
        ({**sized(b"abc"), "datatype": "BYTES"}, b"abc", MalformedRequest, "inputs[0].data"),
        ({**sized(packed(b"a")), "datatype": "BYTES"}, packed(b"a"), MalformedRequest, "inputs[0].data"),
        ({**sized(packed(*[b""] * 5)), "datatype": "BYTES"}, packed(*[b""] * 5), MalformedRequest, "inputs[0].data"),
    ],
)
def test_bad_binary_data_is_named(given: dict[str, Any], tail: bytes, error: type[QuorateError], path: str) -> None:
    with pytest.raises(error) as caught:
        decode(ARRAY, {**tensor(), **given}, tail=tail)
    assert caught.value.path == path


@pytest.mark.parametrize("length", [b"", b"x", b"-1", b"1000", b"9" * 30, "٣".encode()])
def test_a_bad_header_length_is_named(length: bytes) -> None:
    with pytest.raises(MalformedRequest) as caught:
        oip.decode(b'{"inputs": []}', length, ARRAY, LIMITS)
    assert caught.value.path == "Inference-Header-Content-Length"


def test_text_must_be_utf8() -> None:
    data = packed(b"\xff")
    with pytest.raises(InvalidInput) as caught:
        decode(COLUMNS, tensor("age", [1], data=[1]), tensor("town", [1], "BYTES", **sized(data)), tail=data)
    assert caught.value.path == "inputs.town.data"


@given(st.binary(max_size=200), st.sampled_from([ARRAY, COLUMNS, IMAGE]), st.sampled_from(["BYTES", "FP32", "BOOL"]))
def test_no_bytes_are_more_than_a_client_error(tail: bytes, signature: Signature, datatype: str) -> None:
    name = signature.inputs[0].name
    try:
        decode(signature, tensor(name, [len(tail) // 8, 2], datatype, **sized(tail)), tail=tail)
    except (InvalidInput, MalformedRequest, TooLarge) as error:
        assert error.path  # noqa: PT017 - what random bytes are refused for differs
