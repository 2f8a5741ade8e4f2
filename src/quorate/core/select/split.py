"""Split: strategies share the traffic in declared proportions, as in an A/B test. ``p_s = w_s / sum_t w_t``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quorate.core.select.base import Policy
from quorate.core.types import Scalar, State
from quorate.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SplitParams:
    """``weights``: strategy name to weight >= 0; a strategy that is not named gets no traffic."""

    weights: Mapping[str, float]


class Split(Policy):
    """Declared, constant probabilities.

    >>> Split(["a", "b", "c"], SplitParams({"a": 3, "c": 1})).distribution(None, {}, {}).tolist()
    [0.75, 0.0, 0.25]
    """

    kind = "split"
    constant = True
    Params = SplitParams

    def check(self) -> None:
        """Only known strategies, finite weights >= 0, at least one above 0."""
        weights = self.params.weights
        for name, weight in weights.items():
            if name not in self.strategies:
                raise ConfigError(
                    f"there is no strategy '{name}'; expected some of {', '.join(self.strategies)}.",
                    path=f"weights.{name}",
                )
            if not math.isfinite(weight) or weight < 0:
                raise ConfigError(
                    f"the weight of '{name}' must be a finite number >= 0; got {weight}.", path=f"weights.{name}"
                )
        if not any(weights.values()):
            raise ConfigError("at least one strategy needs a weight above 0; got none.", path="weights")

    @cached_property
    def _probabilities(self) -> NDArray[np.float64]:
        weights = np.array([self.params.weights.get(name, 0.0) for name in self.strategies], np.float64)
        # Divided by the largest first, so that huge weights do not overflow in the sum.
        weights /= weights.max()
        probabilities: NDArray[np.float64] = weights / weights.sum()
        return probabilities

    def distribution(
        self, state: State | None, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]
    ) -> NDArray[np.float64]:
        """The declared weights over their sum; see :meth:`Policy.distribution`."""
        return self._probabilities.copy()
