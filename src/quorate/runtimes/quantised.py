"""Integers that stand for numbers on an even scale, as quantised TFLite models take and answer them.

``real = scale * (integer - zero)``; https://ai.google.dev/edge/litert/models/quantization_spec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import FloatArray


@dataclass(frozen=True, slots=True)
class Scale:
    """One scale for a whole tensor: ``step`` per integer (above 0), ``zero`` the integer that stands for 0."""

    dtype: np.dtype[Any]
    step: float
    zero: int

    def __str__(self) -> str:
        return f"{self.dtype} (scale {self.step:g}, zero point {self.zero})"

    @property
    def ends(self) -> tuple[int, int]:
        """The lowest and the highest integer of the type."""
        info = np.iinfo(self.dtype)
        return int(info.min), int(info.max)

    def integers(self, real: NDArray[Any]) -> NDArray[Any]:
        """The nearest integers, ties to even; what is beyond the type's range becomes its end, NaN the lowest."""
        lowest, highest = self.ends
        values = real * np.float32(1.0 / self.step)
        np.rint(values, out=values)
        values += np.float32(self.zero)
        np.fmax(values, np.float32(lowest), out=values)
        np.fmin(values, np.float32(highest), out=values)
        return values.astype(self.dtype)

    def real(self, integers: NDArray[Any]) -> FloatArray:
        """The numbers that integers stand for, float32."""
        found: FloatArray = (integers.astype(np.float32) - np.float32(self.zero)) * np.float32(self.step)
        return found

    def pixels(self) -> tuple[float, float] | None:
        """``scale`` and ``mean`` that take a pixel (0 to 255) to the number whose integer is that pixel.

        For int8 the integer is the pixel less 128. None where the type has no room for 256 pixels.
        """
        if self.dtype not in (np.dtype(np.uint8), np.dtype(np.int8)):
            return None
        return self.step, self.step * (self.zero - self.ends[0])

    def shares(self, values: FloatArray) -> FloatArray:
        """Probabilities ``[n, k]`` that were rounded to the scale, made to sum to 1 again.

        Only a scale from 0 to 1 has probabilities on it, and only rows whose sum is off by no more than rounding may
        be (one step a class) are touched: the rest are something else, and whoever checks them must see it. A row that
        was rounded to nothing but zeros said that no class stands out, and becomes that.
        """
        lowest, highest = (self.step * (end - self.zero) for end in self.ends)
        if lowest != 0.0 or highest > 1.0 + self.step:
            return values
        width = values.shape[1]
        sums = values.sum(axis=1, keepdims=True)
        rounded = np.abs(sums - 1.0) <= width * self.step
        with np.errstate(invalid="ignore", divide="ignore"):
            even = np.where(sums > 0.0, values / sums, np.float32(1.0 / width))
        found: FloatArray = np.where(rounded, even, values)
        return found
