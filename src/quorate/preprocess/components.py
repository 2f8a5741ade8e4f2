"""Connected parts of a mask, found by runs of pixels: numpy only, and no loop over pixels or rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Components:
    """Parts of a mask ``[h, w]`` that touch at sides or corners, numbered as they are met row by row.

    ``labels`` int64 ``[h, w]`` is -1 outside. The others are ``[parts]``: the number of pixels, and the first and last
    row and column.
    """

    labels: Integers
    areas: Integers
    tops: Integers
    bottoms: Integers
    lefts: Integers
    rights: Integers

    def __len__(self) -> int:
        return len(self.areas)

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The sum of ``values [h, w]`` over every part, in float64 and in row order."""
        inside = self.labels >= 0
        return np.asarray(np.bincount(self.labels[inside], values[inside], len(self)), np.float64)


def components(mask: NDArray[np.bool_]) -> Components:
    """Label the parts of ``mask``: runs of pixels in a row are joined with those that they touch in the row above.

    Labels spread along the touching pairs as the least number, with the paths shortened after each step, so that few
    steps are needed whatever the shape.
    """
    height, width = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]  # one past the last pixel; runs in a row come in the same order
    parents = np.arange(len(rows))
    above, below = _touching(rows, starts, ends, width)
    while True:
        least = np.minimum(parents[above], parents[below])
        joined = parents.copy()
        np.minimum.at(joined, parents[above], least)
        np.minimum.at(joined, parents[below], least)
        while not np.array_equal(shorter := joined[joined], joined):
            joined = shorter
        if np.array_equal(joined, parents):
            break
        parents = joined
    roots, parts = np.unique(parents, return_inverse=True)
    count = len(roots)
    labels = np.full(height * width, -1, np.int64)
    labels[mask.ravel()] = np.repeat(parts, ends - starts)
    tops, lefts = np.full(count, height), np.full(count, width)
    bottoms, rights = np.full(count, -1), np.full(count, -1)
    np.minimum.at(tops, parts, rows)
    np.maximum.at(bottoms, parts, rows)
    np.minimum.at(lefts, parts, starts)
    np.maximum.at(rights, parts, ends - 1)
    areas = np.bincount(parts, ends - starts, count).astype(np.int64)
    return Components(labels.reshape(height, width), areas, tops, bottoms, lefts, rights)


def _touching(rows: Integers, starts: Integers, ends: Integers, width: int) -> tuple[Integers, Integers]:
    """Pairs of runs in neighbouring rows that touch: for every run, those of the row above form one stretch."""
    wide = width + 2  # a run's key never reaches into the next row
    first = np.searchsorted(rows * wide + ends, (rows - 1) * wide + starts, side="left")
    last = np.searchsorted(rows * wide + starts, (rows - 1) * wide + ends, side="right")
    counts = np.maximum(last - first, 0)
    below = np.repeat(np.arange(len(rows)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(first, counts) + offsets, below
