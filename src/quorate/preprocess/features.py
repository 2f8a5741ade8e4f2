"""Preprocessed rows as features: what a combiner looks at besides the members' outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from quorate.core.types import FloatArray, Tensors, TensorSpec
from quorate.errors import InvalidInput


def features_of(tensors: Tensors) -> FloatArray:
    """All tensors of prepared rows side by side, each row flattened: float32 ``[n, d]``.

    :class:`InvalidInput` for one that holds no numbers.

    >>> features_of({"x": np.ones((2, 1, 3)), "z": np.zeros(2)}).tolist()
    [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]]
    """
    for name, tensor in tensors.items():
        if tensor.dtype.kind not in "fiub":
            raise InvalidInput(f"'{name}' holds no numbers ({tensor.dtype}), so its rows are no features.", path=name)
    flat = [tensor.reshape(len(tensor), -1) for tensor in tensors.values()]
    return (flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)).astype(np.float32, copy=False)


def width_of(tensors: Iterable[TensorSpec]) -> int | None:
    """The d of :func:`features_of` for such tensors; None where a length is not fixed or one holds no numbers."""
    total = 0
    for spec in tensors:
        lengths = [length for length in spec.shape[1:] if length is not None]
        if spec.dtype in ("str", "bytes") or len(lengths) < len(spec.shape) - 1:
            return None
        total += math.prod(lengths)
    return total
