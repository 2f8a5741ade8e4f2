"""What a model sees of a picture."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quorate.codecs.snapshot import Routing
from quorate.control.preview import MAX_SIDE, seen, steps_of
from quorate.errors import InvalidInput, NotFound, TooLarge
from quorate.preprocess.pipeline import Pipeline

STEPS = [
    {"kind": "decode"},
    {"kind": "orient"},
    {"kind": "grayscale"},
    {"kind": "resize", "width": 8, "height": 6, "resample": "box"},
    {"kind": "normalise", "scale": 1 / 255},
    {"kind": "flatten"},
]


def picture(width: int = 32, height: int = 24) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def test_it_is_what_the_model_gets_before_numbers_are_scaled() -> None:
    shown = np.asarray(Image.open(io.BytesIO(seen(STEPS, picture(), max_pixels=10_000))))
    got = Pipeline.from_spec(STEPS).apply({"image": [picture()]}, max_pixels=10_000)["input"]
    assert shown.shape == (6, 8)
    assert (shown.reshape(-1) / 255).tolist() == pytest.approx(got[0].tolist(), abs=1e-6)


def test_a_large_one_is_shown_smaller() -> None:
    shown = Image.open(io.BytesIO(seen([{"kind": "decode"}, {"kind": "rgb"}], picture(1200, 600), max_pixels=10**6)))
    assert shown.size == (MAX_SIDE, MAX_SIDE // 2)


def test_limits_and_wrong_bytes_are_refused_as_in_a_prediction() -> None:
    with pytest.raises(TooLarge):
        seen(STEPS, picture(), max_pixels=100)
    with pytest.raises(InvalidInput):
        seen(STEPS, b"no picture", max_pixels=100)
    with pytest.raises(InvalidInput, match="decodes no pictures"):
        seen([], picture(), max_pixels=10_000)


def test_models_that_take_no_pictures_and_models_that_are_not_there(project: Any) -> None:
    with pytest.raises(InvalidInput, match="takes no pictures"):
        steps_of("a", Routing(version=0), project.registry)
    with pytest.raises(NotFound):
        steps_of("nobody", Routing(version=0), project.registry)
