"""Weighted: an average in which better members count more.

``answer_i = sum_{j in A_i} w_j x_ij / sum_{j in A_i} w_j`` with A_i the ok members of row i. The weights are declared,
or fitted: ``w_j = log(p_j / (1 - p_j)) + log(K - 1)`` from accuracies p_j over K classes is the optimal weight of
independent voters and that of SAMME boosting.

Negative weights are refused: a member worse than chance would push scores below 0 and out of the simplex. Where only
members of weight 0 answered, they count equally.

References: S. Nitzan, J. Paroush, "Optimal decision rules in uncertain dichotomous choice situations", International
Economic Review 23(2), 1982; J. Zhu, H. Zou, S. Rosset, T. Hastie, "Multi-class AdaBoost", Statistics and Its
Interface 2(3), 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.average import average
from quorate.core.combine.base import Combiner
from quorate.core.combine.checks import check_output, check_state, check_weights
from quorate.core.types import FloatArray, OutputSpec, State, StatusArray
from quorate.errors import ConfigError

VERSION = 1
"""Format of the fitted state: meta ``members`` (names, in order), array ``weights`` float64 ``[m]``."""

LEAST_WEIGHT = 1e-3
"""The fitted weight of a member no better than chance: next to nothing beside others, yet it can answer alone."""


@dataclass(frozen=True, slots=True)
class WeightedParams:
    """``weights``: one per member, in the members' order; None where a fitted state gives them."""

    weights: tuple[float, ...] | None = None


class Weighted(Combiner):
    """Weighted average of probabilities or of values.

    >>> outputs = np.array([[[1.0, 0.0], [0.0, 1.0]]], np.float32)
    >>> Weighted(WeightedParams((3.0, 1.0))).combine(outputs, np.zeros((1, 2), np.int8)).tolist()
    [[0.75, 0.25]]
    """

    kind = "weighted"
    Params = WeightedParams
    output_kinds = frozenset({"scores", "values"})
    missing = "the weights are renormalised over the members that answered; if all of those weigh 0, they count equally"

    def check(self, members: Sequence[str], output: OutputSpec, state: State | None) -> None:
        """One weight >= 0 per member, at least one above 0, either declared or in a state fitted on these members."""
        check_output(self, output)
        if (state is None) == (self.params.weights is None):
            got = "neither" if state is None else "both"
            raise ConfigError(f"'weighted' needs either weights or a fitted state; got {got}.", path="weights")
        if state is not None:
            check_state(self, state, VERSION, members)
        check_weights(self._weights(state), members, "weights" if state is None else "state")

    def combine(
        self,
        outputs: FloatArray,
        status: StatusArray,
        state: State | None = None,
        features: NDArray[Any] | None = None,
    ) -> FloatArray:
        """Weighted average over ok members; see :meth:`Combiner.combine`."""
        return average(outputs, status, self._weights(state)).astype(np.float32)

    def worth(self, members: Sequence[str], state: State | None) -> tuple[float, ...]:
        """Its weights; see :meth:`Combiner.worth`."""
        return tuple(self._weights(state).tolist())

    def _weights(self, state: State | None) -> NDArray[np.float64]:
        return np.asarray(self.params.weights if state is None else state.arrays["weights"], np.float64)


def log_odds(accuracies: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """Weights ``log(p / (1 - p)) + log(K - 1)`` from accuracies p inside (0, 1), at least :data:`LEAST_WEIGHT`.

    >>> log_odds(np.array([0.9, 0.5, 0.1]), 2).round(3).tolist()
    [2.197, 0.001, 0.001]
    """
    weights: NDArray[np.float64] = np.log(accuracies / (1 - accuracies)) + np.log(max(classes - 1, 1))
    return np.maximum(weights, LEAST_WEIGHT)
