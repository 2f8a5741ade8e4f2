"""What of an input is kept: redacted columns never, images smaller and bare where that is asked."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quorate.codecs.snapshot import CaptureRoute
from quorate.core.record import KeyedHash
from quorate.errors import InvalidInput
from quorate.serving.treatment import Treatment, smaller

PIXELS = np.arange(40 * 20, dtype=np.uint8).reshape(20, 40)


def encoded(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.stack([PIXELS] * 3, axis=2)).save(file, format=kind, **options)
    return file.getvalue()


def test_columns_are_removed_or_hashed_with_the_projects_key() -> None:
    treatment = Treatment(CaptureRoute(columns={"email": "remove", "age": "hash", "name": "hash"}), "secret")
    raw = {
        "email": np.array(["a@b"], object),
        "age": np.array([30.0, 31.0]),
        "name": np.array(["ann", "ann"], object),
        "size": np.array([1, 2]),
    }
    kept = treatment.apply(raw, max_pixels=1)
    keyed = KeyedHash("secret")
    assert kept["age"] == [keyed(30.0), keyed(31.0)]
    assert kept["name"] == [keyed("ann")] * 2 != [KeyedHash("other")("ann")] * 2
    assert kept["size"] is raw["size"]
    assert (set(kept), treatment.removed, treatment.hashed) == ({"age", "name", "size"}, ("email",), ("age", "name"))


@pytest.mark.parametrize(("given", "kept"), [("JPEG", "JPEG"), ("WEBP", "JPEG"), ("PNG", "PNG"), ("BMP", "PNG")])
def test_a_resized_image_has_no_more_than_its_pixels(given: str, kept: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "ann's holiday"
    options = {"comment": b"ann"} if given == "JPEG" else {}
    data = encoded(given, **({"exif": exif} if given != "BMP" else {}), **options)
    small = Image.open(io.BytesIO(smaller(data, 10, max_pixels=10_000)))
    assert small.format == kept
    assert small.size == ((10, 5) if given == "BMP" else (5, 10))  # turned upright
    assert not small.getexif()
    assert b"ann" not in smaller(data, 10, max_pixels=10_000)


def test_pixels_become_png_and_small_ones_stay_as_they_are() -> None:
    for pixels in (PIXELS, PIXELS[..., None], np.stack([PIXELS] * 3, axis=2)):
        found = Image.open(io.BytesIO(smaller(pixels, 100, max_pixels=10_000)))
        assert found.format == "PNG"
        assert np.array_equal(np.asarray(found), pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    with pytest.raises(InvalidInput):
        smaller(b"no image", 10, max_pixels=100)


def test_images_are_kept_as_they_came_unless_that_is_asked() -> None:
    raw = {"image": [encoded("PNG"), PIXELS]}
    assert Treatment(CaptureRoute(), "").apply(raw, max_pixels=10_000)["image"] is raw["image"]
    small = Treatment(CaptureRoute(images="resized", image_side=8), "").apply(raw, max_pixels=10_000)["image"]
    assert [Image.open(io.BytesIO(one)).size for one in small] == [(8, 4)] * 2  # type: ignore[arg-type]
