"""Stack: a linear model on the members' outputs, with its own coefficients for every fitted set of present members.

For row i, ok members A_i and, for scores, ``z_ij = log(max(x_ij, clip))``; for values, ``z_ij = x_ij``:
``answer_i = g(sum_{j in A_i} z_ij W_j^{A_i} + b^{A_i})`` with g = softmax for scores (multinomial logistic regression)
and the identity for values (linear regression). W and b are fitted separately for each set A, so that an answer with
a missing member is calibrated too; a row whose set was not fitted gets the plain mean of its ok members. Clipping keeps
the logarithm finite and limits what one member that says "impossible" can do.

References: D. Wolpert, "Stacked generalization", Neural Networks 5(2), 1992; K. M. Ting, I. H. Witten, "Issues in
stacked generalization", JAIR 10, 1999.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.average import OK, average
from quorate.core.combine.base import Combiner
from quorate.core.combine.checks import check_output, check_state
from quorate.core.types import FloatArray, OutputSpec, State, StatusArray
from quorate.errors import ConfigError

VERSION = 1
"""Format of the fitted state.

Meta: ``output`` (``scores`` or ``values``), ``members`` and ``classes`` (for values, the targets), both in order,
``clip`` (scores only). Arrays, for s sets of present members, the full set first: ``subsets`` bool ``[s, m]``,
``coefficients`` float64 ``[s, m * k, k]`` (member-major, 0 for absent members), ``intercepts`` float64 ``[s, k]``.
"""


class Stack(Combiner):
    """Logistic regression on log-probabilities, or linear regression on values, per set of present members."""

    kind = "stack"
    output_kinds = frozenset({"scores", "values"})
    needs_state = True
    missing = "coefficients fitted for the members that answered; the plain mean where that set was not fitted"

    def check(self, members: Sequence[str], output: OutputSpec, state: State | None) -> None:
        """A state fitted on these members and classes (or targets), complete and finite."""
        check_output(self, output)
        if state is None:
            raise ConfigError("'stack' needs a fitted state; name one from the registry under 'state'.", path="state")
        check_state(self, state, VERSION, members)
        labels = output.classes if output.kind == "scores" else output.names
        fitted = (state.meta.get("output"), tuple(state.meta.get("classes", ())))
        if fitted != (output.kind, labels):
            raise ConfigError(
                f"the state was fitted for {fitted[0]} [{', '.join(fitted[1])}]; the pool's models answer "
                f"{output.kind} [{', '.join(labels)}]. Fit it again on this pool.",
                path="state",
            )
        if not _sound(state, len(members), output):
            raise ConfigError(
                "the state's arrays do not fit its members and classes, or are not finite; fit it again.", path="state"
            )

    def combine(
        self,
        outputs: FloatArray,
        status: StatusArray,
        state: State | None = None,
        features: NDArray[Any] | None = None,
    ) -> FloatArray:
        """The fitted model's answer per row; see :meth:`Combiner.combine`."""
        if state is None:
            raise ConfigError("'stack' needs a fitted state; name one from the registry under 'state'.", path="state")
        if not np.count_nonzero(status):
            return _predict(outputs, state, 0).astype(np.float32)
        answer = average(outputs, status)
        ok = status == OK
        # 1 and 0 become the feature 0, so an absent member adds nothing.
        clean = np.where(ok[:, :, None], outputs, np.float32(state.meta["output"] == "scores"))
        fits = (ok[:, None] == state.arrays["subsets"]).all(axis=2)
        for subset in np.flatnonzero(fits.any(axis=0)).tolist():
            rows = fits[:, subset]
            answer[rows] = _predict(clean[rows], state, subset)
        return answer.astype(np.float32)


def member_features(outputs: FloatArray, clip: float | None) -> NDArray[np.float64]:
    """What the linear model sees of ``outputs`` ``[n, m, k]``: float64 ``[n, m * k]``, logs where ``clip`` is given."""
    n, m, k = outputs.shape
    flat = outputs.reshape(n, m * k)
    if clip is None:
        return flat.astype(np.float64)
    found: NDArray[np.float64] = np.log(np.maximum(flat, clip, dtype=np.float64))
    return found


def _predict(outputs: FloatArray, state: State, subset: int) -> NDArray[np.float64]:
    meta, arrays = state.meta, state.arrays
    scores = meta["output"] == "scores"
    answer: NDArray[np.float64] = (
        member_features(outputs, meta["clip"] if scores else None) @ arrays["coefficients"][subset]
    )
    answer += arrays["intercepts"][subset]
    if scores:
        answer -= np.maximum.reduce(answer, axis=1, keepdims=True)
        np.exp(answer, out=answer)
        answer /= np.add.reduce(answer, axis=1, keepdims=True)
    return answer


def _sound(state: State, m: int, output: OutputSpec) -> bool:
    k = output.width
    try:
        subsets, coefficients, intercepts = (state.arrays[a] for a in ("subsets", "coefficients", "intercepts"))
        clipped = output.kind == "values" or 0.0 < state.meta["clip"] < 1.0
    except (KeyError, TypeError):
        return False
    s = len(subsets)
    shapes = (subsets.shape, coefficients.shape, intercepts.shape) == ((s, m), (s, m * k, k), (s, k))
    return bool(
        clipped
        and s
        and shapes
        and subsets[0].all()
        and np.isfinite(coefficients).all()
        and np.isfinite(intercepts).all()
    )
