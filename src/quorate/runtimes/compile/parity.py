"""How far a member's answer in a graph may be from the answer that it gives by itself."""

from __future__ import annotations

import numpy as np

from quorate.core.types import Artifact, FloatArray, Tensors
from quorate.errors import ParityError
from quorate.runtimes.onnx import OnnxRuntime

TOLERANCE = 1e-6
"""For operators as they came: the same kernels on the same numbers.

Measured, that is bit for bit equal for linear models, forests, neural nets and machines, also where operator sets were
raised. A few float32 roundings are left for optimisers that fuse across members; a wrong edge or weight is off by far
more.
"""

REWRITTEN = 1e-5
"""For members with rewritten operators: the same sums in another order, in float32.

A sum of some hundred terms, each rounded to 6e-8 of its size, is off by up to about 1e-6; Platt's slope and the factors
of a kernel multiply that by a few. It is a tenth of what the export from the training library may differ by.
"""


def own_answers(artifact: Artifact, inputs: Tensors) -> FloatArray:
    """What a member says by itself, float32 ``[n, k]``."""
    session = OnnxRuntime().load(artifact)
    try:
        answer: FloatArray = session.run(inputs)[artifact.output_name]
    finally:
        session.close()
    return answer


def compare(name: str, artifact: Artifact, expected: FloatArray, got: FloatArray, tolerance: float) -> float:
    """The largest difference of two answers ``[n, k]``, relative to what is larger than 1.

    That is the expected number, or, for values, the median size of its column: sums of large terms that nearly cancel
    out are no more exact than those that do not. :class:`ParityError` if it is above ``tolerance``, or if a row's
    largest class is another.
    """
    same = (expected == got) | (np.isnan(expected) & np.isnan(got))
    with np.errstate(invalid="ignore"):
        size = np.maximum(1.0, np.abs(expected))
        if artifact.signature.output.kind == "values":
            size = np.fmax(size, np.median(np.abs(expected), axis=0))
        difference = np.abs(expected - got) / size
    worst = float(np.max(np.where(same, 0.0, difference)))
    if not worst <= tolerance:  # so that NaN is a difference
        raise ParityError(
            f"Member '{name}' answers differently in the fused graph: off by {worst:.2g}; "
            f"expected at most {tolerance}; serve it by itself.",
            path=name,
        )
    if artifact.signature.output.kind == "scores" and not np.array_equal(expected.argmax(1), got.argmax(1)):
        row = int(np.argmax(expected.argmax(1) != got.argmax(1)))
        raise ParityError(f"Member '{name}' gives row {row} another label in the fused graph.", path=name)
    return worst
