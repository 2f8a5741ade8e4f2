"""Options by which an ONNX file that was made for something else keeps the promises of a member.

``activation: softmax`` turns the logits that a network answers into probabilities. ``rows: alone`` runs one row at a
time: for networks that were quantised dynamically (``DynamicQuantizeLinear`` takes its scale from the whole batch, so a
row's answer depends on the rows beside it), and for files that take exactly one row. The file stays as it came, digest
and all; a runtime and a fused graph (:mod:`quorate.runtimes.compile`) do the same to what it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import Artifact, FloatArray, Tensors
from quorate.errors import FormatRefused

ACTIVATION, ROWS, PURE = "activation", "rows", "pure"
OPTIONS = (ACTIVATION, ROWS)
SOFTMAX = "softmax"
ALONE, TOGETHER = "alone", "together"

Run = Callable[[Sequence[str], Tensors], Sequence[NDArray[Any]]]


def answers_logits(artifact: Artifact) -> bool:
    """Whether a softmax belongs behind the model's output; :class:`FormatRefused` for any other ``activation``."""
    value = artifact.options.get(ACTIVATION)
    if value is None:
        return False
    if value != SOFTMAX:
        raise _refused(artifact, ACTIVATION, value, f"expected {SOFTMAX}, or no such option")
    if artifact.signature.output.kind != "scores":
        raise _refused(artifact, ACTIVATION, value, f"its output is {artifact.signature.output.kind}, not scores")
    return True


def runs_alone(artifact: Artifact) -> bool:
    """Whether rows must be run one by one; :class:`FormatRefused` for any other ``rows`` than alone and together."""
    value = artifact.options.get(ROWS, TOGETHER)
    if value not in (ALONE, TOGETHER):
        raise _refused(artifact, ROWS, value, f"expected {ALONE} or {TOGETHER}")
    return bool(value == ALONE)


def is_pure(artifact: Artifact) -> bool:
    """Whether a callable is declared to do nothing but answer, the same rows always alike: then it may be run twice.

    :class:`FormatRefused` for any other ``pure`` than true and false.
    """
    value = artifact.options.get(PURE, False)
    if not isinstance(value, bool):
        raise _refused(artifact, PURE, value, "expected true or false")
    return value


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities ``[n, k]``: ``exp(x - max) / sum``; a row with a number that is not finite becomes NaN.

    >>> softmax(np.array([[0.0, 0.0]], np.float32)).tolist()
    [[0.5, 0.5]]
    """
    with np.errstate(invalid="ignore"):
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return result


def run_alone(run: Run, outputs: Sequence[str], inputs: Tensors, rows: int) -> list[NDArray[Any]]:
    """The outputs of as many runs as there are rows, each of one row, put together again."""
    parts = [run(outputs, {name: array[row : row + 1] for name, array in inputs.items()}) for row in range(rows)]
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _refused(artifact: Artifact, option: str, value: Any, why: str) -> FormatRefused:
    return FormatRefused(
        f"Model '{artifact.name}' sets {option} to {value!r}; {why}.", path=f"{artifact.name}.options.{option}"
    )
