"""What all learning policies have in common: sums over rows, forgetting, guard rails, and what they publish."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from quorate.core.select import guard
from quorate.core.select.base import Feedback, Policy
from quorate.core.select.evidence import Evidence, Floats, Weights, gather, weigh
from quorate.core.types import Scalar, State
from quorate.errors import ConfigError

Arrays = dict[str, NDArray[Any]]
T = TypeVar("T")


def setting(default: T, description: str) -> T:
    """A parameter with a default and the sentence that the schema of ``quorate.yaml`` says about it."""
    declared: T = field(default=default, metadata={"description": description})
    return declared


@dataclass(frozen=True, slots=True)
class LearnerParams:
    """Settings of every learner; see :mod:`quorate.core.select.guard` and :mod:`~quorate.core.select.evidence`."""

    floor: float = setting(0.0, "The least share of every strategy.")
    baseline: str | None = setting(None, "The strategy that the policy must not fall behind.")
    tolerance: float = setting(0.05, "By how much reward a request it may, before the baseline gets the traffic.")
    discount: float = setting(1.0, "What a row still counts when the next one comes; 1: nothing is forgotten.")
    half_life_s: float | None = setting(None, "Seconds after which a request counts half; instead of a discount.")


class Learner(Policy):
    """A policy that learns from rewards. Subclasses say what they sum up (``_start``, ``_add``) and publish.

    State arrays of all: ``rows`` (how many were learned from), ``clock`` (the latest arrival), ``strange`` (rewards
    that were infinite, or cut to the range [0, 1], and rows that could not be used), ``guard`` (its sums) and
    ``guarded`` (1 while the baseline has the traffic).
    """

    learns = True
    Params = LearnerParams
    version: ClassVar[int] = 1
    cut: ClassVar[bool] = True
    """Rewards are cut to [0, 1]."""

    def check(self) -> None:
        """Floors that leave something, a baseline that exists, one way of forgetting."""
        p, k = self.params, len(self.strategies)
        if not 0.0 <= p.floor <= 1.0 / k:
            raise ConfigError(
                f"floor must lie between 0 and 1/{k}, as there are {k} strategies; got {p.floor:g}.", path="floor"
            )
        if p.baseline is not None and p.baseline not in self.strategies:
            raise ConfigError(
                f"there is no strategy '{p.baseline}'; expected one of {', '.join(self.strategies)}.", path="baseline"
            )
        if p.baseline is not None and p.floor == 0.0 and k > 1:
            raise ConfigError(
                "with a baseline the others need a floor above 0, or nothing would be learned of them while it has the "
                "traffic; got 0. Set one, like 0.02.",
                path="floor",
            )
        self._at_least("tolerance", p.tolerance, 0.0)
        if not 0.0 < p.discount <= 1.0:
            raise ConfigError(f"discount must be above 0 and at most 1; got {p.discount:g}.", path="discount")
        if p.half_life_s is not None:
            self._above("half_life_s", p.half_life_s, 0.0)
            if p.discount < 1.0:
                raise ConfigError("set discount or half_life_s, not both.", path="half_life_s")

    def initial(self) -> State:
        """Nothing learned yet."""
        k = len(self.strategies)
        arrays = {"rows": np.zeros(1), "clock": np.full(1, np.nan), "strange": np.zeros(1), "guard": guard.start()}
        return self._state(arrays | self._start(k))

    def learn(self, state: State | None, feedback: Sequence[Feedback]) -> State:
        """See :meth:`Policy.learn`. Every row with a reward counts once, as it is given."""
        state = self.initial() if state is None else state
        evidence = gather(feedback, len(self.strategies))
        strange = evidence.strange
        if self.cut:
            outside = int(((evidence.rewards < 0.0) | (evidence.rewards > 1.0)).sum())
            strange += outside
            evidence = evidence._replace(rewards=np.clip(evidence.rewards, 0.0, 1.0)) if outside else evidence
        arrays = dict(state.arrays)
        if not len(evidence.at):
            return State(self.kind, self.version, state.meta, arrays | {"strange": arrays["strange"] + strange})
        weights = weigh(evidence.at, float(arrays["clock"][0]), self.params.discount, self.params.half_life_s)
        if self._baseline is not None:
            arrays["guard"] = guard.add(arrays["guard"], evidence, weights.old, weights.new, self._baseline)
        strange += self._add(arrays, evidence, weights)
        arrays["rows"] = arrays["rows"] + len(evidence.at)
        arrays["clock"] = np.array([weights.clock])
        arrays["strange"] = arrays["strange"] + strange
        return self._state(arrays)

    @abstractmethod
    def _start(self, k: int) -> Arrays:
        """The learner's own sums, of nothing."""

    @abstractmethod
    def _add(self, arrays: Arrays, evidence: Evidence, weights: Weights) -> int:
        """Put new sums in the place of those in ``arrays`` (never into them); how many rows could not be used."""

    @abstractmethod
    def _publish(self, arrays: Arrays) -> Arrays:
        """What :meth:`distribution` needs, computed from the sums."""

    def _state(self, arrays: Arrays) -> State:
        guarded = self._baseline is not None and guard.lower_bound(arrays["guard"]) < -self.params.tolerance
        arrays["guarded"] = np.array([float(guarded)])
        return State(self.kind, self.version, {}, arrays | self._publish(arrays))

    @cached_property
    def _baseline(self) -> int | None:
        name = self.params.baseline
        return None if name is None else self.strategies.index(name)

    def _share(self, q: Floats, arrays: Mapping[str, NDArray[Any]]) -> Floats:
        return guard.share(
            q, self.params.floor, self._baseline, self._baseline is not None and arrays["guarded"][0] > 0
        )

    def _above(self, name: str, value: float, least: float) -> None:
        if not (math.isfinite(value) and value > least):
            raise ConfigError(f"{name} must be a number above {least:g}; got {value:g}.", path=name)

    def _at_least(self, name: str, value: float, least: float) -> None:
        if not (math.isfinite(value) and value >= least):
            raise ConfigError(f"{name} must be a number of at least {least:g}; got {value:g}.", path=name)


class Plain(Learner):
    """A learner that does not look at the request: the probabilities are computed when it learns, and published."""

    def distribution(
        self, state: State | None, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]
    ) -> NDArray[np.float64]:
        """The published ones; see :meth:`Policy.distribution`."""
        published: Floats = (state or self.initial()).arrays["p"].copy()
        return published

    def _publish(self, arrays: Arrays) -> Arrays:
        q = self._wanted(arrays)
        return {"p": self._share(q, arrays)}

    @abstractmethod
    def _wanted(self, arrays: Arrays) -> Floats:
        """The learner's own probabilities ``[k]``, before the guard rails."""


def totals(evidence: Evidence, weights: Weights) -> tuple[Floats, Floats, Floats]:
    """By strategy ``[k]``: the weighted number of known rewards, their sum, and the sum of their squares."""
    known = ~np.isnan(evidence.rewards)
    rewards = np.where(known, evidence.rewards, 0.0)
    return weights.new @ known, weights.new @ rewards, weights.new @ (rewards * rewards)
