"""Integers that stand for numbers: rounding, ends of the range, shares that sum to 1 again."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.runtimes.quantised import Scale

BYTES = Scale(np.dtype(np.uint8), 1 / 128, 128)
SHARES = Scale(np.dtype(np.uint8), 1 / 256, 0)


def test_there_and_back() -> None:
    every = np.arange(256, dtype=np.uint8)
    assert BYTES.real(every).dtype == np.float32
    np.testing.assert_array_equal(BYTES.integers(BYTES.real(every)), every)
    np.testing.assert_allclose(BYTES.real(np.array([0, 128, 255], np.uint8)), [-1, 0, 127 / 128])


def test_the_nearest_integer_within_the_range() -> None:
    real = np.array([-9.0, -1.0, 0.0, 0.0039, 0.00391, np.inf, -np.inf, np.nan], np.float32)
    assert BYTES.integers(real).tolist() == [0, 0, 128, 128, 129, 255, 0, 0]
    signed = Scale(np.dtype(np.int8), 0.5, -3)
    assert signed.integers(np.array([0.0, 0.5, -63.0, 100.0], np.float32)).tolist() == [-3, -2, -128, 127]
    assert str(signed) == "int8 (scale 0.5, zero point -3)"


@pytest.mark.parametrize(("dtype", "zero"), [("uint8", 128), ("uint8", 127), ("int8", 0), ("int8", -1)])
@pytest.mark.parametrize("step", [1 / 128, 1 / 127.5, 0.0078431377])
def test_pixels_go_in_as_they_are(dtype: str, zero: int, step: float) -> None:
    """``pixel * scale - mean``, as the step 'normalise' computes it, has the pixel for its integer."""
    scale = Scale(np.dtype(dtype), step, zero)
    factor, mean = scale.pixels() or (0.0, 0.0)
    pixels = np.arange(256)
    real = pixels.astype(np.float32) * np.float32(factor) - np.float32(mean)
    np.testing.assert_array_equal(scale.integers(real).astype(int), pixels - (128 if dtype == "int8" else 0))
    assert Scale(np.dtype(np.int16), step, 0).pixels() is None


def test_rounded_shares_sum_to_one_again() -> None:
    rounded = SHARES.real(np.array([[200, 42, 12, 0], [255, 0, 0, 0], [0, 0, 0, 0]], np.uint8))
    found = SHARES.shares(rounded)
    np.testing.assert_allclose(found.sum(axis=1)[:2], 1, atol=1e-6)
    np.testing.assert_allclose(found[0], np.array([200, 42, 12, 0]) / 254, atol=1e-6)
    many = SHARES.shares(np.zeros((1, 1001), np.float32))  # a thousand classes of which none has a 512th
    np.testing.assert_allclose(many, 1 / 1001)


def test_what_is_no_share_is_left_as_it_is() -> None:
    logits = Scale(np.dtype(np.uint8), 0.1, 60)
    values = logits.real(np.array([[60, 70]], np.uint8))
    assert logits.shares(values) is values  # 0 and 1 by chance, on a scale that goes elsewhere
    sigmoids = SHARES.real(np.array([[250, 240, 230]], np.uint8))  # each by itself: they need not sum to 1
    np.testing.assert_array_equal(SHARES.shares(sigmoids), sigmoids)
    assert SHARES.shares(np.zeros((1, 3), np.float32)).tolist() == [[0.0, 0.0, 0.0]]
