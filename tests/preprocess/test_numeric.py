"""Numeric steps against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.errors import InvalidInput
from quorate.preprocess import Pipeline


def apply(raw: dict[str, np.ndarray], *spec: dict[str, object]) -> np.ndarray:
    return Pipeline.from_spec(spec).apply(raw, max_pixels=1000)["input"]


def test_normalise_is_scale_then_mean_then_std_per_channel() -> None:
    x = np.random.default_rng(1).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    result = apply({"image": x}, {"kind": "decode"}, {"kind": "normalise", "scale": 1 / 255, "mean": mean, "std": std})
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, (x / 255 - mean) / std, atol=1e-6)


def test_normalise_refuses_another_number_of_channels() -> None:
    with pytest.raises(InvalidInput, match="3 channels"):
        apply({"input": np.zeros((2, 4))}, {"kind": "normalise", "mean": [1, 2, 3]})


def test_normalise_leaves_its_input_alone() -> None:
    x = np.ones((2, 3), np.float32)
    apply({"input": x}, {"kind": "normalise", "scale": 2, "mean": 1})
    np.testing.assert_array_equal(x, 1)


@pytest.mark.parametrize(("order", "shape"), [("nchw", (2, 3, 4, 5)), ("nhwc", (2, 4, 5, 3))])
def test_layout_moves_channels(order: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(2).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    result = apply({"image": x}, {"kind": "decode"}, {"kind": "layout", "order": order})
    assert result.shape == shape
    channel = result[0, 1] if order == "nchw" else result[0, ..., 1]
    np.testing.assert_array_equal(channel, x[0, ..., 1])


def test_layout_gives_grey_a_channel() -> None:
    x = np.zeros((2, 4, 5), np.uint8)
    assert apply({"image": x}, {"kind": "decode"}, {"kind": "layout", "order": "nchw"}).shape == (2, 1, 4, 5)


def test_flatten_keeps_rows_and_order() -> None:
    x = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(apply({"input": x}, {"kind": "flatten"}), x.reshape(2, 12))
    assert apply({"input": np.zeros((0, 3, 4))}, {"kind": "flatten"}).shape == (0, 12)


def test_matrix_has_the_declared_order_and_keeps_nan() -> None:
    raw = {"b": np.array([1.5, np.nan]), "a": np.array([True, False]), "c": np.array([7, 8])}
    result = apply(raw, {"kind": "matrix", "columns": ["a", "b", "c"]})
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[1, 1.5, 7], [0, np.nan, 8]])


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({"a": np.zeros(2)}, "rows[0].b"),
        ({"a": np.zeros(2), "b": np.array(["x", "y"])}, "rows[0].b"),
        ({"a": np.zeros(2), "b": np.array([1.0, 1e300])}, "rows[1].b"),
        ({"a": np.zeros(2), "b": np.zeros(1)}, "rows[1].b"),
        ({"a": np.zeros(2), "b": np.zeros((2, 2))}, "rows[2].b"),
    ],
)
def test_matrix_names_the_row_and_column_that_is_wrong(raw: dict[str, np.ndarray], path: str) -> None:
    pipeline = Pipeline.from_spec([{"kind": "matrix", "columns": ["a", "b"]}])
    with pytest.raises(InvalidInput) as caught:
        pipeline.apply(raw, max_pixels=1, path="rows")
    assert caught.value.path == path


def test_infinity_is_kept_for_the_signature_to_judge() -> None:
    result = apply({"a": np.array([np.inf, -np.inf])}, {"kind": "matrix", "columns": ["a"]})
    np.testing.assert_array_equal(result, [[np.inf], [-np.inf]])
