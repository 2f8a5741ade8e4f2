"""``shorter-side``, ``centre-crop`` and ``bgr``: sizes, the same pixels from files and arrays, what is refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quorate.errors import ConfigError, InvalidInput, TooLarge
from quorate.preprocess import Pipeline

RNG = np.random.default_rng(5)


def picture(width: int, height: int, channels: int = 3) -> np.ndarray:
    """Noise that is smooth enough for resampling to matter, and differs everywhere."""
    small = RNG.integers(0, 256, (max(1, height // 4), max(1, width // 4), 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    return pixels if channels == 3 else pixels[..., 0]


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def run(images: Any, *steps: dict[str, object], max_pixels: int = 1_000_000) -> np.ndarray:
    return Pipeline.from_spec([{"kind": "decode"}, *steps]).apply({"image": images}, max_pixels=max_pixels)["input"]


@pytest.mark.parametrize(
    ("width", "height", "wanted"),
    [(640, 480, (341, 256)), (480, 640, (256, 341)), (300, 300, (256, 256)), (100, 31, (825, 256)), (256, 300, None)],
)
def test_the_shorter_side_gets_the_size_and_the_longer_is_cut_down_to_whole_pixels(
    width: int, height: int, wanted: tuple[int, int] | None
) -> None:
    pixels = picture(width, height)
    found = run([png(pixels)], {"kind": "shorter-side", "size": 256})[0]
    image = Image.fromarray(pixels)
    expected = pixels if wanted is None else np.asarray(image.resize(wanted, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(run(pixels[None], {"kind": "shorter-side", "size": 256})[0], expected)


def test_the_filter_is_the_one_that_is_declared() -> None:
    pixels = picture(90, 60)
    for name in ("nearest", "bicubic", "lanczos"):
        found = run([png(pixels)], {"kind": "shorter-side", "size": 20, "resample": name})[0]
        expected = Image.fromarray(pixels).resize((30, 20), Image.Resampling[name.upper()])
        np.testing.assert_array_equal(found, np.asarray(expected))


@pytest.mark.parametrize(
    ("width", "height", "left", "top"),
    [(256, 256, 16, 16), (341, 256, 58, 16), (227, 225, 2, 0), (224, 224, 0, 0), (231, 229, 4, 2)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_middle_is_cut_out_and_half_a_pixel_goes_to_the_even_side(
    width: int, height: int, left: int, top: int, channels: int
) -> None:
    pixels = picture(width, height, channels)
    expected = pixels[top : top + 224, left : left + 224]
    step = {"kind": "centre-crop", "width": 224, "height": 224}
    np.testing.assert_array_equal(run([png(pixels)], step)[0], expected)
    np.testing.assert_array_equal(run(pixels[None], step)[0], expected)


def test_exif_is_still_known_after_both() -> None:
    pixels = picture(40, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", exif=exif)
    steps = ({"kind": "shorter-side", "size": 20}, {"kind": "centre-crop", "width": 20, "height": 10})
    found = run([out.getvalue()], *steps, {"kind": "orient"})[0]
    np.testing.assert_array_equal(found, np.rot90(pixels[5:15, 10:30], -1))


def test_pictures_of_several_sizes_end_in_one() -> None:
    images = [png(picture(50, 30)), png(picture(30, 70))]
    steps = ({"kind": "shorter-side", "size": 24}, {"kind": "centre-crop", "width": 20, "height": 20})
    assert run(images, *steps).shape == (2, 20, 20, 3)


def test_a_picture_smaller_than_the_crop_is_refused_with_its_row() -> None:
    images = [png(picture(50, 50)), png(picture(50, 19))]
    with pytest.raises(InvalidInput, match="50x19 here, too small to cut 20x20 out of it") as caught:
        run(images, {"kind": "centre-crop", "width": 20, "height": 20})
    assert caught.value.path == "instances[1]"


def test_a_line_cannot_be_blown_up_beyond_the_pixel_limit() -> None:
    line = np.zeros((1, 4000, 3), np.uint8)
    with pytest.raises(TooLarge, match="4000x1 pixels; with the shorter side 256 it would have 1024000x256"):
        run([png(line)], {"kind": "shorter-side", "size": 256})


def test_bgr_turns_the_channels_round() -> None:
    pixels = picture(6, 5)
    steps = ({"kind": "bgr"}, {"kind": "normalise", "mean": [1.0, 2.0, 3.0]})
    expected = pixels[..., ::-1].astype(np.float32) - np.array([1, 2, 3], np.float32)
    np.testing.assert_array_equal(run([png(pixels)], *steps)[0], expected)
    with pytest.raises(InvalidInput, match="declare 'rgb' before it"):
        run([png(pixels[..., 0])], {"kind": "bgr"})


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "shorter-side", "size": 0},
        {"kind": "shorter-side", "size": 10_001},
        {"kind": "centre-crop", "width": 0, "height": 5},
        {"kind": "centre-crop", "width": 5},
    ],
)
def test_impossible_sizes_are_refused(step: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="preprocessing step 1"):
        Pipeline.from_spec([{"kind": "decode"}, step])
