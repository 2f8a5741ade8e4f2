"""LinUCB: the strategy with the highest ``x' theta + exploration sqrt(x' V^-1 W V^-1 x)`` for the request's features x.

The choice follows from state and request alone, so ``floor`` keeps every strategy possible; equal bounds share.

References: L. Li et al., WWW 2010, algorithm 1; Y. Russac et al., NeurIPS 2019, algorithm 1 (with forgetting: D-LinUCB).
See :mod:`quorate.core.select.linear`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quorate.core.select.evidence import Floats
from quorate.core.select.learner import Arrays, setting
from quorate.core.select.linear import Linear, LinearParams
from quorate.core.types import Scalar, State


@dataclass(frozen=True, slots=True)
class LinUcbParams(LinearParams):
    """See :mod:`quorate.core.select.lin_ucb` and :class:`LinearParams`."""

    exploration: float = setting(0.25, "How much doubt counts in a strategy's favour.")


class LinUcb(Linear):
    """Upper confidence bounds of linear models."""

    kind = "lin_ucb"
    Params = LinUcbParams

    def check(self) -> None:
        """Doubt counts 0 or more; see :meth:`Linear.check`."""
        super().check()
        self._at_least("exploration", self.params.exploration, 0.0)

    def _publish(self, arrays: Arrays) -> Arrays:
        published, weights, v, w = self._solve(arrays)
        # F with F'F = V^-1 W V^-1: |F x|^2 keeps its digits in single precision, which is twice as fast.
        if w is None:
            root = np.linalg.solve(np.linalg.cholesky(v), np.broadcast_to(np.eye(v.shape[1]), v.shape))
        else:
            root = np.linalg.solve(v, np.linalg.cholesky(w)).transpose(0, 2, 1)
        return published | {"weights": weights, "doubt": np.ascontiguousarray(root, np.float32)}

    def bounds(self, state: State, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]) -> Floats:
        """The upper confidence bound of each strategy ``[k]``."""
        arrays = state.arrays
        x = self._vector(arrays, context, facts)
        doubt = arrays["doubt"]
        k, d, _ = doubt.shape
        spread = (doubt.reshape(k * d, d) @ x.astype(np.float32)).reshape(k, d)
        variance = np.einsum("kd,kd->k", spread, spread)
        found: Floats = arrays["weights"] @ x + self.params.exploration * np.sqrt(variance)
        return found

    def distribution(
        self, state: State | None, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]
    ) -> NDArray[np.float64]:
        """The strategy with the highest bound, under the floors; see :meth:`Policy.distribution`."""
        state = state or self.initial()
        bounds = self.bounds(state, context, facts)
        # What differs by rounding is equal.
        highest = bounds >= bounds.max() - 1e-7
        return self._share(highest / highest.sum(), state.arrays)
