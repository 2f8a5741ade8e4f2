"""Digits as a pen writes them: a skeleton per way of writing, jittered, drawn with a width that varies."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]


class Stroke(NamedTuple):
    """One movement of the pen in a box 1 high: points ``(x, y)``, y downwards; ``curved`` ones are joined smoothly."""

    points: tuple[tuple[float, float], ...]
    curved: bool = True


Way = tuple[Stroke, ...]


def _ring(x: float, y: float, width: float, height: float, start: float = -90.0, sweep: float = 360.0) -> Stroke:
    """A part of an ellipse around (x, y), clockwise from ``start`` degrees (0 is the right)."""
    angles = np.radians(np.linspace(start, start + sweep, 13))
    return Stroke(tuple((x + width * math.cos(a), y + height * math.sin(a)) for a in angles))


WAYS: dict[str, tuple[Way, ...]] = {
    "0": (
        (_ring(0.33, 0.5, 0.31, 0.5),),
        (_ring(0.27, 0.5, 0.25, 0.5, -70, 380),),
        (_ring(0.36, 0.5, 0.36, 0.5, -110, 345),),
    ),
    "1": (
        (Stroke(((0.1, 0.0), (0.1, 1.0)), False),),
        (Stroke(((0.0, 0.28), (0.26, 0.0), (0.26, 1.0)), False),),
        (Stroke(((0.0, 0.28), (0.27, 0.0), (0.27, 1.0)), False), Stroke(((0.02, 1.0), (0.52, 1.0)), False)),
    ),
    "2": (
        (
            Stroke(((0.04, 0.27), (0.14, 0.07), (0.34, 0.0), (0.55, 0.1), (0.55, 0.36), (0.3, 0.68), (0.02, 0.99))),
            Stroke(((0.02, 0.99), (0.62, 0.98)), False),
        ),
        (
            Stroke(((0.05, 0.2), (0.3, 0.0), (0.56, 0.18), (0.45, 0.52), (0.17, 0.88), (0.04, 0.93), (0.06, 0.78))),
            Stroke(((0.06, 0.78), (0.2, 0.78), (0.36, 0.95), (0.62, 0.93))),
        ),
    ),
    "3": (
        (
            Stroke(((0.04, 0.13), (0.27, 0.0), (0.52, 0.13), (0.49, 0.36), (0.22, 0.47))),
            Stroke(((0.22, 0.47), (0.5, 0.54), (0.58, 0.77), (0.36, 0.99), (0.02, 0.9))),
        ),
        (
            Stroke(((0.05, 0.0), (0.54, 0.0), (0.24, 0.4)), False),
            Stroke(((0.24, 0.4), (0.52, 0.5), (0.57, 0.76), (0.35, 0.99), (0.02, 0.92))),
        ),
    ),
    "4": (
        (
            Stroke(((0.2, 0.0), (0.03, 0.6), (0.62, 0.6)), False),
            Stroke(((0.44, 0.3), (0.42, 1.0)), False),
        ),
        (Stroke(((0.46, 1.0), (0.46, 0.0), (0.02, 0.68), (0.64, 0.68)), False),),
        (
            Stroke(((0.05, 0.02), (0.05, 0.5), (0.58, 0.5)), False),
            Stroke(((0.55, 0.0), (0.53, 1.0)), False),
        ),
    ),
    "5": (
        (
            Stroke(((0.58, 0.0), (0.12, 0.0), (0.08, 0.45)), False),
            Stroke(((0.08, 0.45), (0.33, 0.37), (0.58, 0.54), (0.56, 0.83), (0.32, 1.0), (0.02, 0.92))),
        ),
        (
            Stroke(((0.1, 0.05), (0.07, 0.42)), False),
            Stroke(((0.07, 0.42), (0.36, 0.36), (0.57, 0.58), (0.5, 0.88), (0.25, 1.0), (0.02, 0.9))),
            Stroke(((0.1, 0.03), (0.6, 0.0)), False),
        ),
    ),
    "6": (
        (
            Stroke(
                (
                    (0.5, 0.02),
                    (0.24, 0.2),
                    (0.05, 0.52),
                    (0.06, 0.83),
                    (0.28, 1.0),
                    (0.52, 0.87),
                    (0.51, 0.62),
                    (0.3, 0.5),
                    (0.06, 0.68),
                )
            ),
        ),
        (
            Stroke(
                (
                    (0.34, 0.0),
                    (0.12, 0.36),
                    (0.03, 0.7),
                    (0.15, 0.97),
                    (0.44, 0.95),
                    (0.5, 0.72),
                    (0.3, 0.58),
                    (0.05, 0.75),
                )
            ),
        ),
    ),
    "7": (
        (Stroke(((0.0, 0.02), (0.6, 0.0), (0.22, 1.0)), False),),
        (
            Stroke(((0.0, 0.02), (0.58, 0.0), (0.24, 1.0)), False),
            Stroke(((0.16, 0.5), (0.6, 0.48)), False),
        ),
        (Stroke(((0.0, 0.16), (0.03, 0.02), (0.6, 0.0)), False), Stroke(((0.6, 0.0), (0.4, 0.42), (0.3, 1.0)))),
    ),
    "8": (
        (
            Stroke(
                (
                    (0.5, 0.12),
                    (0.28, 0.0),
                    (0.07, 0.14),
                    (0.16, 0.38),
                    (0.44, 0.58),
                    (0.54, 0.82),
                    (0.28, 1.0),
                    (0.04, 0.82),
                    (0.16, 0.57),
                    (0.45, 0.36),
                    (0.5, 0.12),
                )
            ),
        ),
        (_ring(0.3, 0.25, 0.22, 0.25), _ring(0.3, 0.75, 0.28, 0.25)),
    ),
    "9": (
        (
            Stroke(
                (
                    (0.52, 0.2),
                    (0.31, 0.0),
                    (0.06, 0.16),
                    (0.08, 0.43),
                    (0.32, 0.52),
                    (0.52, 0.3),
                    (0.53, 0.16),
                )
            ),
            Stroke(((0.53, 0.16), (0.52, 0.55), (0.44, 1.0))),
        ),
        (
            _ring(0.29, 0.25, 0.25, 0.25, 0, 360),
            Stroke(((0.54, 0.22), (0.54, 0.7), (0.4, 0.97), (0.06, 0.92))),
        ),
    ),
}


def write(digit: str, height: int, rng: np.random.Generator) -> Image.Image:
    """One digit about ``height`` pixels high, light (255) on dark (0), mode L, cropped to the ink."""
    ways = WAYS[digit]
    way = ways[rng.integers(len(ways))]
    jitter, width, stretch = rng.uniform(0.0, 0.022), rng.uniform(0.055, 0.15), rng.uniform(0.85, 1.25)
    swell, phase = rng.uniform(0.0, 0.3), rng.uniform(0, 2 * math.pi)
    side = round(height * 1.6)
    canvas = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(canvas)
    moved: dict[tuple[float, float], Points] = {}  # strokes that meet in a point still meet
    for stroke in way:
        points = np.stack(
            [moved.setdefault(p, np.array(p) * (stretch, 1.0) + rng.normal(0, jitter, 2)) for p in stroke.points]
        )
        path = (_smooth(points) if stroke.curved else _straight(points)) * height + height * 0.25
        along = np.linspace(0, 3 * math.pi, len(path))
        radius = np.maximum(height * width / 2 * (1 + swell * np.sin(along + phase)), 0.5)
        for (x, y), r in zip(path.tolist(), radius.tolist(), strict=True):
            pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
    return canvas.crop(canvas.getbbox())


_STEPS = 80


def _straight(points: Points) -> Points:
    """Steps of one length along the polyline."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.linspace(0, lengths[-1], _STEPS * (len(points) - 1))
    return np.stack([np.interp(at, lengths, points[:, axis]) for axis in (0, 1)], axis=1)


def _smooth(points: Points) -> Points:
    """A Catmull-Rom spline through the points, whose ends are repeated."""
    padded = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, _STEPS)[:, None]
    parts = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate(parts)
