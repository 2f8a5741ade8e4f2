"""Straight borders around a picture: the edge of a scanner's glass, a drawn frame, the table beside the paper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_DEPTH = 0.14  # of the side: a border is not thicker
_LEAST_STEP = 14.0  # grey levels
_LEAST_SIDE = 24  # pixels
_PLAIN = 0.75  # of a border has one colour; the rest may be another border, or noise
_ALIKE = 0.3  # of the picture inside may be of the border's colour: the ink
_MOST = 0.7  # of the row: so much of it has to step at once


def trim(planes: Floats) -> tuple[Floats, tuple[int, int]]:
    """``[c, h, w]`` without borders, and how many rows at the top and columns on the left they were.

    A border is what lies outside a step in brightness along nearly the whole side. A digit's stroke never steps along
    a whole side, a soft shadow does not step, and a ruled line has the same paper on both sides. Pictures under 24
    pixels stay.
    """
    if min(planes.shape[1:]) < _LEAST_SIDE:
        return planes, (0, 0)
    above = before = 0
    for _ in range(2):  # left and right borders hide a part of the step above and below, and the other way round
        top, bottom = _border(planes), _border(planes[:, ::-1])
        planes = planes[:, top : planes.shape[1] - bottom]
        across = planes.transpose(0, 2, 1)
        left, right = _border(across), _border(across[:, ::-1])
        planes = planes[:, :, left : planes.shape[2] - right]
        above, before = above + top, before + left
        if not top + bottom + left + right:
            break
    return planes, (above, before)


def _border(planes: Floats) -> int:
    """How many of the first rows are border."""
    depth = int(planes.shape[1] * _DEPTH)
    if depth < 1:
        return 0
    near = planes[:, : depth + 2]
    steps = np.abs(near[:, 2:] - near[:, :-2]).max(axis=0)  # over two rows, since edges are soft
    stepping = np.flatnonzero((steps >= _LEAST_STEP).mean(axis=1) >= _MOST)
    for step in stepping[::-1].tolist():
        border, inside = planes[:, : step + 1], planes[:, step + 2 :]
        colour = np.median(border, axis=(1, 2))[:, None, None]
        plain = np.abs(border - colour).max(axis=0) < _LEAST_STEP
        alike = np.abs(inside - colour).max(axis=0) < _LEAST_STEP / 2
        # Paper beside a ruled line is alike inside; the top of ink that fills the picture is not plain.
        if plain.mean() >= _PLAIN and alike.mean() < _ALIKE:
            return int(step) + 2
    return 0
