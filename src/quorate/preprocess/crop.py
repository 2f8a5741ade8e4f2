"""The two steps before most networks for photographs: the shorter side to a length, then the middle of the picture.

Together they are torchvision's evaluation transform ``Resize(n)``, ``CenterCrop(size)`` on Pillow images, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from quorate.errors import InvalidInput, TooLarge
from quorate.preprocess.base import Context, Step
from quorate.preprocess.image import Resample
from quorate.preprocess.pixels import Picture, Pixels

_LONGEST = 10_000


@dataclass(frozen=True, slots=True)
class ShorterSideParams:
    """``size`` of the shorter side in pixels; ``resample`` is Pillow's filter of that name."""

    size: int
    resample: Resample = "bilinear"

    def __post_init__(self) -> None:
        if not 1 <= self.size <= _LONGEST:
            raise ValueError(f"size must be in 1..{_LONGEST}")


class ShorterSide(Step):
    """The shorter side to ``size``, the longer to ``size * longer // shorter``, so the aspect is kept.

    Antialiased when shrinking (all filters but nearest); a picture that has the size already is left alone. The pixel
    limit holds for the result too: a line of one pixel's height would become huge.
    """

    kind = "shorter-side"
    Params = ShorterSideParams
    takes = frozenset({"pixels"})
    gives = "pixels"

    def __init__(self, params: Any = None, version: int | None = None) -> None:
        super().__init__(params, version)
        self._filter = Image.Resampling[self.params.resample.upper()]

    def apply(self, batch: Pixels, context: Context) -> Pixels:
        if not isinstance(batch, np.ndarray):
            return [
                Picture(self._resized(image, row, context), orientation)
                for row, (image, orientation) in enumerate(batch)
            ]
        resized = [np.asarray(self._resized(Image.fromarray(pixels), row, context)) for row, pixels in enumerate(batch)]
        return np.stack(resized)

    def _resized(self, image: Image.Image, row: int, context: Context) -> Image.Image:
        size, shorter = self.params.size, min(image.size)
        width, height = (size * side // shorter for side in image.size)
        if width * height > context.max_pixels:
            raise TooLarge(
                f"The image has {image.width}x{image.height} pixels; with the shorter side {size} it would have "
                f"{width}x{height}, at most {context.max_pixels} are allowed. Send a less narrow one.",
                path=f"{context.path}[{row}]",
            )
        return image if image.size == (width, height) else image.resize((width, height), self._filter)


@dataclass(frozen=True, slots=True)
class CentreCropParams:
    """``width`` and ``height`` in pixels."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if not (1 <= self.width <= _LONGEST and 1 <= self.height <= _LONGEST):
            raise ValueError(f"width and height must be in 1..{_LONGEST}")


class CentreCrop(Step):
    """The ``width`` x ``height`` pixels in the middle; where the margin is odd, half a pixel is rounded to even."""

    kind = "centre-crop"
    Params = CentreCropParams
    takes = frozenset({"pixels"})
    gives = "pixels"

    def apply(self, batch: Pixels, context: Context) -> Pixels:
        if not isinstance(batch, np.ndarray):
            return [
                Picture(image.crop(self._box(image.width, image.height, row, context)), orientation)
                for row, (image, orientation) in enumerate(batch)
            ]
        left, top, right, bottom = self._box(batch.shape[2], batch.shape[1], 0, context)
        return np.ascontiguousarray(batch[:, top:bottom, left:right])

    def _box(self, width: int, height: int, row: int, context: Context) -> tuple[int, int, int, int]:
        wanted = self.params
        if width < wanted.width or height < wanted.height:
            raise InvalidInput(
                f"The image is {width}x{height} here, too small to cut {wanted.width}x{wanted.height} out of it; send "
                "a larger one, or let the model declare 'shorter-side' before 'centre-crop'.",
                path=f"{context.path}[{row}]",
            )
        left, top = round((width - wanted.width) / 2), round((height - wanted.height) / 2)
        return left, top, left + wanted.width, top + wanted.height
