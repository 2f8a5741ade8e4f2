"""What a model sees of a picture: its declared preprocessing, up to where pixels become numbers, as a PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from quorate.codecs.snapshot import Routing
from quorate.errors import InvalidInput, NotFound
from quorate.preprocess.base import Context
from quorate.preprocess.pipeline import Pipeline
from quorate.registry.registry import Registry

MAX_SIDE = 512
"""Pixels; a larger one is shown smaller."""


def steps_of(name: str, routing: Routing, registry: Registry) -> Sequence[Mapping[str, Any]]:
    """The preprocessing of a model as it is served, else of its newest version.

    :class:`NotFound` where there is none of that name, :class:`InvalidInput` where it takes no pictures.
    """
    served = next((m for pool in routing.pools for m in pool.members if m.name == name), None)
    if served is None and not registry.versions(name):
        raise NotFound(f"There is no model '{name}'; /v1/models lists them.", path="name")
    found = served if served is not None else registry.manifest(name)
    if found.signature is None or found.signature.input_kind != "image":
        raise InvalidInput(f"Model '{name}' takes no pictures; there is nothing to show.", path="name")
    return found.preprocess


def seen(steps: Sequence[Mapping[str, Any]], picture: bytes, *, max_pixels: int) -> bytes:
    """The PNG of an encoded picture after all steps that give pixels; those that follow change numbers only.

    Raises :class:`InvalidInput` and :class:`~quorate.errors.TooLarge` as the steps do.
    """
    context = Context(max_pixels, "body")
    batch: Any = [picture]
    for step in Pipeline.from_spec(steps).steps:
        if step.gives != "pixels":
            break
        batch = step.apply(batch, context)
    first = batch[0]
    if isinstance(first, bytes):
        raise InvalidInput("This model decodes no pictures itself; there is nothing to show.", path="body")
    image = Image.fromarray(first) if isinstance(first, np.ndarray) else first.image
    if max(image.size) > MAX_SIDE:
        image.thumbnail((MAX_SIDE, MAX_SIDE))
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()
