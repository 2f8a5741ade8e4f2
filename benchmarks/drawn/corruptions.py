"""What makes a picture of a digit hard: each changes one thing of a clean scene."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from benchmarks.drawn.scene import Colour, Scene

Corruption = Callable[[Scene, np.random.Generator], Scene]
_LEAST_DISTANCE = 130.0  # of ink and paper in RGB; their brightness may be the same


def clean(rng: np.random.Generator) -> Scene:
    """Black on white, upright, in the middle, losslessly saved."""
    side = int(rng.integers(96, 321))
    return Scene(width=side, height=side, size=rng.uniform(0.5, 0.8))


def inverse(scene: Scene, rng: np.random.Generator) -> Scene:
    """Light on dark."""
    return replace(scene, paper=_inverted(scene.paper), ink=_inverted(scene.ink))


def coloured(scene: Scene, rng: np.random.Generator) -> Scene:
    """Any ink on any paper that an eye tells apart; a part of them has the same brightness."""
    while True:
        paper, ink = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
        if np.linalg.norm(paper - ink) >= _LEAST_DISTANCE:
            return replace(scene, paper=_colour(paper), ink=_colour(ink))


def faint(scene: Scene, rng: np.random.Generator) -> Scene:
    """A tenth to a quarter of the full contrast, with a little noise."""
    paper = int(rng.integers(90, 240))
    ink = paper - int(rng.integers(26, 64))
    return replace(scene, paper=(paper,) * 3, ink=(ink,) * 3, noise=rng.uniform(0.5, 3))


def off_centre(scene: Scene, rng: np.random.Generator) -> Scene:
    """A smaller digit anywhere in a frame that is no square."""
    return replace(
        scene,
        width=int(rng.integers(120, 481)),
        height=int(rng.integers(120, 481)),
        size=rng.uniform(0.15, 0.45),
        place=(rng.uniform(0.04, 0.96), rng.uniform(0.04, 0.96)),
    )


def small(scene: Scene, rng: np.random.Generator) -> Scene:
    """Icon-sized."""
    side = int(rng.integers(24, 41))
    return replace(scene, width=side, height=side)


def phone(scene: Scene, rng: np.random.Generator) -> Scene:
    """A phone's 3 to 12 megapixels, JPEG, on paper that is not quite white."""
    height = int(rng.integers(2000, 4001))
    size = (height * 3 // 4, height) if rng.random() < 0.7 else (height, height * 3 // 4)
    paper = rng.integers(190, 246) + rng.integers(-12, 10, 3)
    ink = rng.integers(15, 80, 3)
    return replace(
        scene,
        width=size[0],
        height=size[1],
        size=rng.uniform(0.2, 0.7),
        place=(rng.uniform(0.25, 0.75), rng.uniform(0.25, 0.75)),
        paper=_colour(paper),
        ink=_colour(ink),
        noise=rng.uniform(1, 5),
        format="JPEG",
        quality=int(rng.integers(70, 93)),
    )


def turned(scene: Scene, rng: np.random.Generator) -> Scene:
    """By up to 25 degrees either way."""
    return replace(scene, turn=rng.uniform(8, 25) * rng.choice([-1, 1]), size=min(scene.size, 0.65))


def bent(scene: Scene, rng: np.random.Generator) -> Scene:
    """Slanted, and seen from the side."""
    return replace(
        scene,
        shear=rng.uniform(0.1, 0.35) * rng.choice([-1, 1]),
        bends=tuple(rng.uniform(-0.09, 0.09, 8).tolist()),
        size=min(scene.size, 0.65),
    )


def noise(scene: Scene, rng: np.random.Generator) -> Scene:
    """Grain, and up to 2 % of the pixels black or white."""
    return replace(scene, noise=rng.uniform(10, 40), salt=rng.uniform(0, 0.02))


def specks(scene: Scene, rng: np.random.Generator) -> Scene:
    """Crumbs and dots of the ink's colour."""
    return replace(scene, specks=int(rng.integers(5, 31)))


def blur(scene: Scene, rng: np.random.Generator) -> Scene:
    """Out of focus by 2 to 7 % of the digit's height."""
    return replace(scene, blur=rng.uniform(0.02, 0.07))


def shadow(scene: Scene, rng: np.random.Generator) -> Scene:
    """Light from one side, a dark rim, or the edge of a shadow."""
    lamp = rng.choice(np.array(["linear", "radial", "edge"])).item()
    darkest = {"linear": (0.25, 0.6), "radial": (0.1, 0.5), "edge": (0.5, 0.75)}[lamp]
    return replace(
        scene, paper=(235, 232, 226), ink=(30, 30, 38), lamp=lamp, light=rng.uniform(*darkest), lamp_at=_any(rng)
    )


def jpeg(scene: Scene, rng: np.random.Generator) -> Scene:
    """Blocks and ringing of qualities 5 to 30."""
    return replace(scene, format="JPEG", quality=int(rng.integers(5, 31)))


def exif(scene: Scene, rng: np.random.Generator) -> Scene:
    """Stored on its side or mirrored, with the note how to turn it."""
    return replace(scene, format="JPEG", quality=90, orientation=int(rng.integers(2, 9)))


def alpha(scene: Scene, rng: np.random.Generator) -> Scene:
    """Dark ink on nothing."""
    return replace(scene, alpha=True, ink=_colour(rng.integers(0, 120, 3)))


def ruled(scene: Scene, rng: np.random.Generator) -> Scene:
    """Lined or squared paper."""
    return replace(scene, lines=rng.uniform(0.08, 0.22), grid=bool(rng.random() < 0.5))


def frame(scene: Scene, rng: np.random.Generator) -> Scene:
    """A dark border on some sides of grey paper, or a light one."""
    sides = rng.random(4) < 0.7
    sides[rng.integers(4)] = True
    paper = int(rng.integers(150, 226))
    grey = int(rng.choice([rng.integers(0, 70), 255]))
    top, right, bottom, left = sides.tolist()
    return replace(
        scene,
        paper=(paper,) * 3,
        ink=(25, 25, 25),
        frame=(rng.uniform(0.015, 0.07), grey),
        sides=(top, right, bottom, left),
    )


CORRUPTIONS: Mapping[str, Corruption] = {
    "inverse": inverse,
    "coloured": coloured,
    "faint": faint,
    "off-centre": off_centre,
    "small": small,
    "phone": phone,
    "turned": turned,
    "bent": bent,
    "noise": noise,
    "specks": specks,
    "blur": blur,
    "shadow": shadow,
    "jpeg": jpeg,
    "exif": exif,
    "alpha": alpha,
    "ruled": ruled,
    "frame": frame,
}
_SIZES = ("off-centre", "phone")
_PAPERS = ("coloured", "shadow", "frame", "ruled")
_SHAPES = ("turned", "bent")
_LAST = ("noise", "specks", "blur", "jpeg", "exif", "inverse")


def mixed(scene: Scene, rng: np.random.Generator) -> tuple[Scene, tuple[str, ...]]:
    """A size, a paper, a shape and one or two more, at about half strength where that can be said."""
    names = [str(rng.choice(np.array(group))) for group in (_SIZES, _PAPERS, _SHAPES)]
    names += [str(name) for name in rng.permutation(np.array(_LAST))[: rng.integers(1, 3)]]
    for name in names:
        scene = CORRUPTIONS[name](scene, rng)
    scene = replace(
        scene,
        turn=scene.turn / 2,
        shear=scene.shear / 2,
        bends=tuple(bend / 2 for bend in scene.bends),
        noise=scene.noise / 2,
        salt=scene.salt / 2,
        blur=scene.blur / 2,
        quality=max(scene.quality, 20),
        size=max(scene.size, 0.25),
    )
    return scene, tuple(names)


def _inverted(colour: Colour) -> Colour:
    red, green, blue = colour
    return 255 - red, 255 - green, 255 - blue


def _colour(channels: np.ndarray) -> Colour:
    red, green, blue = np.clip(channels, 0, 255).astype(int).tolist()
    return red, green, blue


def _any(rng: np.random.Generator) -> float:
    return float(rng.uniform(0, 2 * math.pi))
