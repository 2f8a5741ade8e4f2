"""Fixed: one strategy answers every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quorate.core.select.base import Policy
from quorate.core.types import Scalar, State
from quorate.errors import ConfigError


@dataclass(frozen=True, slots=True)
class FixedParams:
    """``strategy``: the name of the one that answers."""

    strategy: str


class Fixed(Policy):
    """Probability 1 for one strategy.

    >>> Fixed(["bagging", "boosting"], FixedParams("boosting")).distribution(None, {}, {}).tolist()
    [0.0, 1.0]
    """

    kind = "fixed"
    constant = True
    Params = FixedParams

    def check(self) -> None:
        """The strategy exists."""
        if self.params.strategy not in self.strategies:
            raise ConfigError(
                f"there is no strategy '{self.params.strategy}'; expected one of {', '.join(self.strategies)}.",
                path="strategy",
            )

    def distribution(
        self, state: State | None, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]
    ) -> NDArray[np.float64]:
        """One at the strategy, zero elsewhere; see :meth:`Policy.distribution`."""
        probability = np.zeros(len(self.strategies))
        probability[self.strategies.index(self.params.strategy)] = 1.0
        return probability
