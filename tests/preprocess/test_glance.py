import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from quorate.preprocess.glance import SIDE, glance, measured, size

CHESS = (np.indices((64, 64)).sum(axis=0) // 8 % 2 * 255).astype(np.uint8)


def encoded(array, form="PNG"):
    written = io.BytesIO()
    Image.fromarray(array).save(written, form)
    return written.getvalue()


def test_brightness_contrast_and_sharpness_of_a_chessboard():
    found = measured(CHESS)
    assert (found.brightness, found.contrast) == (pytest.approx(0.5), pytest.approx(0.5))
    one = np.zeros((5, 5), np.uint8)
    one[2, 2] = 255  # its Laplacian within the border is -4 once, 1 four times, 0 four times
    assert measured(one).sharpness == pytest.approx(np.std([-4, 1, 1, 1, 1, 0, 0, 0, 0]))


def test_a_blurred_picture_is_less_sharp_and_has_less_contrast():
    blurred = np.asarray(Image.fromarray(CHESS).filter(ImageFilter.GaussianBlur(3)))
    assert measured(blurred).sharpness < measured(CHESS).sharpness / 5
    assert measured(blurred).contrast < measured(CHESS).contrast


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP"])
def test_files_and_pixels_say_the_same(form):
    colours = np.repeat(CHESS[..., None], 3, axis=2)
    by_file, by_pixels = glance(encoded(colours, form), max_pixels=10**6), glance(colours, max_pixels=10**6)
    assert np.allclose(by_file, by_pixels, atol=0.05)
    assert size(encoded(colours, form)) == size(colours) == (64, 64)
    assert size(np.zeros((3, 5), np.uint8)) == (5, 3)


def test_large_pictures_are_made_smaller_first():
    large = np.zeros((2 * SIDE, 3 * SIDE), np.uint8)
    large[:, : 3 * SIDE // 2] = 255
    for picture in (large, encoded(large), encoded(large, "JPEG")):
        assert glance(picture, max_pixels=10**8).brightness == pytest.approx(0.5, abs=0.01)
    assert glance(encoded(large), max_pixels=1000) is None


@pytest.mark.parametrize("picture", [b"", b"no picture", encoded(CHESS)[:60], None, np.zeros((2, 2, 5), np.uint8)])
def test_what_is_no_picture_has_nothing_to_see(picture):
    assert glance(picture, max_pixels=10**6) is None


def test_tiny_pictures_have_no_sharpness():
    assert glance(np.zeros((2, 9), np.uint8), max_pixels=100).sharpness is None
