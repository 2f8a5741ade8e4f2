"""The parity gate: what was evaluated is what is served, shown on held-out rows before anything is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import ParityError, RegistryError
from quorate.registry.signatures import NUMBERS

Raw = dict[str, NDArray[Any] | list[bytes]]
Predict = Callable[[Raw], NDArray[Any]]

TOLERANCE = 1e-4
SINGLE_ROWS = 8
GENERATED_ROWS = 8
_TIE = 1e-6
_SUM = 1e-3
_SIDE = 32


class Difference(NamedTuple):
    """How far two outputs are apart: the largest difference, its row, and how many labels differ."""

    largest: float
    row: int
    labels: int

    def within(self, tolerance: float) -> bool:
        """Whether nothing differs by more, and no label."""
        return self.largest <= tolerance and not self.labels


def compare(output: OutputSpec, got: NDArray[Any], want: NDArray[Any]) -> Difference:
    """Compare outputs [n, k].

    Scores: absolute differences and labels; where ``want`` ties (to float32 rounding), any of the tied is its label.
    Values: differences relative to the larger of the wanted value and its column's median size.
    """
    wanted = want.astype(np.float64)
    difference = np.abs(got - wanted)
    labels = 0
    if output.kind == "values":
        size = np.maximum(np.abs(wanted), np.median(np.abs(wanted), axis=0))
        difference /= np.maximum(size, np.finfo(np.float32).tiny)
    else:
        chosen = np.take_along_axis(wanted, got.argmax(axis=1)[:, None], axis=1)[:, 0]
        labels = int((chosen < wanted.max(axis=1) - _TIE).sum())
    per_row = difference.max(axis=1)
    return Difference(float(per_row.max()), int(per_row.argmax()), labels)


def check_against(output: OutputSpec, got: NDArray[Any], reference: NDArray[Any], tolerance: float) -> None:
    """Raise :class:`ParityError` with the figures unless ``got`` [n, k] answers as ``reference`` [n, k] does."""
    want = np.asarray(reference)
    want = want[:, None] if want.ndim == 1 and output.width == 1 else want
    if want.shape != got.shape or want.dtype.kind not in "fiu":
        raise ParityError(
            f"The reference is {want.dtype}{list(want.shape)}; the artifact answers float32{list(got.shape)}."
        )
    if not np.isfinite(want).all():
        raise ParityError("The reference has numbers that are not finite; compare on other rows.")
    found = compare(output, got, want)
    if not found.within(tolerance):
        raise ParityError(
            f"The artifact does not answer as its reference on {len(got)} held-out rows: {_figures(output, found)}; "
            f"at most {tolerance:g} and no other label are allowed. Convert it another way (scikit-learn: skops) or "
            "check the preprocessing.",
            path=f"sample[{found.row}]",
        )


def _figures(output: OutputSpec, found: Difference) -> str:
    kind = "relative difference" if output.kind == "values" else "difference in probability"
    return f"the largest {kind} is {found.largest:.3g} in row {found.row}, and {found.labels} labels differ"


def check_sound(
    output: OutputSpec, got: NDArray[Any], rows: int, *, remedy: str = "end it with a softmax, or calibrate the model"
) -> None:
    """Raise :class:`ParityError` unless ``got`` is finite, ``[rows, width]``, and scores are probabilities.

    ``remedy`` is what to do about scores that are none.
    """
    if got.shape != (rows, output.width):
        raise ParityError(f"The artifact answers {list(got.shape)}; expected {[rows, output.width]}.")
    bad = ~np.isfinite(got).all(axis=1)
    if bad.any():
        raise ParityError(f"The artifact answers numbers that are not finite in {bad.sum()} of {rows} held-out rows.")
    if output.kind == "scores":
        off = float(np.abs(got.sum(axis=1, dtype=np.float64) - 1).max())
        if off > _SUM or got.min() < -_SUM:
            raise ParityError(
                f"The artifact does not answer probabilities: rows sum to 1 within {off:.3g} (allowed: {_SUM:g}), "
                f"the smallest is {got.min():.3g}; {remedy}."
            )


def check_rows(output: OutputSpec, predict: Predict, raw: Raw, got: NDArray[Any], *, remedy: str = "") -> None:
    """Raise :class:`ParityError` unless single rows answer as they did in the batch, so that order is kept too.

    ``remedy`` is what can be done about it, if anything.
    """
    count = min(SINGLE_ROWS, len(got))
    single = np.concatenate([predict({name: value[i : i + 1] for name, value in raw.items()}) for i in range(count)])
    check_sound(output, single, count)
    found = compare(output, single, got[:count])
    if not found.within(TOLERANCE):
        raise ParityError(
            f"The artifact answers a row by itself otherwise than in a batch of {len(got)}: {_figures(output, found)}; "
            f"its rows must not depend on each other or on their order{remedy and '; '}{remedy}.",
            path=f"sample[{found.row}]",
        )


def plain(raw: Mapping[str, Any], signature: Signature) -> Raw:
    """Raw inputs as arrays or lists of encoded images; :class:`RegistryError` if they do not fit the signature."""
    names = {spec.name for spec in signature.inputs}
    if raw.keys() != names:
        raise RegistryError(f"Held-out rows need the inputs {sorted(names)}; got {sorted(raw)}.", path="sample")
    found: Raw = {}
    for name, value in raw.items():
        if isinstance(value, np.ndarray):
            found[name] = value
        elif value and all(isinstance(row, bytes) for row in value):
            found[name] = list(value)
        else:
            try:
                found[name] = np.asarray(value)
            except ValueError:
                raise RegistryError(
                    f"The held-out rows of '{name}' have different shapes; give encoded images, or one shape.",
                    path=f"sample.{name}",
                ) from None
    counts = {name: len(value) if isinstance(value, list) or value.ndim else 0 for name, value in found.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise RegistryError(f"Held-out rows must be as many in every input, at least one; got {counts}.", path="sample")
    return found


def generated(signature: Signature, seed: int = 0) -> Raw:
    """Random raw rows of a signature; :class:`RegistryError` if it leaves open what a row looks like.

    Rows of images and arrays differ in contrast, so that a model whose scale depends on its whole batch shows itself.
    """
    rng = np.random.default_rng(seed)
    return {spec.name: _generated(signature, spec, rng) for spec in signature.inputs}


def _generated(signature: Signature, spec: TensorSpec, rng: np.random.Generator) -> NDArray[Any]:
    if signature.input_kind == "image":
        height, width, *channels = [size or _SIDE for size in spec.shape[1:]] or [_SIDE, _SIDE, 3]
        pixels = rng.integers(0, 256, (GENERATED_ROWS, height, width, *channels), dtype=np.uint32)
        contrast = np.arange(1, GENERATED_ROWS + 1, dtype=np.uint32).reshape(-1, *(1 for _ in pixels.shape[1:]))
        return (pixels * contrast // GENERATED_ROWS).astype(np.uint8)
    if spec.dtype not in NUMBERS or None in spec.shape[1:]:
        raise RegistryError(
            f"No rows can be made up for '{spec}'; give held-out rows (`--sample`).", path=f"sample.{spec.name}"
        )
    shape = (GENERATED_ROWS, *(size for size in spec.shape[1:] if size is not None))
    if np.dtype(spec.dtype).kind == "f":
        scale = np.geomspace(0.25, 4.0, GENERATED_ROWS).reshape(-1, *(1 for _ in shape[1:]))
        return (rng.standard_normal(shape) * scale).astype(spec.dtype)
    return rng.integers(0, 2, shape).astype(spec.dtype)


def batches(raw: Raw, size: int) -> Sequence[Raw]:
    """The rows in order, at most ``size`` at a time."""
    rows = len(next(iter(raw.values())))
    return [{name: value[i : i + size] for name, value in raw.items()} for i in range(0, rows, size)]
