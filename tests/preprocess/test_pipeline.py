"""Pipelines: declared, checked before use, and the same bits whichever way the pixels come."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from quorate.errors import ConfigError, InvalidInput
from quorate.preprocess import Pipeline

DIGITS = [
    {"kind": "decode"},
    {"kind": "orient"},
    {"kind": "grayscale"},
    {"kind": "resize", "width": 8, "height": 8, "resample": "box"},
    {"kind": "normalise", "scale": 1 / 255},
    {"kind": "flatten"},
]


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_arrays_and_lossless_files_give_the_same_bits_on_every_path() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 31, 17, 3), dtype=np.uint8)
    pipeline = Pipeline.from_spec(DIGITS)
    whole = pipeline.apply({"image": pixels}, max_pixels=10_000)["input"]
    assert whole.shape == (5, 64)
    assert whole.dtype == np.float32
    assert 0.0 <= whole.min() < whole.max() <= 1.0
    for raw in ([png(row) for row in pixels], list(pixels), [png(pixels[0]), *pixels[1:]]):
        np.testing.assert_array_equal(pipeline.apply({"image": raw}, max_pixels=10_000)["input"], whole)
    one_by_one = [pipeline.apply({"image": pixels[i : i + 1]}, max_pixels=10_000)["input"] for i in range(5)]
    np.testing.assert_array_equal(np.concatenate(one_by_one), whole)


def test_images_of_different_sizes_share_a_batch_where_resize_is_declared() -> None:
    small, large = np.full((8, 8), 51, np.uint8), np.full((40, 30, 3), 51, np.uint8)
    result = Pipeline.from_spec(DIGITS).apply({"image": [png(large), small, png(small)]}, max_pixels=10_000)["input"]
    np.testing.assert_allclose(result, 0.2, atol=1e-6)


def test_images_of_different_sizes_are_refused_without_resize() -> None:
    images = [png(np.zeros((8, 8), np.uint8)), png(np.zeros((8, 9), np.uint8))]
    with pytest.raises(InvalidInput, match="9x8 grey") as caught:
        Pipeline.from_spec([{"kind": "decode"}]).apply({"image": images}, max_pixels=1000)
    assert caught.value.path == "instances[1]"


def test_image_pipelines_end_in_float32_whatever_the_last_step() -> None:
    images = [png(np.full((2, 2), 7, np.uint8))]
    result = Pipeline.from_spec([{"kind": "decode"}]).apply({"image": images}, max_pixels=1000)
    assert list(result) == ["input"]
    assert result["input"].dtype == np.float32
    np.testing.assert_array_equal(result["input"], np.full((1, 2, 2), 7))


def test_an_empty_pipeline_is_the_identity() -> None:
    raw = {"a": np.array([1, 2]), "b": np.array(["x", "y"])}
    result = Pipeline.from_spec([]).apply(raw, max_pixels=1)
    assert result == raw
    assert Pipeline.from_spec([]).input_kind is None


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (DIGITS, "image"),
        ([{"kind": "flatten"}], "array"),
        ([{"kind": "normalise"}], "array"),
        ([{"kind": "matrix", "columns": ["a"]}], "columns"),
    ],
)
def test_the_first_step_says_which_raw_input_is_taken(spec: list[dict[str, object]], kind: str) -> None:
    assert Pipeline.from_spec(spec).input_kind == kind


def test_the_spec_is_normalised_and_round_trips() -> None:
    spec = Pipeline.from_spec(DIGITS).to_spec()
    assert spec[3] == {"kind": "resize", "version": 1, "width": 8, "height": 8, "resample": "box"}
    assert spec[4] == {"kind": "normalise", "version": 1, "scale": 1 / 255, "mean": 0.0, "std": 1.0}
    again = Pipeline.from_spec(spec)
    assert again.to_spec() == spec
    assert again.digest == Pipeline.from_spec(DIGITS).digest
    assert again.digest != Pipeline.from_spec(DIGITS[:-1]).digest


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ([{"kind": "decode"}, {"kind": "resise"}], "preprocess[1].kind", "step 1: there is no step 'resise'"),
        ([{"version": 1}], "preprocess[0]", "needs a 'kind'"),
        ([{"kind": "decode"}, {"kind": "orient", "angle": 3}], "preprocess[1].angle", "no parameter 'angle'"),
        ([{"kind": "decode", "version": 2}], "preprocess[0].version", "version 2 is not one"),
        ([{"kind": "decode", "formats": ["svg"]}], "preprocess[0]", "jpeg, png, webp"),
        ([{"kind": "decode"}, {"kind": "resize", "width": 8}], "preprocess[1]", "height"),
        ([{"kind": "decode"}, {"kind": "resize", "width": "8", "height": 8}], "preprocess[1]", "width"),
        ([{"kind": "decode"}, {"kind": "resize", "width": 0, "height": 8}], "preprocess[1]", "at least 1"),
        (
            [{"kind": "decode"}, {"kind": "resize", "width": 8, "height": 8, "resample": "best"}],
            "preprocess[1]",
            "best",
        ),
        ([{"kind": "normalise", "std": 0}], "preprocess[0]", "std must not be 0"),
        ([{"kind": "normalise", "mean": [1, 2], "std": [1, 2, 3]}], "preprocess[0]", "one number per channel"),
        ([{"kind": "normalise", "scale": float("nan")}], "preprocess[0]", "finite"),
        ([{"kind": "matrix", "columns": ["a", "a"]}], "preprocess[0]", "each once"),
        ([{"kind": "grayscale"}], "preprocess[0]", "start with 'decode'"),
        ([{"kind": "flatten"}, {"kind": "decode"}], "preprocess[1]", "cannot follow 'flatten'"),
        (
            [{"kind": "decode"}, {"kind": "layout", "order": "nchw"}, {"kind": "normalise"}],
            "preprocess[2]",
            "cannot follow",
        ),
    ],
)
def test_a_wrong_spec_names_the_step(spec: list[dict[str, object]], path: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Pipeline.from_spec(spec)
    assert caught.value.path == path
    assert words in caught.value.message


def test_a_worker_needs_numpy_and_pillow_only_and_tabular_models_no_pillow() -> None:
    code = (
        "import sys; from quorate.preprocess import Pipeline; p = Pipeline.from_spec({spec});"
        "print([m for m in ('PIL', 'scipy', 'sklearn', 'onnx', 'pydantic', 'sqlalchemy') if m in sys.modules])"
    )
    for spec, expected in (([{"kind": "matrix", "columns": ["a"]}], "[]"), ([{"kind": "decode"}], "['PIL']")):
        done = subprocess.run(
            [sys.executable, "-c", code.format(spec=spec)], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout.strip() == expected
