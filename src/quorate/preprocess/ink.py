"""The ``ink`` step: from a photograph of something written to light ink on a black ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quorate.preprocess.background import background
from quorate.preprocess.base import Context, Step
from quorate.preprocess.components import Components, components
from quorate.preprocess.pixels import Picture, Pixels
from quorate.preprocess.trim import trim

Floats = NDArray[np.float32]

_SMOOTHED_FROM = 48  # pixels: smaller pictures have no noise that smoothing would not take the ink with
_STRONG = 0.42  # of the strongest ink: what counts as ink for sure
_LEAST_CONTRAST = 6.0  # grey levels: below it a picture is blank
_NOISE = 4.0  # standard deviations
_WEAK = 0.15  # of the strongest ink: the soft edge of an enlarged or blurred stroke
_EDGE = 8  # such an edge is an eighth of the digit wide at most, as a pixel of the data sets is
_SPECK = 0.05  # of the main part's mass
_SHARP = 2  # half of the side: writing that fills less of it, edges included, is looked at again, nearer
_FAR = 0.2  # of the main part's size
_BORDER = 0.1  # what a part that runs into the rim is worth beside one that does not


@dataclass(frozen=True, slots=True)
class InkParams:
    """``side``: larger pictures are first shrunk, by a whole number, until the longer side has no more pixels."""

    side: int = 128

    def __post_init__(self) -> None:
        if not 16 <= self.side <= 4096:
            raise ValueError("side must be 16 to 4096 pixels")


class Ink(Step):
    """Ink light (255), ground black (0), whatever the colours, the polarity and the light were.

    A smooth ground is fitted and subtracted; the direction in colour space in which pixels differ from it most is the
    ink's; straight borders, specks and what runs into the rim are left out. Grey between is how much of a pixel is
    ink. A blank picture becomes black. Sizes change: the result is shrunk, and without borders.
    """

    kind = "ink"
    Params = InkParams
    takes = frozenset({"pixels"})
    gives = "pixels"

    def apply(self, batch: Pixels, context: Context) -> Pixels:
        images = [Picture(Image.fromarray(row)) for row in batch] if isinstance(batch, np.ndarray) else batch
        return [Picture(ink(image, self.params.side), orientation) for image, orientation in images]


def ink(image: Image.Image, side: int) -> Image.Image:
    """One picture of mode L or RGB to one of mode L, light ink on black."""
    small, factor = _shrunk(image, side)
    levels, place = _levels(small)
    if place is not None and factor > 1 and max(place[2:]) < side // _SHARP:
        # Small writing on a large picture: look again, only there.
        left, top, width, height = place
        room = max(width, height) // 8
        box = (left - room, top - room, left + width + room, top + height + room)
        closer, again = _shrunk(image.crop(_within(box, factor, image.size)), side)
        levels, _ = _levels(closer) if again < factor else (levels, place)
    return Image.fromarray(levels)


def _shrunk(image: Image.Image, side: int) -> tuple[Image.Image, int]:
    """Averaged over blocks of a whole number of pixels, and that number."""
    factor = -(-max(image.size) // side)
    return (image.reduce(factor) if factor > 1 else image), factor


def _within(box: tuple[int, int, int, int], factor: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = (edge * factor for edge in box)
    return max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])


Place = tuple[int, int, int, int]


def _levels(image: Image.Image) -> tuple[NDArray[np.uint8], Place | None]:
    """Ink from 0 to 255, ``[h, w]`` without borders; and its left, top, width and height in the picture, if any."""
    planes, (top, left) = trim(np.stack([np.asarray(plane, np.float32) for plane in image.split()]))
    contrast = _contrast(planes)
    levels = np.zeros(contrast.shape, np.uint8)
    found = _found(contrast)
    if found is None:
        return levels, None
    rows, columns, mask, soft_edge, noise = found
    inside = contrast[rows, columns]
    strongest = float(np.percentile(inside[mask], 90))
    if strongest <= 0:  # a halftone, whose ink is beside the smoothed mask
        return levels, None
    floor = min(2 * noise, 0.3 * strongest)
    soft = np.clip((inside - floor) * (255 / (strongest - floor)), 0, 255)
    soft[~soft_edge] = 0
    levels[rows, columns] = np.rint(soft)
    return levels, (left + columns.start, top + rows.start, mask.shape[1], mask.shape[0])


def _grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The mask and all pixels that are at most ``by`` rows and columns away."""
    reached = 0
    grown = mask.copy()
    while reached < by:
        step = min(by - reached, reached + 1)  # no further than there is mask already, so nothing is left out
        for axis in (grown, grown.T):
            before = axis.copy()
            axis[step:] |= before[:-step]
            axis[:-step] |= before[step:]
        reached += step
    return grown


def _contrast(planes: Floats) -> Floats:
    """How far every pixel ``[h, w]`` of ``[c, h, w]`` is from the ground in the ink's direction; ink is positive."""
    ground = background(planes)
    away = planes - ground
    flat = np.tensordot(_direction(away), away, axes=1) if len(away) > 1 else away[0]
    if (flat * flat * flat * _middle(*flat.shape)).sum(dtype=np.float64) < 0:
        flat = -flat
    if float(planes.mean(dtype=np.float64)) < float(ground.mean(dtype=np.float64)):
        level = ground.mean(axis=0)  # dark ink: its contrast falls with the light on the paper
        flat = flat * (level.max() / np.maximum(level, 32))
    return np.asarray(flat, np.float32)


def _direction(away: Floats) -> Floats:
    """The unit vector ``[3]`` along which strong differences lie: red ink on green has no brightness, but a colour."""
    strength = np.maximum.reduce(np.abs(away))
    strong = away[:, strength >= max(0.5 * strength.max(), 1e-3)].astype(np.float64)
    axis = np.linalg.eigh(strong @ strong.T)[1][:, -1]
    # eigenvectors have no sign; the sum's sign makes it one and the same everywhere
    return np.asarray(axis if axis.sum() >= 0 else -axis, np.float32)


def _middle(height: int, width: int) -> Floats:
    """Weights that fall to a tenth at the rim."""
    down, across = (1 - 0.9 * np.linspace(-1, 1, length) ** 4 for length in (height, width))
    return np.asarray(np.minimum(down[:, None], across[None]), np.float32)


class Found(NamedTuple):
    """The rows and columns around the ink, where in them it is for sure, where it may be, and the ground's noise."""

    rows: slice
    columns: slice
    mask: NDArray[np.bool_]
    edge: NDArray[np.bool_]
    noise: float


def _found(contrast: Floats) -> Found | None:
    """The parts that make up the digit; None where the picture is blank."""
    smooth = _smoothed(contrast)
    # Ink is above the ground, so what is below it is noise, however much of the picture is ink.
    below = smooth[smooth <= 0]
    noise = -1.4826 * float(np.median(below)) if len(below) else 0.0
    best: Found | None = None
    for _ in range(3):
        strongest = float(smooth.max())
        if strongest < max(_LEAST_CONTRAST, _NOISE * noise):
            return best
        parts = components(smooth >= max(_STRONG * strongest, min(_NOISE * noise, 0.8 * strongest)))
        worth = parts.sums(smooth)
        rim = _along_the_rim(parts, smooth, worth)
        worth[rim] *= _BORDER
        main = int(worth.argmax())
        found = _region(parts, _belonging(parts, main, worth), smooth, noise)
        if not rim[main]:
            return found
        best = best or found
        # What runs into the rim may be a border that hides fainter ink: look once more without it.
        smooth = np.where(_grown(np.isin(parts.labels, np.flatnonzero(rim)), 2), 0, smooth)
    return best


def _region(parts: Components, which: NDArray[np.int64], smooth: Floats, noise: float) -> Found:
    """The parts ``which`` and their soft edges: weaker ink that touches them and is near."""
    top, bottom = int(parts.tops[which].min()), int(parts.bottoms[which].max()) + 1
    left, right = int(parts.lefts[which].min()), int(parts.rights[which].max()) + 1
    reach = max(bottom - top, right - left) // _EDGE + 1
    rows = slice(max(top - reach, 0), bottom + reach)
    columns = slice(max(left - reach, 0), right + reach)
    mask = np.isin(parts.labels[rows, columns], which)
    inside = smooth[rows, columns]
    weaker = components(mask | (inside >= max(_WEAK * float(inside.max()), _NOISE * noise)))
    touching = np.isin(weaker.labels, np.unique(weaker.labels[mask]))
    return Found(rows, columns, mask, _grown(touching & _grown(mask, reach), 1), noise)


def _along_the_rim(parts: Components, smooth: Floats, worth: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which parts touch the rim and lie within a tenth of it for the most: what is left of a border.

    None in small pictures, where there is no room for one and ink often fills the frame.
    """
    height, width = smooth.shape
    if min(height, width) < _SMOOTHED_FROM // 2:
        return np.zeros(len(parts), bool)
    thick = min(height, width) // 10
    outside = smooth.copy()
    outside[thick : height - thick, thick : width - thick] = 0
    touching = (parts.tops <= 1) | (parts.lefts <= 1) | (parts.bottoms >= height - 2) | (parts.rights >= width - 2)
    return np.asarray(touching & (parts.sums(outside) > worth / 2), bool)


def _smoothed(contrast: Floats) -> Floats:
    if min(contrast.shape) < _SMOOTHED_FROM:
        return contrast
    padded = np.pad(contrast, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9, np.float32)


def _belonging(parts: Components, main: int, worth: NDArray[np.float64]) -> NDArray[np.int64]:
    """The main part and those that are no specks and lie beside or within it."""
    size = max(parts.bottoms[main] - parts.tops[main], parts.rights[main] - parts.lefts[main]) + 1
    down = np.maximum(parts.tops[main] - parts.bottoms, parts.tops - parts.bottoms[main])
    across = np.maximum(parts.lefts[main] - parts.rights, parts.lefts - parts.rights[main])
    near = np.maximum(down, across) <= _FAR * size + 1
    return np.flatnonzero(near & (worth >= _SPECK * worth[main]))
