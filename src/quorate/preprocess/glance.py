"""What can be seen of a picture at a glance: its size, and how bright, rich in contrast and sharp it is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quorate.preprocess import pillow

SIDE = 1024
"""Pixels of the longer side at most at which a picture is measured; larger ones are made smaller first."""


class Glance(NamedTuple):
    """Grey levels as shares of white: their mean, their standard deviation, and that of their Laplacian.

    A blurred picture has a Laplacian near 0 everywhere. (J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy: a comparative study", ICPR 2000, whose measure is the variance.) Pictures below 3 pixels have none.
    """

    brightness: float
    contrast: float
    sharpness: float | None


def size(picture: Any) -> tuple[int, int] | None:
    """Width and height of an encoded picture, by its header, or of pixels ``[h, w]`` or ``[h, w, c]``."""
    if isinstance(picture, bytes):
        return pillow.size(picture)
    return (picture.shape[1], picture.shape[0]) if isinstance(picture, np.ndarray) and picture.ndim in (2, 3) else None


def glance(picture: Any, *, max_pixels: int) -> Glance | None:
    """Measure an encoded picture or uint8 pixels; None where it is no picture, or larger than ``max_pixels``."""
    if isinstance(picture, bytes):
        image = pillow.grey(picture, SIDE, max_pixels)
    elif isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.size:
        flat = picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
        image = Image.fromarray(flat).convert("L") if flat.ndim == 2 or flat.shape[2] == 3 else None
    else:
        image = None
    if image is None:
        return None
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return measured(np.asarray(image))


def measured(grey: NDArray[np.uint8]) -> Glance:
    """Measure grey levels ``[h, w]``.

    >>> measured(np.full((8, 8), 255, np.uint8))
    Glance(brightness=1.0, contrast=0.0, sharpness=0.0)
    """
    levels = grey.astype(np.float32) / 255
    sharpness = None
    if min(levels.shape) >= 3:
        inner = levels[1:-1, 1:-1]
        laplacian = levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:] - 4 * inner
        sharpness = float(laplacian.std())
    return Glance(float(levels.mean()), float(levels.std()), sharpness)
