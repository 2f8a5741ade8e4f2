"""Mean: the plain average of the members, for probabilities known as soft voting or the linear opinion pool.

``answer_i = (1 / |A_i|) sum_{j in A_i} x_ij`` with A_i the ok members of row i.

Reference: M. Stone, "The opinion pool", Annals of Mathematical Statistics 32(4), 1961.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.average import average
from quorate.core.combine.base import Combiner
from quorate.core.combine.checks import check_no_state, check_output
from quorate.core.types import FloatArray, OutputSpec, State, StatusArray


class Mean(Combiner):
    """Plain average of probabilities or of values.

    >>> outputs = np.array([[[1.0, 0.0], [0.5, 0.5]]], np.float32)
    >>> Mean().combine(outputs, np.zeros((1, 2), np.int8)).tolist()
    [[0.75, 0.25]]
    """

    kind = "mean"
    output_kinds = frozenset({"scores", "values"})
    missing = "the average is taken over the members that answered"

    def check(self, members: Sequence[str], output: OutputSpec, state: State | None) -> None:
        """Any members, no state."""
        check_output(self, output)
        check_no_state(self, state)

    def combine(
        self,
        outputs: FloatArray,
        status: StatusArray,
        state: State | None = None,
        features: NDArray[Any] | None = None,
    ) -> FloatArray:
        """Average over ok members; see :meth:`Combiner.combine`."""
        return average(outputs, status).astype(np.float32)
