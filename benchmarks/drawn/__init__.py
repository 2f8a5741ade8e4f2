"""Pictures of digits, drawn by pen and in type, clean and corrupted in known ways, all by a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.drawn import fonts, pen
from benchmarks.drawn.corruptions import CORRUPTIONS, clean, mixed
from benchmarks.drawn.scene import glyph_height, render

GROUPS = ("clean", *CORRUPTIONS, "mixed")
STYLES = ("pen", "font")
DIGITS = tuple("0123456789")
_PERIOD = len(DIGITS) * len(STYLES)


@dataclass(frozen=True)
class Drawn:
    """Encoded ``pictures`` and, row by row, what they show and how they were made.

    ``groups`` says ``clean``, one corruption, or ``mixed``; ``tags`` has the style and every corruption that is in it.
    """

    pictures: tuple[bytes, ...]
    labels: NDArray[np.str_]
    groups: tuple[str, ...]
    tags: tuple[frozenset[str], ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def where(self, tag: str) -> NDArray[np.int64]:
        """Rows of a group, or of a style."""
        return np.flatnonzero([tag == group or (tag in STYLES and tag in tags) for group, tags in self._rows()])

    def _rows(self) -> zip[tuple[str, frozenset[str]]]:
        return zip(self.groups, self.tags, strict=True)


def draw(n: int, seed: int) -> Drawn:
    """Draw ``n`` pictures; the first ``m`` of them are ``draw(m, seed)``.

    Groups take turns, and within a group the ten digits by pen and in type: 400 pictures have every digit in every
    style and group once. The same numbers give the same scenes anywhere; the encoded bytes are Pillow's.
    """
    made = [_one(index, seed) for index in range(n)]
    return Drawn(
        tuple(picture for picture, *_ in made),
        np.array([label for _, label, *_ in made], np.str_),
        tuple(group for *_, group, _ in made),
        tuple(tags for *_, tags in made),
    )


def _one(index: int, seed: int) -> tuple[bytes, str, str, frozenset[str]]:
    rng = np.random.default_rng((seed, index))
    turn, place = divmod(index, len(GROUPS))
    group = GROUPS[place]
    label = DIGITS[turn % len(DIGITS)]
    style = STYLES[turn // len(DIGITS) % len(STYLES)]
    scene, names = clean(rng), ()
    if group == "mixed":
        scene, names = mixed(scene, rng)
    elif group != "clean":
        scene, names = CORRUPTIONS[group](scene, rng), (group,)
    writer = pen if style == "pen" else fonts
    glyph = writer.write(label, glyph_height(scene), rng)
    return render(scene, glyph, rng), label, group, frozenset({style, *names})
