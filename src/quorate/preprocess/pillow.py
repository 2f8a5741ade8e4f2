"""The only place that hands foreign bytes to Pillow: what is let in, how it becomes grey or RGB, what goes wrong."""

from __future__ import annotations

import io
import warnings

import numpy as np

# The plugins of the allowed formats only: `Image.open` would import all of them for a format it does not know yet.
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from quorate.errors import InvalidInput, TooLarge
from quorate.preprocess.base import Context
from quorate.preprocess.pixels import Picture

PLUGINS = {
    "jpeg": JpegImagePlugin,
    "png": PngImagePlugin,
    "webp": WebPImagePlugin,
    "bmp": BmpImagePlugin,
    "gif": GifImagePlugin,
    "tiff": TiffImagePlugin,
}
FORMATS = tuple(PLUGINS)

_ORIENTATION = 0x0112
_METADATA = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})
_SIXTEEN_BITS = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})

# What Pillow warns of (broken metadata, a size beyond its own limit) is a fault of the input, not a line in a log.
# A static filter, because `catch_warnings` is not thread-safe; the size is the pipeline's to judge.
warnings.filterwarnings("error", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def sniff(data: bytes) -> str | None:
    """The format that the first bytes announce, or None if it is not an allowed one."""
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:2] == b"BM":
        return "bmp"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    return None


def read(data: bytes, formats: tuple[str, ...], row: int, context: Context) -> Picture:
    """Decode one image; its first frame or page, 8 bits, alpha on white.

    Raises :class:`InvalidInput` for anything but a whole image in one of ``formats``, :class:`TooLarge` where its
    header announces more than ``context.max_pixels`` pixels (nothing was decoded then).
    """
    path = f"{context.path}[{row}]"
    kind = sniff(data)
    if kind not in formats:
        raise InvalidInput(
            f"Expected an image in one of the formats {', '.join(formats)}; got "
            f"{'a ' + kind if kind else f'{len(data)} bytes that begin with {data[:8]!r}'}.",
            path=path,
        )
    try:
        image = Image.open(io.BytesIO(data), formats=[kind])
        width, height = image.size
        if width * height > context.max_pixels:
            raise _too_large(f"{width}x{height} = {width * height} pixels", context, path)
        image.load()
        # `getexif` takes 40 µs, so only where there is something to read; Pillow has turned a TIFF upright by now
        orientation = 1 if _METADATA.isdisjoint(image.info) else image.getexif().get(_ORIENTATION, 1)
        flat = _flat(image)
    except (InvalidInput, TooLarge):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        raise _too_large("more pixels than can be decoded", context, path) from None
    except Exception as error:  # hostile bytes raise nearly everything inside Pillow
        raise InvalidInput(
            f"The {kind} image cannot be decoded: {_reason(error)}. Expected a whole, valid file.", path=path
        ) from None
    if flat is None:
        raise InvalidInput(
            f"The {kind} image has pixels of mode '{image.mode}'; expected 8 or 16 bits a channel, grey, palette, RGB, "
            "CMYK, with or without alpha. Convert it first.",
            path=path,
        )
    return Picture(flat, orientation if isinstance(orientation, int) else 1)


def size(data: bytes) -> tuple[int, int] | None:
    """Width and height as the header says, without decoding; None for what is no picture."""
    image = _opened(data)
    return None if image is None else image.size


def grey(data: bytes, side: int, max_pixels: int) -> Image.Image | None:
    """A picture in grey, to be measured; a JPEG that is much larger than ``side`` is decoded at a part of its size.

    None for what cannot be decoded, and for more than ``max_pixels`` pixels.
    """
    image = _opened(data)
    if image is None or image.size[0] * image.size[1] > max_pixels:
        return None
    try:
        if image.format == "JPEG":
            image.draft("L", (side, side))
        image.load()
        flat = _flat(image)
        return None if flat is None else flat.convert("L")
    except Exception:  # hostile bytes raise nearly everything inside Pillow
        return None


def _opened(data: bytes) -> Image.Image | None:
    kind = sniff(data)
    if kind is None:
        return None
    try:
        return Image.open(io.BytesIO(data), formats=[kind])
    except Exception:  # as above
        return None


def _too_large(what: str, context: Context, path: str) -> TooLarge:
    return TooLarge(f"The image has {what}; at most {context.max_pixels} are allowed. Send a smaller one.", path=path)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its text names a Python object
        return "its header is broken"
    return (str(error) or type(error).__name__).strip().rstrip(".")[:200]


def _flat(image: Image.Image) -> Image.Image | None:
    """Mode ``L`` or ``RGB``, alpha composited on white; None for modes whose range is not known (32-bit, float)."""
    mode = image.mode
    if mode in _SIXTEEN_BITS:
        return _eight_bits(image)
    if mode in ("I", "F"):
        return None
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image.convert("RGBA"))
    target = "L" if mode in ("1", "L", "LA") else "RGB"
    return image if image.mode == target else image.convert(target)


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits, rounded; a transparent grey level becomes white."""
    wide = np.asarray(image).astype(np.uint32)
    grey = ((wide * 255 + 32767) // 65535).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[wide == transparent] = 255
    return Image.fromarray(grey)
