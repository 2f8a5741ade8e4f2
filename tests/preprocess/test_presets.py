"""The presets do what the libraries document whose networks they are for; the formulas are written out here again."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from quorate.preprocess import Pipeline
from quorate.preprocess.presets import PRESETS, Pictures


def photograph(width: int, height: int) -> Image.Image:
    small = np.random.default_rng(width).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def apply(pictures: Pictures, image: Image.Image) -> np.ndarray:
    out = io.BytesIO()
    image.save(out, "PNG")
    return Pipeline.from_spec(pictures.steps()).apply({"image": [out.getvalue()]}, max_pixels=10_000_000)["input"]


@pytest.mark.parametrize("size", [(640, 427), (333, 500), (256, 256), (120, 96)])
def test_imagenet_is_torchvisions_transform(size: tuple[int, int]) -> None:
    """Resize(256) of the shorter side, CenterCrop(224), ToTensor, Normalize, as torchvision documents them."""
    image = photograph(*size)
    width, height = image.size
    short, long = min(size), max(size)
    longer = int(256 * long / short)
    resized = image.resize((256, longer) if width <= height else (longer, 256), Image.Resampling.BILINEAR)
    left = round((resized.width - 224) / 2.0)
    top = round((resized.height - 224) / 2.0)
    tensor = np.asarray(resized.crop((left, top, left + 224, top + 224)), np.float64) / 255
    expected = (tensor - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = apply(PRESETS["imagenet"], image)
    assert (found.shape, found.dtype) == ((1, 3, 224, 224), np.float32)
    np.testing.assert_allclose(found[0], expected.transpose(2, 0, 1), atol=2e-6)


def test_keras_tf_is_between_minus_one_and_one() -> None:
    image = photograph(320, 240)
    expected = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR), np.float64) / 127.5 - 1
    np.testing.assert_allclose(apply(PRESETS["keras-tf"], image)[0], expected, atol=1e-6)


def test_keras_caffe_is_blue_first_and_less_the_mean() -> None:
    image = photograph(320, 240)
    pixels = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR), np.float64)
    expected = pixels[..., ::-1] - [103.939, 116.779, 123.68]
    np.testing.assert_allclose(apply(PRESETS["keras-caffe"], image)[0], expected, atol=1e-4)


def test_grey_has_one_channel() -> None:
    pictures = Pictures(28, 20, scale=1 / 255, colour="grey")
    assert apply(pictures, photograph(64, 64)).shape == (1, 1, 20, 28)
    assert pictures.channels == 1
