"""A linear head from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quorate.errors import FormatRefused
from quorate.runtimes.head import read_head

RNG = np.random.default_rng(0)
WEIGHTS, BIAS = RNG.normal(size=(5, 3)), RNG.normal(size=3)


def test_it_is_a_linear_layer(tmp_path: Path) -> None:
    np.savez(tmp_path / "head.npz", weights=WEIGHTS, bias=BIAS)
    head = read_head(tmp_path / "head.npz", name="m")
    rows = RNG.normal(size=(7, 5)).astype(np.float32)
    found = head(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, rows @ WEIGHTS + BIAS, atol=1e-5)
    np.testing.assert_allclose(head(rows[2:3]), found[2:3], atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "bias", "message"),
    [
        (WEIGHTS, BIAS[:2], r"a head of weights\[5, 3\] float64 and bias\[2\] float64; expected finite numbers"),
        (WEIGHTS[0], BIAS, r"weights\[3\]"),
        (WEIGHTS * np.nan, BIAS, "expected finite"),
        (WEIGHTS.astype(int), BIAS, "int64"),
        (WEIGHTS[:0], BIAS, r"weights\[0, 3\]"),
        (WEIGHTS.astype(object), BIAS, "cannot be read"),  # a pickle inside
    ],
)
def test_what_is_no_head_is_refused(tmp_path: Path, weights: np.ndarray, bias: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "head.npz", weights=weights, bias=bias)
    with pytest.raises(FormatRefused, match=message):
        read_head(tmp_path / "head.npz", name="m")


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    for content in (b"", b"nothing", b"PK\x03\x04broken"):
        (tmp_path / "head.npz").write_bytes(content)
        with pytest.raises(FormatRefused, match=r"Model 'm' has a head that cannot be read \(\w+\); save it with"):
            read_head(tmp_path / "head.npz", name="m")
    np.savez(tmp_path / "head.npz", weights=WEIGHTS)
    with pytest.raises(FormatRefused, match="KeyError"):
        read_head(tmp_path / "head.npz", name="m")
