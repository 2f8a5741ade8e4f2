"""Numeric steps: normalise, flatten, matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.errors import InvalidInput
from quorate.preprocess.base import Context, Step
from quorate.preprocess.pixels import stacked


@dataclass(frozen=True, slots=True)
class NormaliseParams:
    """``mean`` and ``std`` are one number, or one per channel (the last axis); ``std`` is not 0."""

    scale: float = 1.0
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        numbers = [self.scale, *np.atleast_1d(self.mean).tolist(), *np.atleast_1d(self.std).tolist()]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("scale, mean and std must be finite")
        if 0.0 in np.atleast_1d(self.std):
            raise ValueError("std must not be 0")
        widths = {len(value) for value in (self.mean, self.std) if isinstance(value, tuple)}
        if 0 in widths or len(widths) > 1:
            raise ValueError("mean and std must have one number per channel, as many as each other")


class Normalise(Step):
    """``(x * scale - mean) / std`` in float32, computed as ``x * (scale / std) - mean / std``."""

    kind = "normalise"
    Params = NormaliseParams
    takes = frozenset({"pixels", "array"})
    gives = "array"

    def __init__(self, params: Any = None, version: int | None = None) -> None:
        super().__init__(params, version)
        mean, std = np.asarray(self.params.mean, np.float64), np.asarray(self.params.std, np.float64)
        self._factor = (self.params.scale / std).astype(np.float32)
        self._shift = (mean / std).astype(np.float32)
        self._channels = max((len(x) for x in (self._factor, self._shift) if x.ndim), default=None)

    def apply(self, batch: Any, context: Context) -> NDArray[np.float32]:
        array = stacked(batch, context)
        channels = self._channels
        if channels is not None and array.shape[-1] != channels:
            raise InvalidInput(
                f"'normalise' has {channels} channels; expected that as the last axis, got shape {_shape(array)}.",
                path=context.path,
            )
        result: NDArray[np.float32] = as_float32(array, context) * self._factor
        result -= self._shift
        return result


class Flatten(Step):
    """Every row becomes one vector: ``[n, …]`` to ``[n, k]``, last axis fastest."""

    kind = "flatten"
    takes = frozenset({"pixels", "array", "tensor"})
    gives = "array"

    def apply(self, batch: Any, context: Context) -> NDArray[Any]:
        array = stacked(batch, context)
        return array.reshape(len(array), math.prod(array.shape[1:]))


@dataclass(frozen=True, slots=True)
class MatrixParams:
    """``columns`` in the order the model was trained with."""

    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.columns or len(set(self.columns)) != len(self.columns):
            raise ValueError("columns must name at least one column, each once")


class Matrix(Step):
    """Numeric or boolean columns ``[n]`` side by side: float32 ``[n, k]`` in the declared order, NaN kept."""

    kind = "matrix"
    Params = MatrixParams
    takes = frozenset({"columns"})
    gives = "array"

    def apply(self, batch: Mapping[str, NDArray[Any]], context: Context) -> NDArray[np.float32]:
        names = self.params.columns
        for name in names:
            if name not in batch:
                raise InvalidInput(
                    f"Column '{name}' is missing; expected {', '.join(names)}.", path=f"{context.path}[0].{name}"
                )
        rows = len(batch[names[0]])
        matrix = np.empty((rows, len(names)), np.float32)
        for index, name in enumerate(names):
            column = batch[name]
            if column.shape != (rows,):
                raise InvalidInput(
                    f"Column '{name}' has shape {_shape(column)}; expected [{rows}] as column '{names[0]}'.",
                    path=f"{context.path}[{min(rows, len(column))}].{name}",
                )
            matrix[:, index] = as_float32(column, context, field=f".{name}")
        return matrix


def as_float32(array: NDArray[Any], context: Context, field: str = "") -> NDArray[np.float32]:
    """Cast to float32; :class:`InvalidInput` for what is no number, and for finite numbers that float32 cannot hold."""
    if array.dtype.kind not in "fiub":
        raise InvalidInput(
            f"Expected numbers{' in column ' + repr(field[1:]) if field else ''}, got {array.dtype}.",
            path=f"{context.path}[0]{field}",
        )
    if array.dtype != np.float64:
        return array.astype(np.float32)
    with np.errstate(over="ignore"):
        result = array.astype(np.float32)
    beyond = np.isinf(result) & np.isfinite(array)
    if beyond.any():
        row = int(np.nonzero(beyond)[0][0])
        raise InvalidInput(
            f"{array[beyond][0]:g} is beyond what float32 can hold (3.4e38).", path=f"{context.path}[{row}]{field}"
        )
    return result


def _shape(array: NDArray[Any]) -> str:
    return f"[{', '.join(map(str, array.shape))}]"
