"""How far a row of numbers is from some that are known to be usual.

    z_j = (x_j - median_j) / s_j,  s_j = 1.4826 MAD_j, or the standard deviation where more than half are equal
    d(x) = sqrt(mean_j z_j^2)

That is a Mahalanobis distance with a robust, diagonal covariance, divided by the square root of the number of
columns; of normal data it is about 1 whatever the number of columns. Columns in which all known rows agree say
nothing. (P. J. Rousseeuw, C. Croux, "Alternatives to the Median Absolute Deviation", JASA 88, 1993, for the factor.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_ROWS = 8
"""Fewer known rows say nothing."""

_CONSISTENT = 1.4826


@dataclass(frozen=True)
class Reference:
    """Centre and scale of every column, float64 ``[d]``; a scale of NaN leaves a column out."""

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[np.float64]) -> Reference | None:
        """From known rows ``[n, d]``; NaN is missing. None where they are too few, or equal in every column."""
        if rows.ndim != 2 or len(rows) < LEAST_ROWS or not rows.shape[1]:
            return None
        centre, scale = np.full(rows.shape[1], np.nan), np.full(rows.shape[1], np.nan)
        for column, values in enumerate(rows.T):
            there = values[np.isfinite(values)]
            if len(there) < LEAST_ROWS:
                continue
            centre[column] = np.median(there)
            spread = _CONSISTENT * np.median(np.abs(there - centre[column])) or there.std()
            scale[column] = spread if spread > 0 else np.nan
        return cls(centre, scale) if np.isfinite(scale).any() else None

    def distance(self, rows: NDArray[np.float64]) -> float | None:
        """The distance of the farthest of some rows ``[n, d]``; None where no row has a value that counts.

        >>> reference = Reference.of(np.arange(9.0)[:, None])
        >>> round(reference.distance(np.array([[4.0], [10.0]])), 3)
        2.023
        """
        if rows.ndim != 2 or rows.shape[1] != len(self.scale):
            return None
        # Bounded, so that the squares are: what is a million deviations away is far enough.
        squares = np.square(np.clip((rows - self.centre) / self.scale, -1e6, 1e6))
        counts = np.isfinite(squares)
        number = counts.sum(axis=1)
        if not number.any():
            return None
        total = np.where(counts, squares, 0.0).sum(axis=1)
        return float(np.sqrt((total / np.maximum(number, 1)).max()))
