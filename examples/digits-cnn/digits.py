"""scikit-learn's bundled handwritten digits, and the preprocessing that makes any photograph of a digit one of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.training.data import Dataset
from quorate.training.splits import Split, split

SEED = 20
SIDE = 16  # pixels; enlarged, for networks tell more from strokes that are wider than one pixel
INK = 8  # pixels: the data's own size, so that a photograph becomes as soft as they are
FRAME = 12
CLASSES = tuple("0123456789")

SIGNATURE = Signature(
    "image",
    (TensorSpec("image", "uint8", (None, None, None)),),  # encoded, or pixels of any size
    OutputSpec("scores", classes=CLASSES),
)

PREPROCESS = [
    {"kind": "decode", "version": 1},
    {"kind": "orient", "version": 1},
    # Takes the colours as they are: red ink on green paper may have no contrast once it is grey.
    {"kind": "ink", "version": 1},
    {"kind": "centre", "version": 1, "frame": FRAME, "box": INK, "widen": 2.0},
    {"kind": "resize", "version": 1, "width": SIDE, "height": SIDE, "resample": "bicubic"},
    {"kind": "normalise", "version": 1, "scale": 1 / 255},
    {"kind": "layout", "version": 1, "order": "nchw"},
]


def dataset() -> Dataset:
    """All 1797 digits: uint8 pictures ``[n, 8, 8]``, 0 to 255, light ink on dark ground."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return Dataset("digits", {"image": pixels}, bunch.target.astype(str))


def parts(data: Dataset, seed: int = SEED) -> Split:
    """70/15/15, stratified, always the same for a seed."""
    return split(data, "stratified", seed=seed)


def held_out() -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """The test part, which nothing was fitted on: pictures uint8 ``[n, 8, 8]`` and labels ``[n]``."""
    data = dataset()
    test = data.take(parts(data).test)
    return np.asarray(test.raw["image"]), test.labels
