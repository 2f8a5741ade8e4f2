"""What a caller has in hand, as bytes to send: images as encoded files, rows as JSON."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorate.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

    Image = str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[Any] | PillowImage
    Rows = Iterable[Any] | NDArray[Any]

_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
_CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}


def image_bytes(image: Image, *, path: str = "image") -> bytes:
    """An encoded image: the file's or the given bytes as they are, pixels as PNG.

    Pixels are ``[h, w]``, ``[h, w, 3]`` or ``[h, w, 4]``, whole numbers 0 to 255.
    :class:`~quorate.errors.InvalidInput` where it cannot be read or is no image.
    """
    if isinstance(image, str | os.PathLike):
        return _read(Path(image), path)
    if isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
        if not data:
            raise InvalidInput("The image is empty (0 bytes); give an encoded image.", path=path)
        return data
    if _is_array(image):
        return _png(_from_pixels(image, path))
    if "PIL.Image" in sys.modules and isinstance(image, sys.modules["PIL.Image"].Image):
        try:
            return _png(_upright(image, path))
        except (OSError, ValueError, SyntaxError) as error:  # a file opened lazily is read only now
            raise InvalidInput(f"The PIL image cannot be encoded: {error}; give another.", path=path) from None
    raise InvalidInput(
        f"An image is a path, the bytes of a file, an array of pixels or a PIL image; got {type(image).__name__}.",
        path=path,
    )


def needs_work(image: Any) -> bool:
    """Does :func:`image_bytes` read a file or encode pixels, which should not hold an event loop up?"""
    return not isinstance(image, bytes | bytearray | memoryview)


def _read(file: Path, path: str) -> bytes:
    try:
        data = file.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(f"'{file}' cannot be read: {why.lower()}.", path=path) from None
    if not data:
        raise InvalidInput(f"'{file}' is empty; an image was expected.", path=path)
    return data


def _is_array(value: Any) -> bool:
    # Who holds an array has imported numpy; who does not should not pay for it.
    return "numpy" in sys.modules and isinstance(value, sys.modules["numpy"].ndarray)


def _from_pixels(array: Any, path: str) -> Any:
    import numpy as np
    from PIL import Image

    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    shaped = array.size and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS))
    whole = array.dtype.kind in "iu" and shaped and array.min() >= 0 and array.max() <= 255
    if not shaped or not whole:
        between = f" from {array.min()} to {array.max()}" if array.size and array.dtype.kind in "biuf" else ""
        raise InvalidInput(
            "Pixels are [h,w], [h,w,3] or [h,w,4], whole numbers 0 to 255 (uint8); got "
            f"{list(array.shape)} {array.dtype}{between}. Scale and convert them first.",
            path=path,
        )
    return Image.fromarray(np.ascontiguousarray(array, np.uint8))


def _upright(image: Any, path: str) -> Any:
    """An image that PNG can hold; the orientation a camera recorded is applied, because the copy would lose it."""
    from PIL import ImageOps

    turned = ImageOps.exif_transpose(image)
    if turned.mode in _PNG_MODES:
        return turned
    if turned.mode in ("CMYK", "YCbCr", "HSV", "LAB"):
        return turned.convert("RGB")
    raise InvalidInput(f"A PIL image of mode {turned.mode} cannot be sent; convert it to L or RGB first.", path=path)


def _png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)  # the wire is fast, compressing is not
    return buffer.getvalue()


def rows_list(rows: Rows) -> list[Any]:
    """Rows as a list: a data frame becomes its records, an array its rows; values may still be numpy's."""
    if isinstance(rows, str | bytes | Mapping):
        raise InvalidInput(
            f"rows is a list of rows; got one {type(rows).__name__}. Put a single row into a list.", path="rows"
        )
    frame: Any = rows
    if hasattr(frame, "columns"):  # a data frame, of either of the two libraries
        if hasattr(frame, "to_dicts"):
            return list(frame.to_dicts())
        if hasattr(frame, "to_dict"):
            return list(frame.to_dict(orient="records"))
    if _is_array(rows):
        return list(frame.tolist())
    if not isinstance(rows, Iterable):
        raise InvalidInput(f"rows is a list of rows; got {type(rows).__name__}.", path="rows")
    return list(rows)


def to_json(body: Any) -> bytes:
    """A request's body; numpy's numbers and arrays are taken as their values.

    :class:`~quorate.errors.InvalidInput` names the row and column of NaN, infinity, and what JSON cannot hold.
    """
    try:
        return json.dumps(body, allow_nan=False, default=_plain, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError) as error:
        found = next(_wrong(body, ""), None)
        if found is None:
            raise InvalidInput(f"The request cannot be written as JSON: {error}.", path="body") from None
        path, value = found
        raise InvalidInput(_why(path, value), path=path) from None


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist") and type(value).__module__ == "numpy":
        return value.tolist()
    raise TypeError(type(value).__name__)


def _why(path: str, value: Any) -> str:
    if isinstance(value, float):
        return (
            f"{path} is {value}, which JSON does not have; for a missing value send None, if the endpoint takes "
            "missing values there."
        )
    return f"{path} is of type {type(value).__name__}; expected numbers, text, true or false, or None."


def _wrong(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Where values are that JSON cannot hold."""
    if depth > 64:
        yield path, value
        return
    if hasattr(value, "tolist") and type(value).__module__ == "numpy":
        value = value.tolist()
    if value is None or isinstance(value, str | bool | int):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _wrong(inner, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _wrong(inner, f"{path}[{index}]", depth + 1)
    else:
        yield path, value
