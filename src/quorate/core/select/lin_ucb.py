"""LinUCB: the strategy with the highest ``x' theta + exploration sqrt(x' V^-1 W V^-1 x)`` for the request's features x.

The choice follows from state and request alone, so ``floor`` keeps every strategy possible; equal bounds share.

References: L. Li et al., WWW 2010, algorithm 1; Y. Russac et al., NeurIPS 2019, algorithm 1 (with forgetting:
D-LinUCB). See :mod:`quorate.core.select.linear`.
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
        # Columns that were never anything but 0 (flags of what was never missing) are left out: of those only the
        # prior is known, and a matrix of half the width is multiplied in a quarter of the time.
        seen = np.flatnonzero(arrays["products"].diagonal(axis1=1, axis2=2).any(0))
        block = np.ix_(np.arange(len(v)), seen, seen)
        # F with F'F = V^-1 W V^-1: |F x|^2 keeps its digits in single precision, which is twice as fast.
        root = np.linalg.cholesky((v if w is None else w)[block])
        if w is None:
            root = np.linalg.solve(root, np.broadcast_to(np.eye(len(seen)), root.shape))
        else:
            root = np.linalg.solve(v[block], root).transpose(0, 2, 1)
        return published | {"weights": weights, "doubt": np.ascontiguousarray(root, np.float32), "seen": seen}

    def bounds(self, state: State, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]) -> Floats:
        """The upper confidence bound of each strategy ``[k]``."""
        arrays = state.arrays
        x = self._vector(arrays, context, facts)
        doubt, known = arrays["doubt"], x[arrays["seen"]]
        k, d, _ = doubt.shape
        spread = (doubt.reshape(k * d, d) @ known.astype(np.float32)).reshape(k, d)
        variance = np.einsum("kd,kd->k", spread, spread)
        variance += max(float(x @ x - known @ known), 0.0) / self.params.ridge
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
