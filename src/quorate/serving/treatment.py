"""What of a captured input is kept: columns removed or hashed, images as they came or smaller and without metadata."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.codecs.capture import Column
from quorate.codecs.snapshot import CaptureRoute
from quorate.core.capture import CaptureRule
from quorate.core.record import KeyedHash
from quorate.preprocess.base import Context

_LOSSY = frozenset({"jpeg", "webp"})
_QUALITY = 90


class Treatment:
    """The capture of one endpoint: ``rule`` says of which decisions, :meth:`apply` what of their inputs is kept."""

    def __init__(self, route: CaptureRoute, secret: str) -> None:
        self.rule = CaptureRule(route.sample, route.only, route.confidence_below)
        self._columns = route.columns
        self._side = route.image_side if route.images == "resized" else None
        self._hash = KeyedHash(secret)
        self.removed = tuple(sorted(name for name, how in route.columns.items() if how == "remove"))
        self.hashed = tuple(sorted(name for name, how in route.columns.items() if how == "hash"))

    def apply(self, raw: Mapping[str, Any], *, max_pixels: int) -> dict[str, Column]:
        """The columns to keep of a raw input; :class:`InvalidInput` for an image that cannot be made smaller."""
        kept: dict[str, Column] = {}
        for name, value in raw.items():
            how = self._columns.get(name)
            if how == "hash":
                kept[name] = [self._hash(item) for item in np.asarray(value).ravel().tolist()]
            elif how is None:
                kept[name] = self._image(value, max_pixels) if name == "image" and self._side else value
        return kept

    def _image(
        self, images: Sequence[bytes | NDArray[Any]] | NDArray[Any], max_pixels: int
    ) -> list[bytes | NDArray[Any]]:
        assert self._side is not None  # noqa: S101 - it was asked
        return [smaller(image, self._side, max_pixels=max_pixels, row=row) for row, image in enumerate(images)]


def smaller(image: bytes | NDArray[Any], side: int, *, max_pixels: int, row: int = 0) -> bytes:
    """An image whose longer side has ``side`` pixels at most, upright, encoded anew: nothing but its pixels is left.

    ``image`` is encoded, or uint8 ``[h, w]`` or ``[h, w, 3]``. What was JPEG or WebP becomes JPEG, all else PNG.
    """
    from PIL import Image

    from quorate.preprocess.image import Orient
    from quorate.preprocess.pillow import FORMATS, read, sniff

    lossy = isinstance(image, bytes) and sniff(image) in _LOSSY
    if isinstance(image, bytes):
        context = Context(max_pixels, "image")
        upright = Orient().apply([read(image, FORMATS, row, context)], context)
        picture: Any = upright[0].image
    else:
        pixels = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
        picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((side, side), Image.Resampling.BOX)
    plain = Image.fromarray(np.asarray(picture))  # without comments, profiles and dates of the one it came from
    file = io.BytesIO()
    plain.save(file, format="JPEG", quality=_QUALITY) if lossy else plain.save(file, format="PNG")
    return file.getvalue()
