"""What a picture of a digit is made of, and how it is drawn and encoded."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Colour = tuple[int, int, int]
_WORK = 900  # pixels of the longer side; larger pictures are drawn at this size and enlarged, as soft as phones' are
_ORIENTATION = 0x0112
_UNDO = {  # how the sensor lies for a picture that EXIF turns upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture to draw. Lengths are parts of the shorter side; ``place`` is (0.5, 0.5) in the middle.

    ``light`` is the darkest part's brightness under ``lamp``; ``bends`` moves the digit's corners (perspective);
    ``frame`` is (thickness, grey) of a border on the given ``sides``; ``lines`` the distance of ruled lines, ``grid``
    whether across too; ``noise`` the standard deviation in grey levels, ``salt`` the part of black and white pixels.
    """

    width: int = 160
    height: int = 160
    size: float = 0.6
    place: tuple[float, float] = (0.5, 0.5)
    turn: float = 0.0
    shear: float = 0.0
    bends: tuple[float, ...] = (0.0,) * 8
    paper: Colour = (255, 255, 255)
    ink: Colour = (0, 0, 0)
    light: float = 1.0
    lamp: Literal["linear", "radial", "edge"] = "linear"
    lamp_at: float = 0.0
    frame: tuple[float, int] | None = None
    sides: tuple[bool, bool, bool, bool] = (True, True, True, True)
    lines: float = 0.0
    grid: bool = False
    specks: int = 0
    blur: float = 0.0
    noise: float = 0.0
    salt: float = 0.0
    alpha: bool = False
    orientation: int = 1
    format: Literal["PNG", "JPEG", "WEBP"] = "PNG"
    quality: int = 90


def render(scene: Scene, glyph: Image.Image, rng: np.random.Generator) -> bytes:
    """The encoded picture of ``glyph`` (light on dark, any size, at best :func:`glyph_height` high)."""
    width, height, _ = _canvas(scene)
    ink = _placed(scene, glyph)
    if scene.specks:
        ink = np.maximum(ink, _specks(scene, width, height, rng))
    if scene.alpha:
        return _transparent(scene, ink)
    cover = ink[..., None].astype(np.float32)
    pixels = np.array(scene.paper, np.float32) * np.ones((height, width, 1), np.float32)
    if scene.lines:
        pixels += _ruled(scene, width, height)[..., None] * (np.array([-70, -50, -15], np.float32))
        pixels = np.clip(pixels, 0, 255)
    pixels = pixels * (1 - cover) + np.array(scene.ink, np.float32) * cover
    if scene.light < 1:
        pixels *= _light(scene, width, height)[..., None]
    if scene.frame is not None:
        _framed(scene, pixels)
    image = Image.fromarray(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8))
    if scene.blur:
        image = image.filter(ImageFilter.GaussianBlur(scene.blur * min(width, height) * scene.size))
    if image.size != (scene.width, scene.height):
        image = image.resize((scene.width, scene.height), Image.Resampling.BICUBIC)
    if scene.noise or scene.salt:
        image = _noisy(scene, image, rng)
    return _encoded(scene, image)


def glyph_height(scene: Scene) -> int:
    """The height in pixels at which a glyph needs no resizing."""
    width, height, fine = _canvas(scene)
    return max(round(scene.size * min(width, height) * fine), 6)


def _canvas(scene: Scene) -> tuple[int, int, int]:
    """Width and height to draw at, and how much finer the digit is drawn than that."""
    shrink = min(1.0, _WORK / max(scene.width, scene.height))
    width, height = max(round(scene.width * shrink), 1), max(round(scene.height * shrink), 1)
    return width, height, 2 if min(width, height) > 200 else 4


def _placed(scene: Scene, glyph: Image.Image) -> NDArray[np.float32]:
    """How much of each pixel is ink, 0 to 1."""
    width, height, fine = _canvas(scene)
    w, h = glyph.size
    corners = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float64) - (w / 2, h / 2)
    angle = math.radians(scene.turn)
    corners = corners @ np.array([[1, 0], [scene.shear, 1]])
    corners = corners @ np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    corners += np.array(scene.bends).reshape(4, 2) * h
    low, high = corners.min(axis=0), corners.max(axis=0)
    frame = np.array([width, height]) * fine
    room = np.maximum(frame - (high - low), 0)
    corners += room * scene.place - low + np.minimum(frame - (high - low), 0) / 2
    found = _homography(corners, np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float64))
    padded = glyph.transform(
        (width * fine, height * fine), Image.Transform.PERSPECTIVE, found, Image.Resampling.BICUBIC
    )
    return np.asarray(padded.reduce(fine), np.float32) / 255


def _homography(points: NDArray[np.float64], to: NDArray[np.float64]) -> tuple[float, ...]:
    rows, wanted = [], []
    for (x, y), (u, v) in zip(points.tolist(), to.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    return tuple(np.linalg.solve(np.array(rows), np.array(wanted)).tolist())


def _grid(width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x / max(width - 1, 1) - 0.5, y / max(height - 1, 1) - 0.5


def _light(scene: Scene, width: int, height: int) -> NDArray[np.float32]:
    x, y = _grid(width, height)
    along = x * math.cos(scene.lamp_at) + y * math.sin(scene.lamp_at)
    if scene.lamp == "radial":
        dark = np.minimum(((x - 0.3 * math.cos(scene.lamp_at)) ** 2 + (y - 0.3 * math.sin(scene.lamp_at)) ** 2), 1.0)
    elif scene.lamp == "edge":  # the shadow of something between lamp and paper
        dark = 1 / (1 + np.exp(np.clip(-(along - 0.1) * 40, -60, 60)))
    else:
        dark = along / 1.5 + 0.5
    return np.asarray(1 - (1 - scene.light) * np.clip(dark, 0, 1), np.float32)


def _ruled(scene: Scene, width: int, height: int) -> NDArray[np.float32]:
    side = min(width, height)
    distance, thick = max(scene.lines * side, 4.0), max(side * 0.006, 1.0)
    across = (np.arange(height) % distance < thick).astype(np.float32)[:, None] * np.ones((1, width), np.float32)
    if scene.grid:
        across = np.maximum(across, (np.arange(width) % distance < thick).astype(np.float32)[None])
    return across


def _specks(scene: Scene, width: int, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    found = np.zeros((height, width), np.float32)
    side = min(width, height)
    for _ in range(scene.specks):
        at, radius = rng.uniform(0, 1, 2) * (width, height), rng.uniform(0.004, 0.015) * side
        found = np.maximum(found, np.clip(radius + 0.5 - np.hypot(x - at[0], y - at[1]), 0, 1))
    return found


def _framed(scene: Scene, pixels: NDArray[np.float32]) -> None:
    assert scene.frame is not None
    part, grey = scene.frame
    thick = max(round(part * min(pixels.shape[:2])), 1)
    top, right, bottom, left = scene.sides
    for there, where in (
        (top, np.s_[:thick]),
        (bottom, np.s_[-thick:]),
        (left, np.s_[:, :thick]),
        (right, np.s_[:, -thick:]),
    ):
        if there:
            pixels[where] = grey


def _noisy(scene: Scene, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    pixels = pixels + rng.standard_normal((*pixels.shape[:2], 1), np.float32) * scene.noise
    if scene.salt:
        chance = rng.random(pixels.shape[:2], np.float32)
        pixels[chance < scene.salt / 2] = 0
        pixels[chance > 1 - scene.salt / 2] = 255
    return Image.fromarray(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8))


def _transparent(scene: Scene, ink: NDArray[np.float32]) -> bytes:
    """Ink on nothing: what a drawing program or a canvas on a page saves."""
    height, width = ink.shape
    pixels = np.empty((height, width, 4), np.uint8)
    pixels[..., :3] = scene.ink
    pixels[..., 3] = np.rint(ink * 255)
    return _encoded(scene, Image.fromarray(pixels))


def _encoded(scene: Scene, image: Image.Image) -> bytes:
    options: dict[str, object] = {} if scene.format == "PNG" else {"quality": scene.quality}
    if scene.format == "PNG":
        options["compress_level"] = 1
    if scene.orientation in _UNDO:
        image = image.transpose(_UNDO[scene.orientation])
        exif = Image.Exif()
        exif[_ORIENTATION] = scene.orientation
        options["exif"] = exif
    out = io.BytesIO()
    image.save(out, scene.format, **options)
    return out.getvalue()
