"""The ``centre`` step: the ink of a picture at one size, in the middle of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quorate.errors import InvalidInput
from quorate.preprocess.base import Context, Step
from quorate.preprocess.pixels import Pixels

_INK = 64  # grey levels: what is lighter counts as ink where it is cropped


@dataclass(frozen=True, slots=True)
class CentreParams:
    """``frame`` is the side of the result and ``box`` that of the ink in it, both in pixels; ``by`` what is centred."""

    frame: int
    box: int
    by: Literal["mass", "box"] = "mass"

    def __post_init__(self) -> None:
        if not 1 <= self.box <= self.frame <= 4096:
            raise ValueError("box must be at least 1 and at most frame, frame at most 4096")


class Centre(Step):
    """Crop grey pictures to their ink, bring it to ``box``, keep its aspect, and put it into a black square.

    Ink is light on black, as 'ink' makes it. Shrinking averages areas, and the lightest pixel becomes 255 again, so
    thin strokes do not fade; enlarging is bicubic. The offset is a whole number of pixels, so nothing blurs.
    """

    kind = "centre"
    Params = CentreParams
    takes = frozenset({"pixels"})
    gives = "pixels"

    def apply(self, batch: Pixels, context: Context) -> Pixels:
        params = self.params
        result = np.zeros((len(batch), params.frame, params.frame), np.uint8)
        for row, item in enumerate(batch):
            pixels = item if isinstance(item, np.ndarray) else np.asarray(item.image)
            if pixels.ndim != 2:
                raise InvalidInput(
                    "'centre' takes grey pictures; let the model declare 'grayscale' or 'ink' before it.",
                    path=f"{context.path}[{row}]",
                )
            fitted = _fitted(pixels, params.box)
            if fitted is not None:
                _put(fitted, result[row], params.by)
        return result


def _fitted(pixels: NDArray[np.uint8], box: int) -> NDArray[np.uint8] | None:
    """The ink, its longer side ``box`` pixels long; None where there is none."""
    ink = pixels >= _INK
    if not ink.any():
        return None
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    longer = max(bottom - top, right - left)
    cropped = pixels[top:bottom, left:right]
    if longer == box:
        return cropped
    width, height = (max(1, round(int(length) * box / int(longer))) for length in (right - left, bottom - top))
    filter_ = Image.Resampling.BOX if longer > box else Image.Resampling.BICUBIC
    resized = np.asarray(Image.fromarray(cropped).resize((width, height), filter_), np.uint16)
    return np.asarray((resized * 255 + int(resized.max()) // 2) // max(int(resized.max()), 1), np.uint8)


def _put(ink: NDArray[np.uint8], frame: NDArray[np.uint8], by: str) -> None:
    """Place the ink so that its centre is the frame's, as near as whole pixels allow and as far as there is room."""
    side = len(frame)
    offsets = []
    for axis, length in enumerate(ink.shape):
        middle = length / 2
        if by == "mass":
            weights = ink.sum(axis=1 - axis, dtype=np.int64)
            middle = float(weights @ (np.arange(length) + 0.5)) / float(weights.sum())
        offsets.append(min(max(int(np.floor(side / 2 - middle + 0.5)), 0), side - length))
    top, left = offsets
    frame[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
