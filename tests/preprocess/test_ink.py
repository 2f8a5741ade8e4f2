"""The ink step: light ink on black, whatever was photographed, and never a crash."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageDraw

from quorate.errors import ConfigError
from quorate.preprocess import Pipeline

SEEN = [{"kind": "decode"}, {"kind": "orient"}, {"kind": "ink"}, {"kind": "centre", "frame": 12, "box": 8}]
PICTURES = arrays(
    np.uint8,
    st.one_of(
        array_shapes(min_dims=2, max_dims=2, max_side=70),
        array_shapes(min_dims=2, max_dims=2, max_side=40).map(lambda shape: (*shape, 3)),
    ),
)


def seen(images: Any, steps: list[dict[str, Any]] = SEEN) -> np.ndarray:
    return Pipeline.from_spec(steps).apply({"image": images}, max_pixels=50_000_000)["input"]


def five(width: int = 120, height: int = 120, at: tuple[int, int] = (40, 30), scale: float = 1.0) -> Image.Image:
    """How much of each pixel is the ink of a five, about 40 x 60 pixels times ``scale``."""
    fine = 4
    canvas = Image.new("L", (width * fine, height * fine), 0)
    corners = [(38, 4), (6, 4), (4, 30), (24, 26), (36, 38), (30, 54), (2, 56)]
    points = [((at[0] + x * scale) * fine, (at[1] + y * scale) * fine) for x, y in corners]
    ImageDraw.Draw(canvas).line(points, fill=255, width=round(7 * scale * fine), joint="curve")
    return canvas.reduce(fine)


def scene(cover: Image.Image, paper: Any, ink: Any) -> np.ndarray:
    """Ink on paper; either is a grey level, a colour, or an array of the picture's size."""
    part = np.asarray(cover, np.float64)[..., None] / 255
    pixels = np.broadcast_to(paper, (*part.shape[:2], 3)) * (1 - part) + np.array(ink) * part
    return np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)


EXPECTED = seen([scene(five(), 0, 255)])[0]


def assert_five(picture: Any, atol: float = 12) -> None:
    """The mean difference from the clean five, in grey levels; another digit's is above 60."""
    assert np.abs(seen([picture])[0] - EXPECTED).mean() <= atol


@pytest.mark.parametrize(
    ("paper", "ink"),
    [
        (255, 0),
        (0, 255),
        (200, 160),
        (90, 60),
        ((0, 130, 0), (255, 0, 20)),  # about the same luma
        ((20, 40, 160), (240, 220, 60)),
        ((250, 240, 200), (30, 30, 120)),
    ],
)
def test_colours_and_polarity_do_not_matter(paper: Any, ink: Any) -> None:
    assert_five(scene(five(), paper, ink), atol=3)


def test_light_from_one_side_does_not_matter() -> None:
    light = np.linspace(1, 0.3, 120)[None, :, None] * np.linspace(1, 0.8, 120)[:, None, None]
    assert_five((scene(five(), 240, 30) * light).astype(np.uint8))
    assert_five((scene(five(), 60, 250) * light).astype(np.uint8), atol=20)


def test_the_edge_of_a_shadow_does_not_matter() -> None:
    shadow = np.where(np.add.outer(np.arange(120), np.arange(120)) < 110, 0.6, 1.0)[..., None]
    assert_five((scene(five(), 240, 30) * shadow).astype(np.uint8))


def test_grain_and_specks_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    noisy = scene(five(), 230, 40) + rng.normal(0, 20, (120, 120, 1))
    chance = rng.random((120, 120))
    noisy[chance < 0.01], noisy[chance > 0.99] = 0, 255
    assert_five(np.clip(noisy, 0, 255).astype(np.uint8))
    cover = five()
    pen = ImageDraw.Draw(cover)
    for x, y in rng.uniform(0, 118, (25, 2)).tolist():
        pen.ellipse((x, y, x + 1.5, y + 1.5), fill=255)
    assert_five(scene(cover, 255, 0))


@pytest.mark.parametrize("grey", [10, 255])
def test_a_border_does_not_matter(grey: int) -> None:
    picture = scene(five(), 200, 40)
    picture[:6] = picture[:, -5:] = picture[-8:] = grey
    assert_five(picture)


def test_a_slanted_border_does_not_matter() -> None:
    picture = scene(five(), 200, 60)
    rows, columns = np.mgrid[0:120, 0:120]
    picture[columns < 4 + rows / 20] = 0
    assert_five(picture)


def test_ruled_paper_does_not_matter() -> None:
    picture = scene(five(), 250, 20)
    lined = picture.copy()
    lined[5::14] = np.minimum(lined[5::14], [180, 200, 240])
    assert_five(lined)


def test_black_ink_on_nothing_is_seen() -> None:
    pixels = np.zeros((120, 120, 4), np.uint8)
    pixels[..., 3] = np.asarray(five())
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    assert_five(out.getvalue(), atol=2)


@pytest.mark.parametrize("scale", [0.3, 0.6, 3.0, 8.0])
def test_size_does_not_matter(scale: float) -> None:
    side = round(120 * max(scale, 1))
    assert_five(scene(five(side, side, (round(20 * scale), round(15 * scale)), scale), 255, 0), atol=20)


def test_small_writing_on_a_large_picture_is_looked_at_again() -> None:
    picture = scene(five(1500, 1100, (1200, 900)), 235, 40)
    assert_five(picture)  # at 128 pixels a side it would be 4 pixels high


def test_both_sides_of_a_broken_digit_are_kept() -> None:
    cover = np.array(five())
    cover[:, 56:60] = 0
    result = seen([scene(Image.fromarray(cover), 255, 0)])[0]
    assert np.abs(result - EXPECTED).mean() < 30


def test_light_ink_on_black_at_the_size_of_the_data_stays_as_it_is() -> None:
    picture = np.zeros((8, 8), np.uint8)
    picture[0, 2:6], picture[1:7, 3], picture[7, 1:7], picture[3, 4] = 255, 200, 130, 100
    steps = [{"kind": "decode"}, {"kind": "ink"}]
    np.testing.assert_array_equal(seen(picture[None], steps)[0], picture)


@pytest.mark.parametrize("level", [0, 7, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (8, 8), (40, 40), (300, 200, 3)])
def test_blank_pictures_are_black(level: int, shape: tuple[int, ...]) -> None:
    result = seen([np.full(shape, level, np.uint8)])
    np.testing.assert_array_equal(result, np.zeros((1, 12, 12)))


def test_grain_alone_is_no_ink() -> None:
    grain = np.random.default_rng(0).normal(128, 3, (100, 100)).astype(np.uint8)
    assert seen([grain]).sum() == 0


@settings(max_examples=150, deadline=None)
@given(PICTURES)
def test_any_picture_has_an_answer_that_does_not_depend_on_how_it_came(pixels: np.ndarray) -> None:
    result = seen(pixels[None])
    assert result.shape == (1, 12, 12)
    assert result.dtype == np.float32
    assert result.max() == 0 or result.max() >= 64
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    np.testing.assert_array_equal(seen([out.getvalue()]), result)
    other = np.random.default_rng(1).integers(0, 256, (33, 21), dtype=np.uint8)
    np.testing.assert_array_equal(seen([other, pixels])[1:], result)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 40), st.integers(0, 120), st.integers(160, 255))
def test_inverting_and_moving_change_nothing(x: int, y: int, dark: int, light: int) -> None:
    pixels = scene(five(130, 130, (10 + x, 10 + y)), light, dark)
    result = seen([pixels])
    for other in (seen([255 - pixels])[0], EXPECTED):
        # a centre that is half-way between two pixels may go to either
        moved = [np.roll(other, (down, across), (0, 1)) for down in (-1, 0, 1) for across in (-1, 0, 1)]
        assert min(np.abs(result[0] - image).mean() for image in moved) < 6


def test_threads_share_a_pipeline() -> None:
    pictures = [scene(five(90 + k, 100, (20 + k, 20)), 250 - k, k) for k in range(12)]
    alone = [seen([picture]) for picture in pictures]
    pipeline = Pipeline.from_spec(SEEN)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda p: pipeline.apply({"image": [p]}, max_pixels=10**6)["input"], pictures))
    np.testing.assert_array_equal(together, alone)


def test_the_side_is_checked() -> None:
    with pytest.raises(ConfigError, match="side must be 16 to 4096"):
        Pipeline.from_spec([{"kind": "decode"}, {"kind": "ink", "side": 8}])


@pytest.mark.parametrize("side", [47, 48, 49, 96, 200])
@pytest.mark.parametrize("step", [2, 3, 4])
def test_halftones_and_grids_are_no_error(side: int, step: int) -> None:
    dots = np.zeros((side, side), np.uint8)
    dots[::step, ::step] = 200
    grid = np.zeros((side, side), np.uint8)
    grid[::step] = 200
    for picture in (dots, 255 - dots, grid, grid.T.copy()):
        assert np.isfinite(seen(picture[None])).all()
