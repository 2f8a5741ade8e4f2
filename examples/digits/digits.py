"""scikit-learn's bundled handwritten digits as callers would send them: 8x8 grey pictures, light ink on dark ground.

``python examples/digits/digits.py`` writes the sample pictures again, from the held-out test part.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.training.data import Dataset
from quorate.training.splits import Split, split

SEED = 20
SIDE = 8
CLASSES = tuple("0123456789")

SIGNATURE = Signature(
    "image",
    (TensorSpec("image", "uint8", (None, None, None)),),  # encoded, or pixels of any size
    OutputSpec("scores", classes=CLASSES),
)

PREPROCESS = [
    {"kind": "decode", "version": 1},
    {"kind": "orient", "version": 1},
    {"kind": "grayscale", "version": 1},
    # The data were made by averaging 4x4 blocks of a scan, which is what the box filter does.
    {"kind": "resize", "version": 1, "width": SIDE, "height": SIDE, "resample": "box"},
    {"kind": "normalise", "version": 1, "scale": 1 / 255},
    {"kind": "flatten", "version": 1},
]


def dataset() -> Dataset:
    """All 1797 digits: uint8 pictures ``[n, 8, 8]``, 0 to 255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return Dataset("digits", {"image": pixels}, bunch.target.astype(str))


def parts(data: Dataset) -> Split:
    """70/15/15, stratified, always the same."""
    return split(data, "stratified", seed=SEED)


def held_out() -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """The test part, which nothing was fitted on: pictures uint8 ``[n, 8, 8]`` and labels ``[n]``."""
    data = dataset()
    test = data.take(parts(data).test)
    return np.asarray(test.raw["image"]), test.labels


def write_samples(folder: Path) -> None:
    """One held-out picture of some digits, eight times enlarged: PNG, JPEG, and a JPEG that EXIF has to turn."""
    from PIL import Image

    pixels, labels = held_out()
    folder.mkdir(exist_ok=True)
    for digit, suffix, options in (
        ("0", ".png", {}),
        ("3", ".png", {}),
        ("7", ".png", {}),
        ("5", ".jpg", {"quality": 90}),
        ("4", "-turned.jpg", {"quality": 90, "exif": _turned()}),
    ):
        picture = Image.fromarray(pixels[labels == digit][0]).resize((64, 64), Image.Resampling.NEAREST)
        if "exif" in options:
            picture = picture.transpose(Image.Transpose.ROTATE_90)
        picture.save(folder / f"{digit}{suffix}", **options)


def _turned() -> object:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    return exif


if __name__ == "__main__":
    write_samples(Path(__file__).parent / "samples")
