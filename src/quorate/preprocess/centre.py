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
_USUAL = 0.6  # width / height
_STROKE = 0.2
_SURELY_NONE = 0.3


@dataclass(frozen=True, slots=True)
class CentreParams:
    """``frame`` is the side of the result and ``box`` that of the ink in it, both in pixels; ``by`` what is centred.

    ``widen``, 1 to 4: ink narrower than 0.6 of its height is widened up to that, by this factor at most. Data sets of
    digits were brought to one width so, and a narrow typeface is not what a model learned. A bare stroke (narrower than
    0.2) is left alone; between 0.2 and 0.3 the factor grows to the full one.
    """

    frame: int
    box: int
    by: Literal["mass", "box"] = "mass"
    widen: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.box <= self.frame <= 4096:
            raise ValueError("box must be at least 1 and at most frame, frame at most 4096")
        if not 1 <= self.widen <= 4:
            raise ValueError("widen must be 1 to 4")


class Centre(Step):
    """Crop grey pictures to their ink, bring its longer side to ``box``, and put it into a black square.

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
            fitted = _fitted(pixels, params.box, params.widen)
            if fitted is not None:
                _put(fitted, result[row], params.by)
        return result


def _fitted(pixels: NDArray[np.uint8], box: int, widen: float) -> NDArray[np.uint8] | None:
    """The ink, its longer side ``box`` pixels long; None where there is none."""
    ink = pixels >= _INK
    if not ink.any():
        return None
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    cropped = pixels[top:bottom, left:right]
    height, width = cropped.shape
    wide = width * _widened(width / height, widen)
    longer = max(height, wide)
    size = max(1, round(wide * box / longer)), max(1, round(height * box / longer))
    if size == (width, height):
        return cropped
    filter_ = Image.Resampling.BOX if longer > box else Image.Resampling.BICUBIC
    resized = np.asarray(Image.fromarray(cropped).resize(size, filter_), np.uint16)
    return np.asarray((resized * 255 + int(resized.max()) // 2) // max(int(resized.max()), 1), np.uint8)


def _widened(aspect: float, most: float) -> float:
    """How much wider ink of this aspect (width / height) becomes; a bare stroke is left as it is."""
    if aspect >= _USUAL:
        return 1.0
    full = min(most, _USUAL / aspect)
    return 1 + (full - 1) * min(max((aspect - _STROKE) / (_SURELY_NONE - _STROKE), 0), 1)


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
