"""The batch that flows between image steps; imports no Pillow, so tabular models never pay for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.errors import InvalidInput
from quorate.preprocess.base import Context

if TYPE_CHECKING:
    from PIL.Image import Image


class Picture(NamedTuple):
    """One decoded image, 8 bits a channel, mode ``L`` or ``RGB``; ``orientation`` is its EXIF value, 1 upright."""

    image: Image
    orientation: int = 1


Pixels = NDArray[np.uint8] | list[Picture]
"""Images of one size, ``[n, h, w]`` (grey) or ``[n, h, w, 3]``, upright; or pictures of any sizes."""


def stacked(pixels: Pixels, context: Context) -> NDArray[np.uint8]:
    """One array ``[n, h, w]`` or ``[n, h, w, 3]``; :class:`InvalidInput` where the images' sizes or modes differ."""
    if isinstance(pixels, np.ndarray):
        return pixels
    first = pixels[0].image
    for row, (image, _) in enumerate(pixels):
        if image.size != first.size or image.mode != first.mode:
            raise InvalidInput(
                f"Images of one request must have one size here; expected {describe(first)} as in the first, got "
                f"{describe(image)}. Send them one by one, or let the model declare 'resize' and 'grayscale' or 'rgb'.",
                path=f"{context.path}[{row}]",
            )
    return np.stack([np.asarray(image) for image, _ in pixels])


def describe(image: Image) -> str:
    """Size and mode in words."""
    return f"{image.width}x{image.height} {'grey' if image.mode == 'L' else image.mode}"
