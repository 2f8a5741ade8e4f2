"""Blue before red, as networks of Caffe's descent and pictures read with OpenCV have it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.errors import InvalidInput
from quorate.preprocess.base import Context, Step
from quorate.preprocess.pixels import Pixels, stacked


class Bgr(Step):
    """``[n, h, w, 3]`` with the channels turned round; what follows ('normalise') counts them in the new order."""

    kind = "bgr"
    takes = frozenset({"pixels"})
    gives = "array"

    def apply(self, batch: Pixels, context: Context) -> NDArray[Any]:
        pixels = stacked(batch, context)
        if pixels.ndim != 4:
            raise InvalidInput(
                f"'bgr' expects images [n, h, w, 3]; got shape {list(pixels.shape)}; declare 'rgb' before it.",
                path=context.path,
            )
        return np.ascontiguousarray(pixels[..., ::-1])
