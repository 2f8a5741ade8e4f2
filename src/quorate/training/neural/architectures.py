"""Small convolutional networks of different build, from ``[n, channels, side, side]`` to logits ``[n, classes]``.

They differ on purpose: members that err alike gain nothing from each other. References: K. Simonyan, A. Zisserman,
"Very deep convolutional networks", 2014 (plain); K. He et al., "Deep residual learning", 2015 (residual); A. Howard et
al., "MobileNets", 2017 (separable).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from quorate.errors import InvalidInput

Architecture = Literal["plain", "residual", "separable", "shallow"]

LEAST_SIDE = 8
_DROPOUT = 0.2


def build(architecture: Architecture, channels: int, side: int, classes: int) -> nn.Module:
    """A new network with random weights; :class:`InvalidInput` for a side below :data:`LEAST_SIDE` or unknown names."""
    if architecture not in _BODIES:
        raise InvalidInput(
            f"There is no architecture '{architecture}'; expected one of {', '.join(_BODIES)}.", path="architecture"
        )
    if side < LEAST_SIDE:
        raise InvalidInput(f"Networks take images of at least {LEAST_SIDE} pixels; got {side}.", path="inputs")
    body, width, shrunk = _BODIES[architecture](channels)
    return nn.Sequential(*body, nn.Flatten(), nn.Dropout(_DROPOUT), nn.Linear(width * (side // shrunk) ** 2, classes))


def _plain(channels: int) -> tuple[list[nn.Module], int, int]:
    """Two stages of two 3x3 convolutions."""
    return (
        [
            *_convolution(channels, 16),
            *_convolution(16, 16),
            nn.MaxPool2d(2),
            *_convolution(16, 32),
            *_convolution(32, 32),
            nn.MaxPool2d(2),
        ],
        32,
        4,
    )


def _residual(channels: int) -> tuple[list[nn.Module], int, int]:
    """Two residual blocks."""
    return (
        [
            *_convolution(channels, 16),
            nn.MaxPool2d(2),
            Residual(16),
            *_convolution(16, 32),
            nn.MaxPool2d(2),
            Residual(32),
        ],
        32,
        4,
    )


def _separable(channels: int) -> tuple[list[nn.Module], int, int]:
    """Three depthwise separable convolutions."""
    return (
        [
            *_convolution(channels, 16),
            nn.MaxPool2d(2),
            *_depthwise(16, 32),
            *_depthwise(32, 48),
            nn.MaxPool2d(2),
            *_depthwise(48, 48),
        ],
        48,
        4,
    )


def _shallow(channels: int) -> tuple[list[nn.Module], int, int]:
    """Two convolutions: quick, and weak enough to be boosted."""
    return [*_convolution(channels, 8), nn.MaxPool2d(2), *_convolution(8, 16), nn.MaxPool2d(2)], 16, 4


_BODIES: dict[str, Callable[[int], tuple[list[nn.Module], int, int]]] = {
    "plain": _plain,
    "residual": _residual,
    "separable": _separable,
    "shallow": _shallow,
}


def _convolution(inward: int, outward: int) -> list[nn.Module]:
    return [nn.Conv2d(inward, outward, 3, 1, 1, bias=False), nn.BatchNorm2d(outward), nn.ReLU()]


def _depthwise(inward: int, outward: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inward, inward, 3, 1, 1, groups=inward, bias=False),
        nn.BatchNorm2d(inward),
        nn.ReLU(),
        nn.Conv2d(inward, outward, 1, bias=False),
        nn.BatchNorm2d(outward),
        nn.ReLU(),
    ]


class Residual(nn.Module):  # type: ignore[misc]  # torch is not followed: its types take a minute
    """``relu(x + f(x))`` with f two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        second = _convolution(width, width)[:-1]
        self.body = nn.Sequential(*_convolution(width, width), *second)

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        return functional.relu(x + self.body(x))
