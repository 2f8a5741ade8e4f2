"""What is wished for and what an ONNX file says of its input, put together: how the network's pictures are made."""

from __future__ import annotations

from dataclasses import dataclass, replace

from quorate.core.types import TensorSpec
from quorate.errors import ConfigError
from quorate.preprocess.image import Resample
from quorate.preprocess.presets import PRESETS, Colour, Numbers, Order, Pictures

_CHANNEL_AXIS: dict[Order, int] = {"nchw": 1, "nhwc": 3}
_CHANNELS: dict[Colour, int] = {"rgb": 3, "bgr": 3, "grey": 1}
_PROPORTION = 256 / 224  # of the shorter side to the part that is cut out, where only one of them is known


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user says of a network's pictures; None leaves it to the preset, then to the file.

    ``size`` is width and height, ``stretch`` whether the whole picture is brought to that size; else the middle is cut
    out once the shorter side has ``resize_to`` pixels. The rest is as in :class:`Pictures`.
    """

    preset: str | None = None
    size: tuple[int, int] | None = None
    resize_to: int | None = None
    stretch: bool | None = None
    scale: float | None = None
    mean: Numbers | None = None
    std: Numbers | None = None
    layout: Order | None = None
    colour: Colour | None = None
    resample: Resample | None = None

    @property
    def any(self) -> bool:
        """Whether anything was said at all: then the model is one of pictures."""
        return self != Wishes()


def looks_like_pictures(tensor: TensorSpec) -> bool:
    """Whether a model's input has the shape of pictures."""
    return len(tensor.shape) == 4 and (tensor.shape[1] in (1, 3) or tensor.shape[3] in (1, 3))


def pictures_for(wishes: Wishes, tensor: TensorSpec) -> tuple[Pictures, list[str]]:
    """The pictures that a network with that one input takes, and notices about everything that was not said.

    :class:`ConfigError` where wishes and file contradict each other, or leave open what must not be guessed.
    """
    base = _preset(wishes.preset)
    wishes = _filled(wishes, base)
    if len(tensor.shape) != 4 or tensor.dtype != "float32":
        raise ConfigError(
            f"The model takes {tensor}; pictures reach a model as float32 with four axes. Export it again with such an "
            "input.",
            path="pictures",
        )
    notices: list[str] = []
    layout = _layout(wishes, base, tensor, notices)
    colour = _colour(wishes, tensor, _CHANNEL_AXIS[layout], notices)
    width, height = _size(wishes, base, tensor, layout, notices)
    if wishes.scale is None:
        raise ConfigError(
            "What the network expects of a pixel (0 to 255) is not known: give --scale 1/255 for 0 to 1 or --scale 1 "
            f"for 0 to 255, with --mean and --std where it has them; or --preset ({', '.join(PRESETS)}).",
            path="scale",
        )
    pictures = Pictures(
        width,
        height,
        scale=wishes.scale,
        mean=0.0 if wishes.mean is None else wishes.mean,
        std=1.0 if wishes.std is None else wishes.std,
        resample=wishes.resample or "bilinear",
        colour=colour,
        layout=layout,
    )
    for name, numbers in (("mean", pictures.mean), ("std", pictures.std)):
        if isinstance(numbers, tuple) and len(numbers) != pictures.channels:
            raise ConfigError(
                f"--{name} has {len(numbers)} numbers; expected one, or {pictures.channels} for {colour}.", path=name
            )
    pictures = replace(pictures, resize_to=_resize_to(wishes, base, pictures, notices))
    return pictures, [*notices, f"Pictures: {describe(pictures)}."]


def describe(pictures: Pictures) -> str:
    """All of it in words."""
    size = f"{pictures.width}x{pictures.height}"
    fit = f"stretched to {size}"
    if pictures.resize_to is not None:
        fit = f"shorter side {pictures.resize_to}, the middle {size}"
    return (
        f"{fit} ({pictures.resample}), {pictures.colour}, (pixel * {pictures.scale:.6g} - {_shown(pictures.mean)}) / "
        f"{_shown(pictures.std)}, {pictures.layout}"
    )


def _shown(numbers: Numbers) -> str:
    return f"{numbers:g}" if isinstance(numbers, float) else f"({', '.join(f'{number:g}' for number in numbers)})"


def _preset(name: str | None) -> Pictures | None:
    if name is not None and name not in PRESETS:
        raise ConfigError(f"There is no preset '{name}'; expected one of {', '.join(PRESETS)}.", path="preset")
    return None if name is None else PRESETS[name]


def _filled(wishes: Wishes, base: Pictures | None) -> Wishes:
    """What was not said is as in the preset, but for what the file may say as well: layout and size."""
    if base is None:
        return wishes
    return replace(
        wishes,
        scale=base.scale if wishes.scale is None else wishes.scale,
        mean=base.mean if wishes.mean is None else wishes.mean,
        std=base.std if wishes.std is None else wishes.std,
        colour=wishes.colour or base.colour,
        resample=wishes.resample or base.resample,
    )


def _layout(wishes: Wishes, base: Pictures | None, tensor: TensorSpec, notices: list[str]) -> Order:
    possible = [order for order, axis in _CHANNEL_AXIS.items() if tensor.shape[axis] in (1, 3)]
    open_ = [order for order, axis in _CHANNEL_AXIS.items() if tensor.shape[axis] is None]
    if wishes.layout is not None:
        if wishes.layout not in (*possible, *open_):
            raise ConfigError(f"The model takes {tensor}, which is not {wishes.layout}.", path="layout")
        return wishes.layout
    if len(possible) == 1:
        layout = possible[0]
        if base is None or base.layout != layout:
            notices.append(f"Layout: {layout}, as the file's {tensor} says.")
        return layout
    if base is not None and base.layout in (*possible, *open_):
        notices.append(f"Layout: {base.layout}, as the preset has it; the file's {tensor} leaves it open.")
        return base.layout
    raise ConfigError(f"The model takes {tensor}; give --layout nchw or nhwc.", path="layout")


def _colour(wishes: Wishes, tensor: TensorSpec, axis: int, notices: list[str]) -> Colour:
    channels = tensor.shape[axis]
    colour = wishes.colour
    if colour is None:
        colour = "grey" if channels == 1 else "rgb"
        notices.append(f"Colour: {colour}, as the file's {tensor} may mean; --colour says otherwise.")
    if channels not in (None, _CHANNELS[colour]):
        raise ConfigError(
            f"The model takes {tensor}, whose pictures have {channels} channels; {colour} has {_CHANNELS[colour]}. "
            "Give --colour.",
            path="colour",
        )
    return colour


def _size(
    wishes: Wishes, base: Pictures | None, tensor: TensorSpec, layout: Order, notices: list[str]
) -> tuple[int, int]:
    height, width = (tensor.shape[axis] for axis in ((2, 3) if layout == "nchw" else (1, 2)))
    if wishes.size is not None:
        if width not in (None, wishes.size[0]) or height not in (None, wishes.size[1]):
            raise ConfigError(
                f"The model takes {tensor}, pictures of {width}x{height}; got --size "
                f"{wishes.size[0]}x{wishes.size[1]}.",
                path="size",
            )
        return wishes.size
    if width is not None and height is not None:
        if base is None or (base.width, base.height) != (width, height):
            notices.append(f"Size: {width}x{height}, as the file says.")
        return width, height
    if base is not None and width in (None, base.width) and height in (None, base.height):
        notices.append(f"Size: {base.width}x{base.height}, as the preset has it; the file's {tensor} leaves it open.")
        return base.width, base.height
    raise ConfigError(f"The model takes {tensor}; give the size of its pictures, --size WIDTHxHEIGHT.", path="size")


def _resize_to(wishes: Wishes, base: Pictures | None, pictures: Pictures, notices: list[str]) -> int | None:
    if wishes.stretch and wishes.resize_to is not None:
        raise ConfigError("--fit stretch brings the whole picture to the size; leave out --resize-to.", path="fit")
    crop = wishes.resize_to is not None or (base is not None and base.resize_to is not None)
    if wishes.stretch is not None:
        crop = not wishes.stretch
    elif base is None and not crop:
        notices.append("Fit: the whole picture is stretched to the size; --fit crop keeps its aspect.")
    if not crop:
        return None
    longest = max(pictures.width, pictures.height)
    if wishes.resize_to is not None:
        if wishes.resize_to < longest:
            raise ConfigError(
                f"--resize-to {wishes.resize_to} is less than the {longest} pixels that are cut out of it.",
                path="resize_to",
            )
        return wishes.resize_to
    if (
        base is not None
        and base.resize_to is not None
        and (base.width, base.height) == (pictures.width, pictures.height)
    ):
        return base.resize_to
    found = round(longest * _PROPORTION)
    notices.append(f"Shorter side: {found}, in the proportion 256 to 224; --resize-to says otherwise.")
    return found
