"""What every runtime checks in the same words: options, the tensors that go in, the answer that comes out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import Artifact, FloatArray, OutputSpec, Tensors, TensorSpec
from quorate.errors import FormatRefused, SignatureViolation

_TEXT_KINDS = {"str": "OU", "bytes": "OS"}
_MESSAGE_LIMIT = 300
_TOLERANCE = 1e-2


def one_line(error: BaseException) -> str:
    """An exception as the end of a sentence: its type and the start of its message, on one line.

    >>> one_line(ValueError("bad\\nthing"))
    'ValueError: bad thing'
    """
    try:
        text = " ".join(str(error).encode(errors="replace").decode().split())  # it may have to travel
    except Exception:  # a member's exception may be broken too
        text = "(its message cannot be shown)"
    if len(text) > _MESSAGE_LIMIT:
        text = text[:_MESSAGE_LIMIT] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def only_file(artifact: Artifact, suffix: str) -> Path:
    """The path of the one file with that suffix; :class:`FormatRefused` if there is none, or more than one."""
    found = [name for name in artifact.files if name.endswith(suffix)]
    if len(found) != 1:
        raise FormatRefused(
            f"Model '{artifact.name}' must have exactly one {suffix} file; got {len(found)} "
            f"({', '.join(found) or 'none'}); register it again with one.",
            path=artifact.name,
        )
    return artifact.folder / found[0]


def check_options(artifact: Artifact, known: Collection[str]) -> None:
    """:class:`FormatRefused` if the artifact sets an option that its runtime does not read."""
    unknown = sorted(set(artifact.options) - set(known))
    if unknown:
        raise FormatRefused(
            f"Model '{artifact.name}' sets the option '{unknown[0]}', which its runtime does not have; "
            f"expected {', '.join(sorted(known))}; register it again without.",
            path=f"{artifact.name}.options.{unknown[0]}",
        )


def whole_option(artifact: Artifact, name: str, default: int | None, highest: int) -> int | None:
    """An option that is a whole number in ``1..highest``; :class:`FormatRefused` if it is something else."""
    value = artifact.options.get(name, default)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= highest):
        raise FormatRefused(
            f"Model '{artifact.name}' sets {name} to {value!r}; expected a whole number in 1..{highest}.",
            path=f"{artifact.name}.options.{name}",
        )
    return value


class InputCheck:
    """Checks that tensors are the ones a model declares: names, dtypes, ranks and fixed lengths.

    Calling it returns the number of rows, which is at least one: libraries disagree on what an empty batch
    means, so it is refused here. About 1 µs per tensor.
    """

    __slots__ = ("_model", "_rules")

    def __init__(self, model: str, tensors: Sequence[TensorSpec]) -> None:
        self._model = model
        self._rules = tuple(
            (
                spec,
                None if spec.dtype in _TEXT_KINDS else np.dtype(spec.dtype),
                len(spec.shape),
                tuple((axis, size) for axis, size in enumerate(spec.shape) if axis and size is not None),
            )
            for spec in tensors
        )

    def named(self, inputs: Tensors) -> Tensors:
        """Tensors under the model's own names: a model of one tensor takes the one it is given, whatever its name."""
        if len(self._rules) == 1 and len(inputs) == 1:
            name = self._rules[0][0].name
            if name not in inputs:
                return {name: next(iter(inputs.values()))}
        return inputs

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> int:
        """The number of rows; :class:`SignatureViolation` if something is not as declared."""
        rows = 0
        for spec, dtype, rank, fixed in self._rules:
            array = inputs.get(spec.name)
            if not isinstance(array, np.ndarray):
                raise self._refused(spec, "no such tensor" if array is None else f"a {type(array).__name__}")
            if array.dtype != dtype if dtype is not None else array.dtype.kind not in _TEXT_KINDS[spec.dtype]:
                raise self._refused(spec, _describe(array))
            shape = array.shape
            if len(shape) != rank:
                raise self._refused(spec, _describe(array))
            for axis, size in fixed:
                if shape[axis] != size:
                    raise self._refused(spec, _describe(array))
            if shape[0] == 0 or (rows and shape[0] != rows):
                raise self._refused(
                    spec, f"{_describe(array)}; every tensor needs the same number of rows, at least one"
                )
            rows = shape[0]
        if len(inputs) != len(self._rules):
            known = [spec.name for spec, *_ in self._rules]
            extra = next(name for name in inputs if name not in known)
            raise SignatureViolation(
                f"Model '{self._model}' has no input '{extra}'; it takes {', '.join(known)}.", path=extra
            )
        return rows

    def _refused(self, spec: TensorSpec, got: str) -> SignatureViolation:
        return SignatureViolation(f"Model '{self._model}' expects {spec}; got {got}.", path=spec.name)


def as_answer(artifact: Artifact, value: Any, rows: int) -> FloatArray:
    """A model's raw output as float32 ``[rows, width]``; ``[rows]`` will do where the width is one.

    Numbers that are not finite pass through: they spoil their own row only (see :func:`usable`).
    :class:`SignatureViolation` if the shape or the type is another.
    """
    array = value
    if not isinstance(array, np.ndarray):
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.asarray(None)
    width = artifact.signature.output.width
    if array.dtype.kind in "fiu" and (array.shape == (rows, width) or (width == 1 and array.shape == (rows,))):
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is not usable
            return np.asarray(array, dtype=np.float32).reshape(rows, width)
    got = "None" if value is None else _describe(array)
    raise SignatureViolation(
        f"Model '{artifact.name}' must answer {artifact.output_name}[{rows},{width}] float32; got {got}.",
        path=artifact.name,
    )


def usable(values: FloatArray, output: OutputSpec) -> NDArray[np.bool_]:
    """Which rows of ``values`` ``[n, width]`` keep the signature's promise, as bool ``[n]``.

    Values must be finite; scores must also be non-negative with a sum of 1 (both within 0.01: float16 models round).
    """
    good: NDArray[np.bool_]
    if output.kind == "values":
        good = np.all(np.isfinite(values), axis=1)
    else:
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity fail both comparisons, as they should
            sums, lowest = values.sum(axis=1), values.min(axis=1)
            good = np.less_equal(np.abs(sums - 1.0), _TOLERANCE) & np.greater_equal(lowest, -_TOLERANCE)
    return good


def _describe(array: NDArray[Any]) -> str:
    return f"[{','.join(map(str, array.shape))}] {array.dtype}"
