"""The contract of a policy: which strategy answers this request, and what it learns from what becomes known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.params import NoParams
from quorate.core.types import Scalar, State


class Feedback(NamedTuple):
    """What is known of one row of one decision, for a policy to learn from.

    ``propensities`` are of all the policy's strategies, in their order, and ``assigned`` is the index of the one drawn.
    ``rewards`` float64 ``[k]``, higher is better, NaN where not known: with the truth known every strategy has one
    (their answers follow from the members' logged outputs), otherwise the assigned one alone. ``at`` is when the
    request arrived (Unix seconds), ``error`` whether it was answered with an error.
    """

    context: Mapping[str, Scalar]
    facts: Mapping[str, Scalar]
    propensities: tuple[float, ...]
    assigned: int
    rewards: NDArray[np.float64]
    at: float
    latency_ms: float
    error: bool = False


class Policy(ABC):
    """Stateless: learned state is an argument, and lives in the snapshot. Probabilities are exact; others sample.

    Class attributes declare what a subclass is: ``kind`` (its name in ``quorate.yaml``), ``Params`` (a frozen dataclass
    of its own settings), ``learns`` (it has state), ``watches`` (it also learns from decisions of which no reward is
    known yet: their latency and errors; each comes once, before its rewards).
    """

    kind: ClassVar[str]
    Params: ClassVar[type[Any]] = NoParams
    learns: ClassVar[bool] = False
    watches: ClassVar[bool] = False
    constant: ClassVar[bool] = False
    """The same probabilities for every state and context."""

    def __init__(self, strategies: Sequence[str], params: Any = None) -> None:
        self.strategies = tuple(strategies)
        self.params = params if params is not None else self.Params()

    @abstractmethod
    def check(self) -> None:
        """Raise :class:`~quorate.errors.ConfigError` if the parameters do not fit the strategies."""

    def facts(self) -> frozenset[str]:
        """Names of the facts that :meth:`distribution` looks at, as in ``core/facts.py``; no others are gathered."""
        return frozenset()

    @abstractmethod
    def distribution(
        self, state: State | None, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]
    ) -> NDArray[np.float64]:
        """Probability of each strategy, float64 ``[k]``, non-negative, sums to 1.

        ``context`` is what the caller sent with the request, ``facts`` what was found out about it and the server.
        """

    def initial(self) -> State | None:
        """The state before anything was learned; None for policies that do not learn."""
        return None

    def learn(self, state: State | None, feedback: Sequence[Feedback]) -> State | None:
        """The state after some feedback, oldest first; all at once and one by one come to the same.

        Policies that do not learn return the state unchanged.
        """
        return state
