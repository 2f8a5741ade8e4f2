"""What the paper looks like without the digit: a smooth surface of brightness, fitted so that ink does not pull it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_SAMPLES = 32  # pixels along either side that the fit looks at
_ROUNDS = 10
_RING = 0.1  # of the shorter side: what lies so near to the rim is paper, most of it
_FLAT_BELOW = 24  # pixels: smaller pictures have one level; they are too few to tell light from ink
_BETTER = 0.6  # of the differences may be left by the surface, or else one level does: ink on the rim bends it
_LEAST = 1.0  # grey level: nearer than this is as good as exact


def background(planes: Floats) -> Floats:
    """The ground of a picture ``[c, h, w]``, 0 to 255, in the same shape.

    A quadratic surface per channel through the rim, with the least sum of absolute differences (iteratively
    reweighted least squares), so ink or a shadow on less than half of the rim does not count. Pixels anywhere that
    agree with it then refine it. Pictures under 24 pixels, and those where the surface explains little that their rim's
    median does not, have one level: the median.
    """
    _, height, width = planes.shape
    if min(height, width) < _FLAT_BELOW:
        return np.broadcast_to(_rim_median(planes)[:, None, None], planes.shape)
    rows, columns = _spread(height), _spread(width)
    values = planes[:, rows[:, None], columns].reshape(len(planes), -1).T.astype(np.float64)
    terms = _terms(rows / height - 0.5, columns / width - 0.5)
    ring = _ring(rows, columns, height, width)
    found = _least_absolute(terms[ring], values[ring])
    level = np.median(values[ring], axis=0)
    if _away(terms[ring], values[ring], found).mean() > _BETTER * np.abs(values[ring] - level).max(axis=1).mean():
        return np.broadcast_to(level.astype(np.float32)[:, None, None], planes.shape)
    found = _refined(terms, values, ring, found)
    surface = _surface(height, width, found.T.astype(np.float32))
    return np.clip(surface, 0, 255, out=surface)


def _spread(length: int) -> NDArray[np.int64]:
    """At most so many places as are sampled, evenly along an axis."""
    places = min(length, _SAMPLES)
    return np.asarray((np.arange(places) + 0.5) * length / places, np.int64)


def _terms(y: Doubles, x: Doubles) -> Doubles:
    down, across = (part.ravel() for part in np.meshgrid(y, x, indexing="ij"))
    return np.stack([np.ones_like(down), down, across, down * down, across * across, down * across], axis=1)


def _ring(rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    thick = max(1.0, _RING * min(height, width))
    down = (rows < thick) | (rows >= height - thick)
    across = (columns < thick) | (columns >= width - thick)
    return np.asarray(down[:, None] | across, bool).ravel()


def _least_absolute(terms: Doubles, values: Doubles) -> Doubles:
    """Coefficients ``[6, c]``; the channels share the weights, for ink may show in any of them."""
    weights = np.ones(len(terms))
    for _ in range(_ROUNDS):
        weighted = (terms * weights[:, None]).T
        # a little ridge keeps a rim that lies on one line (a very flat picture) solvable
        found = np.asarray(np.linalg.solve(weighted @ terms + 1e-6 * np.eye(6), weighted @ values), np.float64)
        weights = 1 / np.maximum(_away(terms, values, found), _LEAST)
    return found


def _away(terms: Doubles, values: Doubles, found: Doubles) -> Doubles:
    """How far each sample is from the surface, in the channel where it is farthest."""
    return np.asarray(np.maximum.reduce(np.abs(values - terms @ found).T), np.float64)


def _refined(terms: Doubles, values: Doubles, ring: NDArray[np.bool_], found: Doubles) -> Doubles:
    """Fit again to all pixels that are nearer to the ground than a quarter of the way to what is farthest."""
    away = _away(terms, values, found)
    near = away <= max(0.25 * float(away.max()), 4 * float(np.median(away[ring])), _LEAST)
    if near.mean() < 0.4:  # too little agrees: the rim knows better
        return found
    return _least_absolute(terms[near], values[near])


def _surface(height: int, width: int, found: Floats) -> Floats:
    """The surfaces of coefficients ``[c, 6]`` at every pixel ``[c, h, w]``."""
    y = (np.arange(height, dtype=np.float32) / height - 0.5)[:, None]
    x = np.arange(width, dtype=np.float32) / width - 0.5
    surface = np.empty((len(found), height, width), np.float32)
    for plane, (one, down, across, down2, across2, both) in zip(surface, found, strict=True):
        np.multiply(y, both * x, out=plane)
        plane += one + down * y + down2 * y * y
        plane += across * x + across2 * x * x
    return surface


def _rim_median(planes: Floats) -> Floats:
    """The median per channel ``[c]`` over the pixels at the rim."""
    rim = [planes[:, 0], planes[:, -1], planes[:, 1:-1, 0], planes[:, 1:-1, -1]]
    return np.asarray(np.median(np.concatenate(rim, axis=1), axis=1), np.float32)
