"""How networks that others trained want their pictures: a few numbers, and the steps that they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from quorate.preprocess.image import Resample

Colour = Literal["rgb", "bgr", "grey"]
Order = Literal["nchw", "nhwc"]
Numbers = float | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Pictures:
    """What a network expects of a picture.

    ``width`` x ``height`` pixels: cut out of the middle once the shorter side has ``resize_to`` pixels, or, where that
    is None, the whole picture brought to that size (its aspect is not kept). Pixels, 0 to 255, become
    ``(pixel * scale - mean) / std``, with ``mean`` and ``std`` one number or one per channel in the order of
    ``colour``.
    """

    width: int
    height: int
    scale: float
    mean: Numbers = 0.0
    std: Numbers = 1.0
    resize_to: int | None = None
    resample: Resample = "bilinear"
    colour: Colour = "rgb"
    layout: Order = "nchw"

    @property
    def channels(self) -> int:
        """Numbers per pixel."""
        return 1 if self.colour == "grey" else 3

    def steps(self) -> list[dict[str, Any]]:
        """The preprocessing steps, for a manifest."""
        size: list[dict[str, Any]] = [
            {"kind": "resize", "width": self.width, "height": self.height, "resample": self.resample}
        ]
        if self.resize_to is not None:
            size = [
                {"kind": "shorter-side", "size": self.resize_to, "resample": self.resample},
                {"kind": "centre-crop", "width": self.width, "height": self.height},
            ]
        return [
            {"kind": "decode"},
            {"kind": "orient"},
            {"kind": "grayscale" if self.colour == "grey" else "rgb"},
            *size,
            *([{"kind": "bgr"}] if self.colour == "bgr" else []),
            {"kind": "normalise", "scale": self.scale, "mean": _plain(self.mean), "std": _plain(self.std)},
            {"kind": "layout", "order": self.layout},
        ]


def _plain(numbers: Numbers) -> float | list[float]:
    return list(numbers) if isinstance(numbers, tuple) else numbers


PRESETS: Mapping[str, Pictures] = {
    # torchvision.transforms.ImageClassification(crop_size=224, resize_size=256), on Pillow images
    "imagenet": Pictures(
        224,
        224,
        scale=1 / 255,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        resize_to=256,
    ),
    # keras.applications.imagenet_utils.preprocess_input, mode "tf": x / 127.5 - 1
    "keras-tf": Pictures(224, 224, scale=1 / 127.5, mean=1.0, layout="nhwc"),
    # the same, mode "caffe": BGR less ImageNet's mean, not scaled
    "keras-caffe": Pictures(224, 224, scale=1.0, mean=(103.939, 116.779, 123.68), colour="bgr", layout="nhwc"),
}
