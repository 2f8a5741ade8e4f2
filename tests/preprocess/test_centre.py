"""The centre step: ink of one size in the middle of a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from quorate.errors import ConfigError, InvalidInput
from quorate.preprocess import Pipeline


def centred(images: Any, **params: Any) -> np.ndarray:
    steps = [{"kind": "decode"}, {"kind": "centre", "frame": 12, "box": 8, **params}]
    return Pipeline.from_spec(steps).apply({"image": images}, max_pixels=1_000_000)["input"]


def drawn(height: int = 40, width: int = 30, top: int = 0, left: int = 0) -> np.ndarray:
    """An L of the given place in a frame of 100 x 100."""
    picture = np.zeros((100, 100), np.uint8)
    picture[top : top + height, left : left + width // 3] = 255
    picture[top + height - height // 5 : top + height, left : left + width] = 255
    return picture


def test_where_the_ink_lay_does_not_matter() -> None:
    expected = centred([drawn()])
    for top, left in ((0, 70), (60, 0), (33, 41)):
        np.testing.assert_array_equal(centred([drawn(top=top, left=left)]), expected)


def test_how_large_it_was_does_not_matter() -> None:
    expected = centred([drawn(80, 60)])
    for factor in (2, 4, 8):
        picture = drawn(80 // factor, 60 // factor, 10, 10)
        assert np.abs(centred([picture]) - expected).mean() < 12


def test_ink_has_the_size_of_the_box_and_keeps_its_aspect() -> None:
    for height, width in ((80, 60), (40, 90)):
        ink = centred([drawn(height, width)])[0] >= 64
        rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
        size = np.array([np.ptp(rows) + 1, np.ptp(columns) + 1])
        assert size.max() == 8
        assert size.min() == pytest.approx(8 * min(height, width) / max(height, width), abs=0.75)


def test_mass_or_box_is_centred() -> None:
    by_box = centred([drawn(40, 40)], by="box")[0]
    rows, columns = np.nonzero(by_box)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 9, 2, 9)
    by_mass = centred([drawn(40, 40)])[0]
    rows, columns = np.mgrid[0:12, 0:12] + 0.5
    assert abs((by_mass * rows).sum() / by_mass.sum() - 6) <= 0.5
    assert abs((by_mass * columns).sum() / by_mass.sum() - 6) <= 0.5
    assert not np.array_equal(by_box, by_mass)


def test_ink_that_fits_is_moved_only() -> None:
    picture = np.zeros((8, 8), np.uint8)
    picture[:, 3], picture[0, 3:6], picture[4, 5] = 200, 90, 20
    result = centred([picture])[0]
    assert sorted(result[result > 0].tolist()) == sorted(picture[picture > 0].tolist())


def test_thin_strokes_do_not_fade() -> None:
    picture = np.zeros((100, 100), np.uint8)
    picture[10:90, 50] = 255
    picture[10, 20:80] = 255
    assert centred([picture]).max() == 255


def test_narrow_ink_is_widened_where_declared_but_no_bare_stroke() -> None:
    def width(picture: np.ndarray, **params: Any) -> int:
        return int((centred([picture], **params)[0] >= 64).any(axis=0).sum())

    narrow, stroke = drawn(80, 24), drawn(80, 12)
    assert width(narrow) in (2, 3)
    assert width(narrow, widen=2.0) in (4, 5)
    assert width(stroke, widen=2.0) == width(stroke)
    wide = drawn(80, 60)
    np.testing.assert_array_equal(centred([wide], widen=2.0), centred([wide]))


def test_no_ink_is_an_empty_frame() -> None:
    faint = np.full((20, 20), 60, np.uint8)
    np.testing.assert_array_equal(centred([np.zeros((5, 7), np.uint8), faint]), np.zeros((2, 12, 12)))


def test_one_pixel_fills_the_box() -> None:
    assert (centred([np.full((1, 1), 255, np.uint8)])[0] == 255).sum() == 64


def test_a_line_stays_a_line() -> None:
    line = np.full((1, 500), 255, np.uint8)
    assert (centred([line])[0] > 0).sum() == 8


def test_rows_of_different_sizes_share_a_batch() -> None:
    pictures = [drawn(), drawn()[:60, :70], np.zeros((3, 3), np.uint8)]
    together = centred(pictures)
    for row, picture in enumerate(pictures):
        np.testing.assert_array_equal(together[row], centred([picture])[0])
    np.testing.assert_array_equal(centred(np.stack([pictures[0]] * 2)), centred([pictures[0]] * 2))


def test_colour_is_refused() -> None:
    with pytest.raises(InvalidInput, match="grey pictures") as caught:
        centred([np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8)])
    assert caught.value.path == "instances[1]"
    with pytest.raises(InvalidInput, match="grey pictures"):
        centred(np.asarray(Image.new("RGB", (4, 4)))[None])


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"box": 0}, "box must be at least 1"),
        ({"box": 13}, "at most frame"),
        ({"frame": 5000}, "at most 4096"),
        ({"by": "eye"}, "eye"),
        ({"widen": 0.5}, "widen must be 1 to 4"),
    ],
)
def test_parameters_are_checked(params: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        centred([], **params)
