"""Images and rows as callers have them, in the bytes that are sent."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quorate.client.inputs import image_bytes, rows_list, to_json
from quorate.errors import InvalidInput

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


def _pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def test_files_and_bytes_are_sent_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"whatever")
    for given in (file, str(file), b"whatever", bytearray(b"whatever"), memoryview(b"whatever")):
        assert image_bytes(given) == b"whatever"


@pytest.mark.parametrize(
    "array", [GREY, COLOUR, np.dstack([COLOUR, GREY]), GREY.T, COLOUR[::-1], GREY.astype(np.int64)]
)
def test_pixels_arrive_as_they_were(array: np.ndarray) -> None:
    np.testing.assert_array_equal(_pixels(image_bytes(array)), array)


def test_a_channel_of_one_is_grey() -> None:
    np.testing.assert_array_equal(_pixels(image_bytes(GREY[:, :, None])), GREY)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_pil_images_of_every_usual_mode(mode: str) -> None:
    image = Image.fromarray(COLOUR).convert(mode)
    expected = image if mode in ("1", "L", "LA", "P", "RGB", "RGBA") else image.convert("RGB")
    np.testing.assert_array_equal(_pixels(image_bytes(image)), np.asarray(expected))


def test_the_orientation_of_a_camera_is_applied() -> None:
    image = Image.fromarray(GREY)
    image.getexif()[274] = 6  # turn by 90 degrees clockwise
    np.testing.assert_array_equal(_pixels(image_bytes(image)), np.rot90(GREY, -1))


def _cut_off() -> Image.Image:
    """A lazily opened file whose end is missing."""
    whole = io.BytesIO()
    Image.effect_noise((200, 200), 50).save(whole, "JPEG")
    return Image.open(io.BytesIO(whole.getvalue()[:2000]))


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("/nowhere/7.png", "'/nowhere/7.png' cannot be read: no such file or directory."),
        ("", "cannot be read"),
        ("a\0b", "cannot be read"),
        (b"", "0 bytes"),
        (None, "got NoneType"),
        ([[0, 1]], "got list"),
        (GREY / 255, "float64 from 0.0 to 0.04"),
        (GREY.astype(int) - 1, "int64 from -1 to 10"),
        (GREY.astype(int) * 100, "from 0 to 1100"),
        (GREY.astype(bool), "bool"),
        (GREY.astype(str), r"\[3, 4\] <U"),
        (COLOUR[:, :, :2], r"\[3, 4, 2\]"),
        (GREY[0], r"\[4\] uint8"),
        (GREY[:0], r"\[0, 4\] uint8"),
        (Image.new("F", (2, 2)), "mode F"),
        (Image.new("L", (0, 2)), "cannot be encoded"),
        (_cut_off(), "cannot be encoded: image file is truncated"),
    ],
)
def test_what_is_no_image_is_said_in_words(image: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        image_bytes(image, path="images[3]")
    assert caught.value.path == "images[3]"


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(InvalidInput, match=r"empty\.png' is empty"):
        image_bytes(tmp_path / "empty.png")


class Pandas:
    """The part of a data frame that is used; no such library is a dependency."""

    columns = ("a", "b")

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [{"a": np.float64(1), "b": "x"}]


class Polars:
    columns = ("a", "b")

    def to_dicts(self) -> list[dict[str, Any]]:
        return [{"a": 1.0, "b": "x"}]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1, 2.5], (3, None)], [[1, 2.5], [3, None]]),
        (([i, i] for i in range(2)), [[0, 0], [1, 1]]),
        (np.array([[1.5, 2], [3, 4]], np.float32), [[1.5, 2], [3, 4]]),
        ([np.array([1, 2]), np.float32([0.5, 1])], [[1, 2], [0.5, 1]]),
        ([{"a": np.float32(0.5), "b": np.int64(3), "c": np.True_, "d": np.str_("t")}],
         [{"a": 0.5, "b": 3, "c": True, "d": "t"}]),
        (Pandas(), [{"a": 1.0, "b": "x"}]),
        (Polars(), [{"a": 1.0, "b": "x"}]),
    ],
)  # fmt: skip
def test_rows_of_every_kind(rows: Any, expected: Any) -> None:
    assert json.loads(to_json({"instances": rows_list(rows)})) == {"instances": expected}


@pytest.mark.parametrize("rows", ["a,b", b"x", {"a": 1}, 5])
def test_rows_that_are_no_list(rows: Any) -> None:
    with pytest.raises(InvalidInput, match="rows is a list of rows") as caught:
        rows_list(rows)
    assert caught.value.path == "rows"


@pytest.mark.parametrize(
    ("rows", "path", "says"),
    [
        ([[1.0, 2.0], [3.0, float("nan")]], "instances[1][1]", "is nan"),
        ([{"a": 1.0}, {"a": float("inf")}], "instances[1].a", "is inf"),
        ([{"a": np.float32("nan")}], "instances[0].a", "for a missing value send None"),
        (np.array([[0, np.nan]]), "instances[0][1]", "is nan"),
        ([[1, 2], [3, 1j]], "instances[1][1]", "of type complex"),
        ([{"when": {1, 2}}], "instances[0].when", "of type set"),
        ([[object()]], "instances[0][0]", "of type object"),
    ],
)
def test_what_json_cannot_hold_is_found(rows: Any, path: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        to_json({"instances": rows_list(rows)})
    assert caught.value.path == path


def test_a_row_that_holds_itself_is_an_error_in_words() -> None:
    row: list[Any] = []
    row.append(row)
    with pytest.raises(InvalidInput):
        to_json({"instances": [row]})
