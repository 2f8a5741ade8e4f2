"""Light augmentation in training: images are turned, scaled, slanted, moved, thickened and dimmed.

Works on batches ``[n, c, h, w]`` whose background is 0, after preprocessing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augment:
    """How far each image is changed at most; 0 leaves that alone.

    ``degrees`` of rotation, ``scale`` and ``shear`` as shares, ``shift`` as a share of the side, ``thickness`` the
    share of the way to one pixel thicker or thinner strokes, ``contrast`` as a share, ``noise`` the standard deviation
    added, in units of the input.
    """

    degrees: float = 12.0
    scale: float = 0.12
    shear: float = 0.2
    shift: float = 0.06
    thickness: float = 0.5
    contrast: float = 0.15
    noise: float = 0.03

    def apply(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A changed copy; ``generator`` draws one change an image."""
        moved = self._moved(images, generator)
        thick = self._thickened(moved, generator)
        scaled = thick * (1 + self.contrast * _uniform(len(images), generator))[:, None, None, None]
        return scaled + self.noise * torch.randn(images.shape, generator=generator)

    def _moved(self, images: Tensor, generator: torch.Generator) -> Tensor:
        n = len(images)
        angle = torch.deg2rad(self.degrees * _uniform(n, generator))
        wide, high = (1 + self.scale * _uniform(n, generator) for _ in "xy")
        shear = self.shear * _uniform(n, generator)
        across, down = (2 * self.shift * _uniform(n, generator) for _ in "xy")  # grids are 2 wide
        cos, sin = angle.cos(), angle.sin()
        rows = [
            torch.stack([wide * cos, wide * (shear * cos - sin), across], dim=1),
            torch.stack([high * sin, high * (shear * sin + cos), down], dim=1),
        ]
        grid = functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, align_corners=False)

    def _thickened(self, images: Tensor, generator: torch.Generator) -> Tensor:
        share = (self.thickness * _uniform(len(images), generator))[:, None, None, None]
        thicker = functional.max_pool2d(images, 3, 1, 1)
        thinner = -functional.max_pool2d(-images, 3, 1, 1)
        target = torch.where(share > 0, thicker, thinner)
        return images + share.abs() * (target - images)


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    """``[n]`` numbers in -1..1."""
    return 2 * torch.rand(n, generator=generator) - 1
