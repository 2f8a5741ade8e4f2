"""Digits as type: the faces of six packages of free fonts, and the one that Pillow brings."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PACKAGES = (
    "font_amatic_sc",
    "font_caladea",
    "font_fredoka_one",
    "font_intuitive",
    "font_roboto",
    "font_source_serif_pro",
)
PILLOWS_OWN = "Aileron"


@cache
def faces() -> tuple[tuple[str, ...], ...]:
    """Families of font files, one family a package; Pillow's own font is a family of one."""
    families = []
    for package in PACKAGES:
        folder = Path(str(import_module(package).__file__)).parent
        families.append(tuple(str(path) for path in sorted(folder.rglob("*.ttf"))))
    return (*families, (PILLOWS_OWN,))


@cache
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    # The basic layout: what a digit looks like must not depend on whether a shaping library is installed.
    if face != PILLOWS_OWN:
        return ImageFont.truetype(face, size, layout_engine=ImageFont.Layout.BASIC)
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def write(digit: str, height: int, rng: np.random.Generator) -> Image.Image:
    """One digit ``height`` pixels high in any face, light (255) on dark (0), mode L, cropped to the ink."""
    families = faces()
    family = families[rng.integers(len(families))]
    face = family[rng.integers(len(family))]
    probe = _font(face, 200).getbbox(digit)
    font = _font(face, max(round(200 * height / (probe[3] - probe[1])), 4))
    left, top, right, bottom = font.getbbox(digit)
    canvas = Image.new("L", (round(right - left) + 4, round(bottom - top) + 4), 0)
    ImageDraw.Draw(canvas).text((2 - left, 2 - top), digit, fill=255, font=font)
    return canvas.crop(canvas.getbbox())
