"""The reference path for photographs, and the stack by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.peers.piped import Piped, reference, softmax
from quorate.core.combine.stack import Stack
from quorate.core.types import State
from quorate.preprocess import Pipeline
from quorate.preprocess.presets import PRESETS


@pytest.mark.parametrize("size", [(400, 300), (300, 401), (224, 224)])
def test_the_reference_agrees_with_the_declared_steps(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).resize(size)
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=90)
    from dataclasses import replace

    steps = replace(PRESETS["imagenet"], resize_to=224).steps()
    declared = Pipeline.from_spec(steps).apply({"image": [encoded.getvalue()]}, max_pixels=10**6)["input"]
    apart = reference(encoded.getvalue())
    assert apart.shape == declared.shape == (1, 3, 224, 224)
    assert np.abs(apart - declared).mean() < 0.02


def test_the_stack_by_hand_is_the_combiners() -> None:
    rng = np.random.default_rng(4)
    members, classes = ("a", "b"), ("x", "y", "z")
    outputs = softmax(rng.normal(size=(6, 3))).reshape(3, 2, 3)
    coefficients, intercepts = rng.normal(size=(1, 6, 3)), rng.normal(size=(1, 3))
    state = State(
        "stack",
        1,
        {"output": "scores", "members": list(members), "classes": list(classes), "clip": 1e-6},
        {"subsets": np.ones((1, 2), bool), "coefficients": coefficients, "intercepts": intercepts},
    )
    wanted = Stack().combine(outputs, np.zeros((3, 2), np.int8), state)
    mine = Piped.__new__(Piped)
    mine._softmax = False
    mine._stack = {"clip": np.float64(1e-6), "coefficients": coefficients[0], "intercepts": intercepts[0]}
    np.testing.assert_allclose(mine.combined([outputs[:, 0], outputs[:, 1]]), wanted, atol=1e-6)
