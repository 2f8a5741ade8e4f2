import base64
import json

import numpy as np
import pytest

from quorate.codecs.snapshot import Limits
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import InvalidInput, QuorateError, TooLarge, UnsupportedMediaType
from quorate.serving.inputs import InputReader, tensor

SCORES = OutputSpec("scores", classes=("a", "b"))
ARRAY = InputReader(Signature("array", (TensorSpec("input", "float32", (None, 3)),), SCORES))
COUNTS = InputReader(Signature("array", (TensorSpec("input", "int64", (None, 2)),), SCORES))
GAPS = InputReader(Signature("array", (TensorSpec("input", "float32", (None, 2), nullable=True),), SCORES))
IMAGE = InputReader(Signature("image", (TensorSpec("image", "uint8", (None, None, None, None)),), SCORES))
COLUMNS = InputReader(
    Signature(
        "columns",
        (
            TensorSpec("age", "float32", (None,)),
            TensorSpec("town", "str", (None,)),
            TensorSpec("income", "float32", (None,), nullable=True),
        ),
        SCORES,
    )
)


def read(reader, instances, **more):
    return reader.decode(json.dumps({"instances": instances, **more}).encode(), Limits(rows=5))


def test_array_rows_become_one_tensor_of_the_declared_dtype():
    body, raw, rows = read(ARRAY, [[1, 2.5, 3], [4, 5, 6]], context={"user": "u1"}, options={"max_ms": 20})
    assert rows == 2
    assert raw["input"].dtype == np.float32
    assert raw["input"].tolist() == [[1, 2.5, 3], [4, 5, 6]]
    assert body.context == {"user": "u1"}
    assert body.options.max_ms == 20


@pytest.mark.parametrize(
    ("reader", "instances", "path"),
    [
        (ARRAY, [], "instances"),
        (ARRAY, [[1, 2]], "instances"),
        (ARRAY, [[1, 2, 3], [1, 2]], "instances[1]"),
        (ARRAY, [[1, 2, "3"]], "instances[0][2]"),
        (ARRAY, [[1, 2, None]], "instances[0][2]"),
        (ARRAY, [[1, 2, True]], "instances[0][2]"),
        (ARRAY, [1, 2, 3], "instances[0]"),
        (ARRAY, [[[1, 2, 3]]], "instances[0][0]"),
        (ARRAY, [[1, 2, 1e300]], "instances[0][2]"),
        (ARRAY, {"a": 1}, "instances"),
        (COUNTS, [[1, 2.5]], "instances[0][1]"),
        (COUNTS, [[1, 2**70]], "instances[0]"),
        (IMAGE, [5], "instances[0]"),
        (IMAGE, [None], "instances[0]"),
        (IMAGE, [{"b64": "%%%"}], "instances[0].b64"),
        (IMAGE, [{"b64": 5}], "instances[0]"),
        (IMAGE, [{"url": "x"}], "instances[0]"),
        (IMAGE, [[[0, 256]]], "instances[0]"),
        (IMAGE, [[[0, 1.5]]], "instances[0]"),
        (IMAGE, [[[0], [0, 1]]], "instances[0]"),
        (IMAGE, [[[]]], "instances[0]"),
        (IMAGE, [[["x"]]], "instances[0]"),
        (COLUMNS, [{"age": 1, "town": "x", "size": 2}], "instances[0].size"),
        (COLUMNS, [{"age": 1}], "instances[0].town"),
        (COLUMNS, [{"age": "1", "town": "x"}], "instances[0].age"),
        (COLUMNS, [{"age": True, "town": "x"}], "instances[0].age"),
        (COLUMNS, [{"age": None, "town": "x"}], "instances[0].age"),
        (COLUMNS, [{"age": 1e200, "town": "x"}], "instances[0].age"),
        (COLUMNS, [[1, 2, 3]], "instances[0]"),
    ],
)
def test_bad_rows_are_named(reader, instances, path):
    with pytest.raises(InvalidInput) as caught:
        read(reader, instances)
    assert caught.value.path == path


def test_unknown_body_keys_and_options_are_named():
    for more, path in (
        ({"extra": 1}, None),
        ({"options": {"explain": True}}, "options"),
        ({"options": {"max_ms": 0}}, "options.max_ms"),
        ({"options": {"max_ms": -1}}, "options.max_ms"),
        ({"options": {"strategy": 5}}, "options.strategy"),
        ({"context": {"a": [1]}}, "context"),
        ({"context": {"a": 2**64}}, "context.a"),
    ):
        with pytest.raises(InvalidInput) as caught:
            read(ARRAY, [[1, 2, 3]], **more)
        if path is not None:
            assert (caught.value.path or "").startswith(path), more


def test_limits_are_named():
    with pytest.raises(TooLarge, match=r"limits\.rows") as caught:
        read(ARRAY, [[1, 2, 3]] * 6)
    assert caught.value.path == "instances"
    with pytest.raises(TooLarge) as caught:
        read(ARRAY, [[1, 2, 3]], context={f"k{i}": 1 for i in range(100)})
    assert caught.value.path == "context"
    with pytest.raises(TooLarge) as caught:
        read(ARRAY, [[1, 2, 3]], context={"k": "x" * 5000})
    assert caught.value.path == "context.k"


def test_null_is_nan_where_the_signature_says_so():
    _, raw, _ = read(GAPS, [[1, None]])
    assert np.isnan(raw["input"][0, 1])
    _, raw, _ = read(COLUMNS, [{"age": 3, "town": "x", "income": None}, {"age": 3, "town": "y"}])
    assert np.isnan(raw["income"]).all()
    assert raw["town"].tolist() == ["x", "y"]


def test_images_come_as_base64_or_pixels():
    encoded = base64.b64encode(b"\x89PNG").decode()
    _, raw, rows = read(IMAGE, [{"b64": encoded}, {"b64": "data:image/png;base64," + encoded}, [[0, 255]]])
    assert rows == 3
    assert raw["image"][0] == raw["image"][1] == b"\x89PNG"
    assert raw["image"][2].dtype == np.uint8


def test_pictures_of_one_size_are_one_array():
    rows = [[[0, 255, 7], [1, 2, 3]], [[9, 8, 7], [6, 5, 4]]]
    _, raw, _ = read(IMAGE, rows)
    assert raw["image"].dtype == np.uint8
    assert raw["image"].tolist() == rows


@pytest.mark.parametrize(
    "rows",
    [
        [[[0, 255]], [[1], [2]]],  # of different sizes
        [[[0.0, 255.0]], [[1, 2]]],  # whole numbers with a point
        [[[[1, 2, 3]]], [[[4, 5, 6]]]],  # with colours
    ],
)
def test_other_pictures_come_one_by_one(rows):
    _, raw, _ = read(IMAGE, rows)
    assert [picture.tolist() for picture in raw["image"]] == rows
    assert {picture.dtype for picture in raw["image"]} == {np.dtype(np.uint8)}


@pytest.mark.parametrize("bad", [[[0, 256]], [[0, -1]], [[0.5, 1]], [[0, None]], [[0, "1"]], [[0], [1, 2]], [[]], []])
def test_what_is_no_picture_is_refused_with_its_row(bad):
    with pytest.raises(InvalidInput) as caught:
        read(IMAGE, [[[0, 255]], bad])
    assert caught.value.path == "instances[1]"


def test_only_image_endpoints_take_encoded_images():
    assert IMAGE.encoded([b"x"]) == {"image": [b"x"]}
    with pytest.raises(UnsupportedMediaType):
        ARRAY.encoded([b"x"])


def test_binary_nan_is_refused_with_its_place():
    spec = TensorSpec("input", "float32", (None, 2))
    with pytest.raises(InvalidInput) as caught:
        tensor(np.array([[0, 0], [0, np.nan]], np.float32), spec, path="inputs.input")
    assert caught.value.path == "inputs.input[1][1]"


@pytest.mark.parametrize("body", [b"", b"{", b'{"instances"', b"\xff\xfe", b"[" * 100_000, b'{"instances": [[NaN]]}'])
def test_broken_json_is_a_client_error(body):
    with pytest.raises(QuorateError) as caught:
        ARRAY.decode(body, Limits())
    assert caught.value.code in ("malformed_request", "too_large")
