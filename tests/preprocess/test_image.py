"""Image steps: what is let in, how it becomes pixels, and that hostile bytes never raise anything unplanned."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from quorate.errors import InvalidInput, TooLarge
from quorate.preprocess import Pipeline

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
PHOTO = np.add.outer(np.arange(24) * 6, np.arange(32) * 3)[..., None].repeat(3, axis=2).astype(np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return out.getvalue()


def run(images: Any, *steps: dict[str, object], max_pixels: int = 100_000) -> np.ndarray:
    return Pipeline.from_spec([{"kind": "decode"}, *steps]).apply({"image": images}, max_pixels=max_pixels)["input"]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_allowed_format_is_read(kind: str) -> None:
    result = run([encode(PHOTO, kind)], {"kind": "rgb"})
    assert result.shape == (1, 24, 32, 3)
    assert np.abs(result[0] - PHOTO).mean() < 6  # lossy formats come close, lossless ones are below anyway


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA"])
def test_other_formats_are_refused_by_content(kind: str) -> None:
    with pytest.raises(InvalidInput, match="one of the formats jpeg, png, webp, bmp, gif, tiff") as caught:
        run([encode(PHOTO, "PNG"), encode(PHOTO, kind)])
    assert caught.value.path == "instances[1]"


def test_a_model_may_allow_fewer_formats() -> None:
    pipeline = Pipeline.from_spec([{"kind": "decode", "formats": ["png"]}])
    assert pipeline.apply({"image": [encode(PHOTO, "PNG")]}, max_pixels=1000)["input"].shape == (1, 24, 32, 3)
    with pytest.raises(InvalidInput, match="got a jpeg"):
        pipeline.apply({"image": [encode(PHOTO, "JPEG")]}, max_pixels=1000)


def test_alpha_is_composited_on_white() -> None:
    grey = Image.new("LA", (2, 2), (0, 0))
    colour = Image.new("RGBA", (2, 2), (255, 0, 0, 128))
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([10, 20, 30] + [0] * 765)
    np.testing.assert_array_equal(run([encode(grey, "PNG")]), np.full((1, 2, 2), 255))
    np.testing.assert_allclose(run([encode(colour, "PNG")])[0, 0, 0], [255, 127, 127], atol=1)
    np.testing.assert_array_equal(run([encode(palette, "PNG")])[0, 0, 0], [10, 20, 30])
    np.testing.assert_array_equal(run([encode(palette, "PNG", transparency=0)])[0, 0, 0], [255, 255, 255])
    keyed = Image.new("L", (2, 2), 9)
    np.testing.assert_array_equal(run([encode(keyed, "PNG", transparency=9)]), np.full((1, 2, 2), 255))


def test_sixteen_bits_are_rounded_to_eight() -> None:
    wide = np.array([[0, 128, 129, 32768], [65535, 257, 65278, 514]], np.uint16)
    expected = np.round(wide / 257.0)
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(run([encode(wide, kind)])[0], expected)
    np.testing.assert_array_equal(run([encode(Image.fromarray(wide), "PNG", transparency=257)])[0, 1, 1], 255)


def test_bilevel_and_cmyk_are_read() -> None:
    bilevel = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    np.testing.assert_array_equal(run([encode(bilevel, "PNG")])[0], [[0, 255], [255, 0]])
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    np.testing.assert_allclose(run([encode(cmyk, "JPEG", quality=95)])[0, 4, 4], [255, 0, 0], atol=4)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_known_range_are_refused(mode: str) -> None:
    with pytest.raises(InvalidInput, match=f"mode '{mode}'"):
        run([encode(Image.new(mode, (2, 2), 1), "TIFF")])


def test_only_the_first_frame_is_read() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "TIFF", "WEBP", "PNG"):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
        np.testing.assert_allclose(run([data], {"kind": "rgb"})[0, 0, 0], [255, 0, 0], atol=3)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.T),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: x[::-1, ::-1].T),
        (8, lambda x: np.rot90(x)),
        (9, lambda x: x),
    ],
)
def test_exif_orientation_is_applied(kind: str, orientation: int, upright: Any) -> None:
    pixels = PHOTO[..., 0]
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    data = encode(pixels, kind, exif=_exif(orientation), **options)
    result = run([data], {"kind": "orient"}, {"kind": "grayscale"})[0]
    assert result.shape == upright(pixels).shape
    np.testing.assert_allclose(result, upright(pixels), atol=2)
    if kind != "TIFF":  # whose orientation is part of how its pixels are stored
        np.testing.assert_allclose(run([data], {"kind": "grayscale"})[0], pixels, atol=2)


def test_orientation_survives_steps_in_between() -> None:
    data = encode(PHOTO, "PNG", exif=_exif(6))
    steps = ({"kind": "grayscale"}, {"kind": "rgb"}, {"kind": "orient"})
    np.testing.assert_array_equal(run([data], *steps)[0], np.rot90(PHOTO, -1))


def test_grayscale_is_the_same_luma_for_files_and_arrays() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    array = run(pixels[None], {"kind": "grayscale"})
    np.testing.assert_array_equal(array, run([encode(pixels, "PNG")], {"kind": "grayscale"}))
    np.testing.assert_allclose(array[0], pixels @ [0.299, 0.587, 0.114], atol=0.51)


def test_rgb_repeats_grey() -> None:
    grey = PHOTO[..., 0]
    np.testing.assert_array_equal(run(grey[None], {"kind": "rgb"})[0], PHOTO)
    np.testing.assert_array_equal(run([encode(grey, "PNG")], {"kind": "rgb"})[0], PHOTO)


def test_resize_is_antialiased_and_the_identity_at_its_own_size() -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    shrunk = run(board[None], {"kind": "resize", "width": 8, "height": 8})
    assert np.abs(shrunk - 127.5).max() < 3
    same = run(board[None], {"kind": "resize", "width": 64, "height": 64, "resample": "lanczos"})
    np.testing.assert_array_equal(same[0], board)


def test_a_channel_axis_of_one_is_grey() -> None:
    grey = PHOTO[None, ..., :1]
    np.testing.assert_array_equal(run(grey), PHOTO[None, ..., 0])


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((1, 8, 8), np.float32), "uint8"),
        (np.zeros((1, 8), np.uint8), "[8]"),
        (np.zeros((1, 8, 8, 4), np.uint8), "[8, 8, 4]"),
        (np.zeros((1, 0, 8), np.uint8), "[0, 8]"),
        ([np.zeros((8, 8), np.uint8), np.zeros((9, 9), np.int64)], "int64"),
        ([], "at least one"),
        (["text"], "str"),
        ([None], "NoneType"),
        ([b""], "0 bytes"),
    ],
)
def test_what_is_no_image_is_refused(images: Any, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(images)
    assert words in caught.value.message


def test_arrays_obey_the_pixel_limit() -> None:
    with pytest.raises(TooLarge, match="at most 63"):
        run(np.zeros((1, 8, 8), np.uint8), max_pixels=63)
    with pytest.raises(TooLarge) as caught:
        run([np.zeros((2, 2), np.uint8), np.zeros((8, 8), np.uint8)], max_pixels=63)
    assert caught.value.path == "instances[1]"


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png_header(width: int, height: int) -> bytes:
    ihdr = _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + ihdr + _png_chunk(b"IDAT", zlib.compress(b"\0" * 64)) + _png_chunk(b"IEND", b"")


def _webp_header(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + size + b"ANIM" + struct.pack("<I", 6) + b"\0" * 6
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _gif_header(width: int, height: int) -> bytes:
    data = bytearray(encode(PHOTO, "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def _jpeg_header(width: int, height: int) -> bytes:
    data = bytearray(encode(PHOTO, "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    "bomb",
    [
        _png_header(8_000, 8_000),
        _png_header(12_000, 12_000),  # beyond the size Pillow warns of
        _png_header(2_000_000, 2_000_000),  # beyond the size Pillow refuses
        _gif_header(60_000, 60_000),
        _jpeg_header(60_000, 60_000),
        encode(np.zeros((3000, 3000), np.uint8), "TIFF", compression="tiff_deflate"),
        encode(np.zeros((3000, 3000), np.uint8), "WEBP"),
    ],
    ids=["png", "png-warned", "png-refused", "gif", "jpeg", "tiff", "webp"],
)
def test_bombs_are_refused_from_their_header(bomb: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", never)
    with pytest.raises(TooLarge) as caught:
        run([np.zeros((2, 2), np.uint8), bomb], max_pixels=5_000_000)
    assert caught.value.path == "instances[1]"


def test_a_webp_header_that_announces_too_much_is_refused() -> None:
    with pytest.raises((TooLarge, InvalidInput)):
        run([_webp_header(16_000_000, 16_000_000)], max_pixels=5_000_000)


def test_a_frame_larger_than_its_gif_screen_is_judged_by_the_frame() -> None:
    data = bytearray(encode(np.zeros((3000, 3000), np.uint8), "GIF"))
    data[6:10] = struct.pack("<HH", 4, 4)
    with pytest.raises(TooLarge):
        run([bytes(data)], max_pixels=5_000_000)


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_files_are_refused(kind: str) -> None:
    data = encode(PHOTO, kind)
    for cut in (12, len(data) // 4, len(data) // 2, len(data) * 3 // 4):
        with pytest.raises(InvalidInput) as caught:
            run([encode(PHOTO, "PNG"), data[:cut]])
        assert caught.value.path == "instances[1]"
        assert "0x" not in caught.value.message, "an address of a Python object leaks"


def test_pillow_warnings_are_errors() -> None:
    data = bytearray(encode(PHOTO, "TIFF"))
    # a tag whose data lies beyond the end of the file: Pillow only warns
    count = struct.unpack_from("<H", data, struct.unpack_from("<I", data, 4)[0])[0]
    assert count > 3
    ifd = struct.unpack_from("<I", data, 4)[0]
    for index in range(count):
        at = ifd + 2 + 12 * index
        if struct.unpack_from("<H", data, at)[0] == 258:  # BitsPerSample, three shorts elsewhere
            struct.pack_into("<I", data, at + 8, len(data) + 1000)
    with pytest.raises(InvalidInput):
        run([bytes(data)])


SEEDS = [encode(PHOTO, kind) for kind in FORMATS] + [
    encode(Image.new("P", (5, 5)), "GIF"),
    encode(PHOTO, "TIFF", compression="tiff_lzw"),
    encode(PHOTO, "JPEG", exif=_exif(6), progressive=True),
    encode(Image.new("RGBA", (9, 9), (1, 2, 3, 4)), "WEBP"),
]
PIPELINE = Pipeline.from_spec(
    [
        {"kind": "decode"},
        {"kind": "orient"},
        {"kind": "grayscale"},
        {"kind": "resize", "width": 8, "height": 8},
        {"kind": "flatten"},
    ]
)


def _either_an_answer_or_a_planned_error(data: bytes) -> None:
    refused: InvalidInput | TooLarge | None = None
    result = np.zeros((1, 64))
    try:
        result = PIPELINE.apply({"image": [data]}, max_pixels=1_000_000)["input"]
    except (InvalidInput, TooLarge) as error:
        refused = error
    if refused is not None:
        assert refused.path == "instances[0]"
        assert len(refused.message) < 500
    assert result.shape == (1, 64)
    assert np.isfinite(result).all()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_files_raise_nothing_unplanned(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(SEEDS)))
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)), max_size=8)):
        body[at] = value
    _either_an_answer_or_a_planned_error(bytes(body[: data.draw(st.integers(0, len(body)))]))
    _either_an_answer_or_a_planned_error(bytes(body))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF0000WEBP", b"BM", b"GIF89a", b"II*\0", b"MM\0*"]
    ),
    st.binary(max_size=200),
)
def test_garbage_raises_nothing_unplanned(magic: bytes, tail: bytes) -> None:
    _either_an_answer_or_a_planned_error(magic + tail)
