"""The contract of a policy: which strategy answers this request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.base import NoParams
from quorate.core.types import Decision, Outcome, Scalar, State


class Policy(ABC):
    """Stateless: learned state is an argument, and lives in the snapshot. Probabilities are exact; others sample."""

    kind: ClassVar[str]
    Params: ClassVar[type[Any]] = NoParams
    learns: ClassVar[bool] = False
    constant: ClassVar[bool] = False
    """The same probabilities for every state and context."""

    def __init__(self, strategies: Sequence[str], params: Any = None) -> None:
        self.strategies = tuple(strategies)
        self.params = params if params is not None else self.Params()

    @abstractmethod
    def check(self) -> None:
        """Raise :class:`~quorate.errors.ConfigError` if the parameters do not fit the strategies."""

    @abstractmethod
    def distribution(self, state: State | None, context: Mapping[str, Scalar]) -> NDArray[np.float64]:
        """Probability of each strategy, float64 ``[k]``, non-negative, sums to 1."""

    def initial(self) -> State | None:
        """The state before anything was learned; None for policies that do not learn."""
        return None

    def update(self, state: State | None, decision: Decision, outcome: Outcome) -> State | None:
        """The state after one outcome; policies that do not learn return it unchanged."""
        return state
