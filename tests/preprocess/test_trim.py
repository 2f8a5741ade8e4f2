"""Straight borders are cut off; ruled lines, shadows and strokes near the rim are not."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.preprocess.trim import trim

SIDE = 100


def paper(level: float = 200) -> np.ndarray:
    return np.full((1, SIDE, SIDE), level, np.float32)


@pytest.mark.parametrize("level", [20, 255])
@pytest.mark.parametrize("sides", ["tblr", "t", "br", "lr"])
def test_borders_are_cut_off(level: float, sides: str) -> None:
    picture = paper()
    picture[:, 48, 48] = 0
    for side, where in {
        "t": np.s_[:, :5],
        "b": np.s_[:, -7:],
        "l": np.s_[:, :, :3],
        "r": np.s_[:, :, -6:],
    }.items():
        if side in sides:
            picture[where] = level
    inner, (top, left) = trim(picture)
    assert set(np.unique(inner)) == {0, 200}
    assert inner[0, 48 - top, 48 - left] == 0, "where it lies is told"
    assert min(inner.shape[1:]) > 80


def test_colour_alone_makes_a_border() -> None:
    picture = np.full((3, SIDE, SIDE), 128, np.float32)
    picture[0, :6], picture[1, :6] = 180, 90
    inner, _ = trim(picture)
    assert len(np.unique(inner)) == 1


def test_a_ruled_line_is_no_border() -> None:
    picture = paper()
    picture[:, 4::9] = 120
    assert trim(picture)[0].shape == picture.shape


def test_a_soft_shadow_is_no_border() -> None:
    picture = paper() * np.linspace(0.3, 1, SIDE, dtype=np.float32)
    assert trim(picture)[0].shape == picture.shape


def test_a_stroke_along_half_a_side_is_no_border() -> None:
    picture = paper()
    picture[:, 3:8, 20:80] = 0
    assert trim(picture)[0].shape == picture.shape


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (23, 400)])
def test_small_pictures_stay(shape: tuple[int, int]) -> None:
    picture = np.zeros((1, *shape), np.float32)
    picture[:, 0] = 255
    assert trim(picture)[0] is picture
