"""A linear layer behind a network's own output: what a network that others trained is taught for one's own classes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quorate.core.types import FloatArray
from quorate.errors import FormatRefused

SUFFIX = ".npz"
WEIGHTS, BIAS = "weights", "bias"


class Head(NamedTuple):
    """``features @ weights + bias``: ``weights`` float32 ``[features, width]``, ``bias`` float32 ``[width]``."""

    weights: FloatArray
    bias: FloatArray

    def __call__(self, features: FloatArray) -> FloatArray:
        """Answers ``[n, width]`` to features ``[n, features]``."""
        found: FloatArray = features @ self.weights
        found += self.bias
        return found


def read_head(path: Path, *, name: str) -> Head:
    """The head in an ``.npz`` file; :class:`FormatRefused` if it is not two arrays of finite numbers that fit."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            found = Head(*(np.asarray(stored[key]) for key in (WEIGHTS, BIAS)))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FormatRefused(
            f"Model '{name}' has a head that cannot be read ({type(error).__name__}); save it with "
            f"numpy.savez(file, {WEIGHTS}=[features, classes], {BIAS}=[classes]).",
            path=name,
        ) from None
    weights, bias = found
    numbers = all(array.dtype.kind == "f" and np.isfinite(array).all() for array in found)
    if not numbers or weights.ndim != 2 or bias.shape != weights.shape[1:] or 0 in weights.shape:
        raise FormatRefused(
            f"Model '{name}' has a head of {WEIGHTS}{list(weights.shape)} {weights.dtype} and {BIAS}"
            f"{list(bias.shape)} {bias.dtype}; expected finite numbers [features, classes] and [classes].",
            path=name,
        )
    return Head(np.ascontiguousarray(weights, np.float32), np.ascontiguousarray(bias, np.float32))
