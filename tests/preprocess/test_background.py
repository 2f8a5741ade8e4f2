"""The fitted ground: light that varies smoothly is followed, ink is not."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.preprocess.background import background


def paper(height: int, width: int) -> np.ndarray:
    """Three channels under a lamp at one corner."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width) - 0.4
    light = 200 - 90 * y - 40 * x - 60 * y * x - 50 * x * x
    return np.stack([light, 0.9 * light, 0.7 * light]).astype(np.float32)


@pytest.mark.parametrize("shape", [(24, 24), (100, 60), (61, 128)])
def test_smooth_light_is_followed_past_ink(shape: tuple[int, int]) -> None:
    expected = paper(*shape)
    picture = expected.copy()
    height, width = shape
    picture[:, height // 4 : height // 2, width // 4 : 3 * width // 4] = 20
    np.testing.assert_allclose(background(picture), expected, atol=1.5)


def test_ink_on_a_part_of_the_rim_does_not_pull_it() -> None:
    expected = paper(90, 90)
    picture = expected.copy()
    picture[:, 30:50] = 10  # a bar from rim to rim
    picture[:, :, 60:70] = 10
    np.testing.assert_allclose(background(picture), expected, atol=3)


def test_small_pictures_have_one_level_a_channel() -> None:
    picture = np.zeros((3, 8, 8), np.float32)
    picture[1] = 9
    picture[:, 2:6, 2:6] = 255
    ground = background(picture)
    assert ground.shape == picture.shape
    np.testing.assert_array_equal(ground.max(axis=(1, 2)), [0, 9, 0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (24, 4000), (24, 25)])
def test_every_shape_has_a_ground(shape: tuple[int, int]) -> None:
    ground = background(np.full((1, *shape), 77, np.float32))
    np.testing.assert_allclose(ground, 77, atol=0.01)


def test_it_stays_within_what_pixels_can_be() -> None:
    rng = np.random.default_rng(0)
    ground = background(rng.choice(np.float32([0, 255]), (1, 64, 64)))
    assert 0 <= ground.min() <= ground.max() <= 255
