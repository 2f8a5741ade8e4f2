from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.codecs import npz
from quorate.codecs.sample import decode, decode_rows, encode
from quorate.errors import FormatRefused

OUTPUT = np.array([[0.25, 0.75], [1, 0]], np.float32)


def test_arrays_and_columns_survive() -> None:
    raw = {"age": np.array([1, 2]), "city": np.array(["Bern", "Oslo"]), "a.b": np.array([0.5, np.nan])}
    found, output = decode(encode(raw, OUTPUT))
    np.testing.assert_array_equal(output, OUTPUT)
    assert found.keys() == raw.keys()
    for name, array in raw.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("images", [[b"\x89PNG", b"GIF8"], [b"", b"x"], [b"", b""]])
def test_encoded_images_survive(images: list[bytes]) -> None:
    found, output = decode(encode({"image": images}, OUTPUT))
    assert found == {"image": images}
    np.testing.assert_array_equal(output, OUTPUT)


def test_a_user_can_write_one_and_leave_the_output_out() -> None:
    data = npz.pack({"input.input": np.ones((2, 3))})
    raw, output = decode_rows(data)
    assert output is None
    assert raw["input"].shape == (2, 3)  # type: ignore[union-attr]
    with pytest.raises(FormatRefused, match="no array 'output'"):
        decode(data)


def test_row_counts_must_agree() -> None:
    with pytest.raises(FormatRefused, match="as many outputs as rows"):
        encode({"input": np.ones((3, 2))}, OUTPUT)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"output": OUTPUT},
        {"input": np.ones(2), "output": OUTPUT},
        {"input.a": np.ones(2), "extra": np.ones(2), "output": OUTPUT},
        {"input.a": np.ones(2), "offsets.b": np.ones(2), "output": OUTPUT},
        {"input.a": np.ones(3), "output": OUTPUT},
        {"input.a": np.ones(2), "input.b": np.ones(3)},
        {"input.a": np.ones(())},
        {"input.a": np.ones((0, 3))},
        {"input.a": np.ones(2), "output": np.ones(())},
        {"input.a": np.zeros(4, np.uint8), "offsets.a": np.array([0, 3, 2, 4])},
        {"input.a": np.zeros(4, np.uint8), "offsets.a": np.array([0, 2, 5])},
        {"input.a": np.zeros(4, np.uint8), "offsets.a": np.array([1, 4])},
        {"input.a": np.zeros(4, np.uint8), "offsets.a": np.array([], np.int64)},
        {"input.a": np.zeros(4, np.uint8), "offsets.a": np.array([0.0, 4.0])},
        {"input.a": np.zeros(4), "offsets.a": np.array([0, 4])},
        {"input.a": np.zeros((2, 2), np.uint8), "offsets.a": np.array([0, 2])},
    ],
)
def test_unsound_samples_are_refused(arrays: dict[str, Any]) -> None:
    with pytest.raises(FormatRefused, match="sample"):
        decode_rows(npz.pack(arrays))


def test_objects_are_refused() -> None:
    with pytest.raises(FormatRefused, match="Python objects"):
        encode({"a": np.array(["x", None])}, OUTPUT)
