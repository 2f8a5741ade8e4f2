"""What the paper looks like without the digit: a smooth surface of brightness, fitted so that ink does not pull it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_SAMPLES = 48  # pixels along the longer side that the fit looks at
_ROUNDS = 12
_RING = 0.1  # of the shorter side: what lies so near to the rim is paper, most of it
_FLAT_BELOW = 24  # pixels: smaller pictures have one level; they are too few to tell light from ink
_LEAST = 1.0  # grey level: nearer than this is as good as exact


def background(pixels: Floats) -> Floats:
    """The ground of ``[h, w, c]``, 0 to 255, as ``[h, w, c]``.

    A quadratic surface per channel through the rim, with the least sum of absolute differences (iteratively
    reweighted least squares), so ink or a shadow on less than half of the rim does not count. Pixels anywhere that
    agree with it then refine it. Pictures under 24 pixels get the rim's median.
    """
    height, width, _ = pixels.shape
    if min(height, width) < _FLAT_BELOW:
        return np.broadcast_to(_rim_median(pixels), pixels.shape)
    step = max(1, -(-max(height, width) // _SAMPLES))
    rows, columns = np.arange(step // 2, height, step), np.arange(step // 2, width, step)
    sampled = pixels[rows][:, columns].astype(np.float64)
    y, x = rows / height - 0.5, columns / width - 0.5
    terms = _terms(y, x).reshape(-1, 6)
    values = sampled.reshape(len(terms), -1)
    ring = _ring(rows, columns, height, width).ravel()
    found = _least_absolute(terms[ring], values[ring], np.ones(int(ring.sum())))
    found = _refined(terms, values, ring, found)
    surface = _surface(height, width, found)
    return np.clip(surface, 0, 255, out=surface)


def _terms(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    down, across = np.meshgrid(y, x, indexing="ij")
    return np.stack([np.ones_like(down), down, across, down * down, across * across, down * across], axis=-1)


def _ring(rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    thick = max(1.0, _RING * min(height, width))
    down = (rows < thick) | (rows >= height - thick)
    across = (columns < thick) | (columns >= width - thick)
    return down[:, None] | across[None]


def _least_absolute(
    terms: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Coefficients ``[6, c]``; all channels share the weights, for ink shows in any of them."""
    for _ in range(_ROUNDS):
        weighted = terms * weights[:, None]
        # a little ridge keeps a rim that lies on one line (a very flat picture) solvable
        found = np.linalg.solve(weighted.T @ terms + 1e-6 * np.eye(6), weighted.T @ values)
        away = np.abs(values - terms @ found).max(axis=1)
        weights = 1 / np.maximum(away, _LEAST)
    return np.asarray(found, np.float64)


def _refined(
    terms: NDArray[np.float64], values: NDArray[np.float64], ring: NDArray[np.bool_], found: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit again to all pixels that are nearer to the ground than a quarter of the way to what is farthest."""
    away = np.abs(values - terms @ found).max(axis=1)
    near = away <= max(0.25 * float(away.max()), 4 * float(np.median(away[ring])), _LEAST)
    if near.mean() < 0.4:  # too little agrees: the rim knows better
        return found
    return _least_absolute(terms[near], values[near], np.ones(int(near.sum())))


def _surface(height: int, width: int, found: NDArray[np.float64]) -> Floats:
    """The surface at every pixel; what depends on one axis is computed once per row or column."""
    y = ((np.arange(height) / height) - 0.5)[:, None, None]
    x = ((np.arange(width) / width) - 0.5)[None, :, None]
    one, down, across, down2, across2, both = found
    rows = (one + down * y + down2 * y * y).astype(np.float32)
    columns = (across * x + across2 * x * x).astype(np.float32)
    surface: Floats = rows + columns
    if np.any(both):
        surface += (y * x).astype(np.float32) * both.astype(np.float32)
    return surface


def _rim_median(pixels: Floats) -> Floats:
    """The median per channel over the pixels at the rim."""
    rim = [pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]]
    return np.asarray(np.median(np.concatenate(rim), axis=0), np.float32)
