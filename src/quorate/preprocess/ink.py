"""The ``ink`` step: from a photograph of something written to light ink on a black ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

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
_SPECK = 0.05  # of the main part's mass
_FAR = 0.2  # of the main part's size
_BORDER = 0.1  # what a part that runs into the rim is worth beside one that does not


@dataclass(frozen=True, slots=True)
class InkParams:
    """``side``: larger pictures are first shrunk, by a whole number, until the longer side has no more pixels."""

    side: int = 256

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
    factor = -(-max(image.size) // side)
    small = image.reduce(factor) if factor > 1 else image
    pixels = np.asarray(small, np.float32)
    pixels = trim(pixels if pixels.ndim == 3 else pixels[..., None])
    contrast = _contrast(pixels)
    found = _found(contrast)
    if found is None:
        return Image.new("L", (contrast.shape[1], contrast.shape[0]), 0)
    mask, noise = found
    strongest = float(np.percentile(contrast[mask], 90))
    floor = min(2 * noise, 0.3 * strongest)
    around = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(_reach(contrast)))) > 0
    levels = np.clip((contrast - floor) * (255 / (strongest - floor)), 0, 255)
    levels[~around] = 0
    return Image.fromarray(np.rint(levels).astype(np.uint8))


def _reach(contrast: Floats) -> int:
    """The width of the filter that takes in the soft edge of sure ink."""
    return 3 if max(contrast.shape) < 2 * _SMOOTHED_FROM else 5


def _contrast(pixels: Floats) -> Floats:
    """How far every pixel ``[h, w]`` is from the ground in the ink's direction; ink is positive."""
    ground = background(pixels)
    away = pixels - ground
    away = away @ _direction(away) if away.shape[2] == 3 else away[..., 0]
    strongest = float(np.abs(away).max())
    if strongest == 0:
        return np.asarray(away, np.float32)
    if (away * away * away * _middle(*away.shape)).sum() < 0:
        away = -away
    if ground.shape[2] == 3:
        ground = ground.mean(axis=2, keepdims=True)
    level = ground[..., 0]
    if pixels.mean() < level.mean():  # dark ink: its contrast falls with the light on the paper
        away = away * (float(level.max()) / np.maximum(level, 32))
    return np.asarray(away, np.float32)


def _direction(away: Floats) -> Floats:
    """The unit vector ``[3]`` along which strong differences lie: red ink on green has no brightness, but a colour."""
    flat = away.reshape(-1, 3)
    strength = np.abs(flat).max(axis=1)
    strong = flat[strength >= 0.5 * strength.max()].astype(np.float64)
    axis = np.linalg.eigh(strong.T @ strong)[1][:, -1]
    # eigenvectors have no sign; the sum's sign makes it one and the same everywhere
    return np.asarray(axis if axis.sum() >= 0 else -axis, np.float32)


def _middle(height: int, width: int) -> Floats:
    """Weights that fall to a tenth at the rim."""
    down, across = (1 - 0.9 * np.linspace(-1, 1, length) ** 4 for length in (height, width))
    return np.asarray(np.minimum(down[:, None], across[None]), np.float32)


class Found(NamedTuple):
    """Where ink is for sure, bool ``[h, w]``, and the standard deviation of the ground."""

    mask: NDArray[np.bool_]
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
        rim = parts.sums(smooth * _rim(*smooth.shape)) > worth / 2
        worth[rim] *= _BORDER
        main = int(worth.argmax())
        found = Found(np.isin(parts.labels, _belonging(parts, main, worth)), noise)
        if not rim[main]:
            return found
        best = best or found
        # What runs into the rim may be a border that hides fainter ink: look once more without it.
        smooth = np.where(np.isin(parts.labels, np.flatnonzero(rim)), 0, smooth)
    return best


def _rim(height: int, width: int) -> NDArray[np.bool_]:
    """The outer pixels: a tenth of the shorter side all around, one at least."""
    thick = max(1, min(height, width) // 10)
    rim = np.ones((height, width), bool)
    rim[thick : height - thick, thick : width - thick] = False
    return rim


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
