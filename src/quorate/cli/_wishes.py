"""The words of ``quorate models import`` about pictures, as numbers."""

from __future__ import annotations

import math
import re
from typing import cast, get_args

from quorate.errors import ConfigError
from quorate.preprocess.image import Resample
from quorate.preprocess.presets import Colour, Numbers, Order
from quorate.training.pictures import Wishes


def wishes(
    *,
    preset: str | None,
    size: str | None,
    fit: str | None,
    resize_to: int | None,
    scale: str | None,
    mean: str | None,
    std: str | None,
    layout: str | None,
    colour: str | None,
    resample: str | None,
) -> Wishes:
    """What was said; :class:`ConfigError` naming the flag for what is no size, number or word of the kind."""
    factors = None if scale is None else _numbers("--scale", scale)
    if isinstance(factors, tuple):
        raise ConfigError(f"--scale is one number, such as 1/255; got {scale}.", path="--scale")
    return Wishes(
        preset=preset,
        size=None if size is None else _size(size),
        resize_to=resize_to,
        stretch=None if fit is None else _one_of("--fit", fit, ("crop", "stretch")) == "stretch",
        scale=factors,
        mean=None if mean is None else _numbers("--mean", mean),
        std=None if std is None else _numbers("--std", std),
        layout=None if layout is None else cast(Order, _one_of("--layout", layout, get_args(Order))),
        colour=None if colour is None else cast(Colour, _one_of("--colour", colour, get_args(Colour))),
        resample=None if resample is None else cast(Resample, _one_of("--resample", resample, get_args(Resample))),
    )


def rows(said: str | None) -> str | None:
    """What was said by ``--rows``."""
    return None if said is None else _one_of("--rows", said, ("alone", "together"))


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", text)
    if found is None:
        raise ConfigError(f"--size is WIDTHxHEIGHT in pixels, or one number for both; got {text}.", path="--size")
    return int(found[1]), int(found[2] or found[1])


def _numbers(flag: str, text: str) -> Numbers:
    numbers = tuple(_number(flag, part) for part in text.split(","))
    return numbers[0] if len(numbers) == 1 else numbers


def _number(flag: str, text: str) -> float:
    above, slash, below = text.partition("/")
    try:
        value = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value) or (value == 0.0 and flag != "--mean"):
        raise ConfigError(f"{flag} is a number such as 0.5 or 1/255, or one per channel; got {text!r}.", path=flag)
    return value


def _one_of(flag: str, text: str, words: tuple[str, ...]) -> str:
    if text not in words:
        raise ConfigError(f"{flag} is one of {', '.join(words)}; got {text}.", path=flag)
    return text
