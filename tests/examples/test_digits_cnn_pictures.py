"""What the networks see: the data as they are, and the same digits however somebody photographs them."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageFilter

from quorate.preprocess import Pipeline

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def digits() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_cnn_digits", EXAMPLES / "digits-cnn" / "digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pipeline(digits: ModuleType) -> Pipeline:
    return Pipeline.from_spec(digits.PREPROCESS)


def seen(pipeline: Pipeline, images: object) -> np.ndarray:
    return pipeline.apply({"image": images}, max_pixels=50_000_000)["input"]


def test_the_declared_spec_is_complete(digits: ModuleType, pipeline: Pipeline) -> None:
    assert all("version" in step for step in digits.PREPROCESS)
    again = Pipeline.from_spec(pipeline.to_spec())
    assert again.digest == pipeline.digest


def test_the_data_keep_their_pixels(digits: ModuleType, pipeline: Pipeline) -> None:
    """Before they are enlarged, all but the few that are widened are the data's own pixels, moved."""
    pixels = digits.dataset().raw["image"]
    steps = digits.PREPROCESS[: [step["kind"] for step in digits.PREPROCESS].index("resize")]
    found = seen(Pipeline.from_spec(steps), pixels).astype(int)
    masses = pixels.reshape(len(pixels), -1).astype(int)
    same = [
        np.array_equal(np.sort(a)[-64:], np.sort(b)) for a, b in zip(found.reshape(len(found), -1), masses, strict=True)
    ]
    assert np.mean(same) > 0.5
    lost = 1 - found.sum(axis=(1, 2)) / masses.sum(axis=1)
    assert np.abs(np.median(lost)) < 0.01
    assert np.percentile(np.abs(lost), 95) < 0.3
    shape = seen(pipeline, pixels[:3]).shape
    assert shape == (3, 1, digits.SIDE, digits.SIDE)


def test_a_photograph_of_a_digit_is_that_digit(digits: ModuleType, pipeline: Pipeline) -> None:
    """Enlarged, dark on light, off-centre, coloured, as JPEG: nearer to itself than to the others of forty."""
    pixels, _ = digits.held_out()
    originals = seen(pipeline, pixels[:40])
    nearest, distances = [], []
    for number in range(40):
        big = Image.fromarray(pixels[number]).resize((240, 240), Image.Resampling.BICUBIC)
        cover = np.zeros((600, 800, 1))
        cover[150:390, 430:670, 0] = np.asarray(big.filter(ImageFilter.GaussianBlur(4))) / 255
        photograph = np.array([225, 215, 190]) * (1 - cover) + np.array([40, 30, 110]) * cover
        out = io.BytesIO()
        Image.fromarray(photograph.astype(np.uint8)).save(out, "JPEG", quality=80)
        found = seen(pipeline, [out.getvalue()])
        # a centre half-way between two pixels may go to either: two pixels here, for it was enlarged
        shifts = [np.roll(found, (down, across), (2, 3)) for down in (-1, 0, 1) for across in (-1, 0, 1)]
        away = np.min([np.abs(originals - shifted).mean(axis=(1, 2, 3)) for shifted in shifts], axis=0)
        nearest.append(int(away.argmin()))
        distances.append(away[number])
    assert np.mean(np.array(nearest) == np.arange(40)) >= 0.9
    assert np.median(distances) < 0.04


def test_the_samples_of_the_other_example_are_read_alike(digits: ModuleType, pipeline: Pipeline) -> None:
    pixels, labels = digits.held_out()
    originals = seen(pipeline, pixels)
    for path in sorted((EXAMPLES / "digits" / "samples").iterdir()):
        expected = originals[np.flatnonzero(labels == path.name[0])[0]]
        found = seen(pipeline, [path.read_bytes()])[0]
        shifts = [np.roll(found, (down, across), (1, 2)) for down in (-1, 0, 1) for across in (-1, 0, 1)]
        assert min(np.abs(shifted - expected).mean() for shifted in shifts) < 0.05, path.name
