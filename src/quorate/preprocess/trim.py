"""Straight borders around a picture: the edge of a scanner's glass, a drawn frame, the table beside the paper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_DEPTH = 0.14  # of the side: a border is not thicker
_LEAST_STEP = 14.0  # grey levels
_LEAST_SIDE = 24  # pixels
_MOST = 0.7  # of the row: so much of it has to step at once


def trim(pixels: Floats) -> Floats:
    """``[h, w, c]`` without borders: rows and columns outside a step in brightness along nearly the whole side.

    A digit's stroke never steps along a whole side, and a soft shadow does not step. Pictures under 24 pixels stay.
    """
    height, width, _ = pixels.shape
    if min(height, width) < _LEAST_SIDE:
        return pixels
    for _ in range(2):  # left and right borders hide a part of the step above and below, and the other way round
        top, bottom = _border(pixels), _border(pixels[::-1])
        pixels = pixels[top : len(pixels) - bottom]
        left, right = _border(pixels.transpose(1, 0, 2)), _border(pixels.transpose(1, 0, 2)[::-1])
        pixels = pixels[:, left : pixels.shape[1] - right]
    return pixels


def _border(rows: Floats) -> int:
    """How many of the first rows are border."""
    depth = int(len(rows) * _DEPTH)
    if depth < 1:
        return 0
    near = rows[: depth + 2]
    steps = np.abs(near[2:] - near[:-2]).max(axis=2)  # over two rows, since edges are soft
    place = int((1 - _MOST) * (steps.shape[1] - 1))
    along = np.partition(steps, place, axis=1)[:, place]
    for step in np.flatnonzero(along >= _LEAST_STEP)[::-1].tolist():
        outside, inside = (
            np.median(rows[: step + 1], axis=(0, 1)),
            np.median(rows[step + 2 : 2 * depth + 2], axis=(0, 1)),
        )
        if np.abs(outside - inside).max() >= along[step] / 2:  # a ruled line has the same paper on both sides
            return int(step) + 2
    return 0
