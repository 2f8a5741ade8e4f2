"""Image steps: decode, orient, grayscale, rgb, resize, layout. Pillow and numpy; arrays and files take one path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quorate.errors import InvalidInput, TooLarge
from quorate.preprocess import pillow
from quorate.preprocess.base import Context, Step
from quorate.preprocess.pixels import Picture, Pixels, stacked


@dataclass(frozen=True, slots=True)
class DecodeParams:
    """``formats``: which of jpeg, png, webp, bmp, gif and tiff are let in; judged by content, not by name."""

    formats: tuple[str, ...] = pillow.FORMATS

    def __post_init__(self) -> None:
        if not self.formats or not set(self.formats) <= set(pillow.FORMATS):
            raise ValueError(f"formats must be some of {', '.join(pillow.FORMATS)}")


class Decode(Step):
    """Encoded bytes to 8-bit grey or RGB; uint8 arrays pass through. The pixel limit is judged before decoding."""

    kind = "decode"
    Params = DecodeParams
    takes = frozenset({"encoded"})
    gives = "pixels"

    def apply(self, batch: NDArray[Any] | Sequence[bytes | NDArray[Any]], context: Context) -> Pixels:
        if isinstance(batch, np.ndarray) and batch.dtype != object:
            return _pixels(batch, context)
        rows = list(batch)
        if not rows:
            raise InvalidInput("There are no images; expected at least one.", path=context.path)
        shapes = {row.shape if isinstance(row, np.ndarray) else None for row in rows}
        if len(shapes) == 1 and None not in shapes:
            return _pixels(rows[0][None] if len(rows) == 1 else np.stack(rows), context)
        return [self._picture(row, index, context) for index, row in enumerate(rows)]

    def _picture(self, value: Any, row: int, context: Context) -> Picture:
        if isinstance(value, bytes | bytearray | memoryview):
            return pillow.read(bytes(value), self.params.formats, row, context)
        if isinstance(value, np.ndarray):
            return Picture(Image.fromarray(_pixels(value[None], context, row)[0]))
        raise InvalidInput(
            f"Expected an encoded image or an array of pixels, got {type(value).__name__}.",
            path=f"{context.path}[{row}]",
        )


def _pixels(array: NDArray[Any], context: Context, row: int = 0) -> NDArray[np.uint8]:
    """Check raw pixels ``[n, h, w]`` or ``[n, h, w, 1 or 3]``; a channel axis of one is dropped."""
    shape = array.shape
    path = f"{context.path}[{row}]"
    if array.dtype != np.uint8:
        raise InvalidInput(f"Pixels must be uint8 (0 to 255); got {array.dtype}.", path=path)
    if len(shape) not in (3, 4) or 0 in shape[1:] or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise InvalidInput(
            f"An array of pixels must be [h, w], [h, w, 1] or [h, w, 3]; got {list(shape[1:])}.", path=path
        )
    if shape[1] * shape[2] > context.max_pixels:
        raise TooLarge(
            f"The image has {shape[2]}x{shape[1]} = {shape[1] * shape[2]} pixels; at most {context.max_pixels} are "
            "allowed. Send a smaller one.",
            path=path,
        )
    return array[..., 0] if len(shape) == 4 and shape[3] == 1 else array


_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Orient(Step):
    """Turn and flip upright as the EXIF orientation says; arrays have none, TIFF files come upright from 'decode'."""

    kind = "orient"
    takes = frozenset({"pixels"})
    gives = "pixels"

    def apply(self, batch: Pixels, context: Context) -> Pixels:
        if isinstance(batch, np.ndarray):
            return batch
        return [
            Picture(image.transpose(_TRANSPOSE[orientation])) if orientation in _TRANSPOSE else Picture(image)
            for image, orientation in batch
        ]


class Grayscale(Step):
    """ITU-R BT.601 luma, ``(19595 R + 38470 G + 7471 B + 32768) >> 16``: 0.299 R + 0.587 G + 0.114 B, rounded."""

    kind = "grayscale"
    takes = frozenset({"pixels"})
    gives = "pixels"

    def apply(self, batch: Pixels, context: Context) -> Pixels:
        if not isinstance(batch, np.ndarray):
            return [p if p.image.mode == "L" else Picture(p.image.convert("L"), p.orientation) for p in batch]
        if batch.ndim == 3:
            return batch
        wide = batch.astype(np.uint32)
        luma = 19595 * wide[..., 0] + 38470 * wide[..., 1] + 7471 * wide[..., 2] + 32768
        return (luma >> 16).astype(np.uint8)


class Rgb(Step):
    """Three channels; grey is repeated."""

    kind = "rgb"
    takes = frozenset({"pixels"})
    gives = "pixels"

    def apply(self, batch: Pixels, context: Context) -> Pixels:
        if not isinstance(batch, np.ndarray):
            return [p if p.image.mode == "RGB" else Picture(p.image.convert("RGB"), p.orientation) for p in batch]
        return batch if batch.ndim == 4 else np.repeat(batch[..., None], 3, axis=3)


Resample = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


@dataclass(frozen=True, slots=True)
class ResizeParams:
    """``width`` and ``height`` in pixels (the aspect is not kept); ``resample`` is Pillow's filter of that name."""

    width: int
    height: int
    resample: Resample = "bilinear"

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1 or self.width * self.height > 100_000_000:
            raise ValueError("width and height must be at least 1 and at most 100,000,000 pixels together")


class Resize(Step):
    """To ``width`` x ``height``, antialiased when shrinking (all filters but nearest); that size already: untouched."""

    kind = "resize"
    Params = ResizeParams
    takes = frozenset({"pixels"})
    gives = "pixels"

    def __init__(self, params: Any = None, version: int | None = None) -> None:
        super().__init__(params, version)
        self._size = (self.params.width, self.params.height)
        self._filter = Image.Resampling[self.params.resample.upper()]

    def apply(self, batch: Pixels, context: Context) -> Pixels:
        if not isinstance(batch, np.ndarray):
            return [
                p if p.image.size == self._size else Picture(p.image.resize(self._size, self._filter), p.orientation)
                for p in batch
            ]
        width, height = self._size
        if batch.shape[1:3] == (height, width):
            return batch
        result = np.empty((len(batch), height, width, *batch.shape[3:]), np.uint8)
        for row, pixels in enumerate(batch):
            result[row] = np.asarray(Image.fromarray(pixels).resize(self._size, self._filter))
        return result


@dataclass(frozen=True, slots=True)
class LayoutParams:
    """``order`` of the axes that the model expects."""

    order: Literal["nchw", "nhwc"]


class Layout(Step):
    """Images to ``[n, c, h, w]`` or ``[n, h, w, c]``; grey gets a channel axis of one. Comes after 'normalise'."""

    kind = "layout"
    Params = LayoutParams
    takes = frozenset({"pixels", "array"})
    gives = "tensor"

    def apply(self, batch: Any, context: Context) -> NDArray[Any]:
        array = stacked(batch, context)
        if array.ndim not in (3, 4):
            raise InvalidInput(
                f"'layout' expects images [n, h, w] or [n, h, w, c]; got shape {list(array.shape)}.", path=context.path
            )
        if array.ndim == 3:
            array = array[..., None]
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if self.params.order == "nchw" else array
