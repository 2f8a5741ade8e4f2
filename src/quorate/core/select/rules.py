"""Rules: the first condition that is true says which strategy answers, or how some share the traffic.

p(strategy | context, facts) = w_i(strategy) / sum_s w_i(s),  i the first rule whose condition is true
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quorate.core.rules.ruleset import Ruleset
from quorate.core.select.base import Policy
from quorate.core.types import Scalar, State
from quorate.errors import ConfigError

Use = str | Mapping[str, float]
"""A strategy, or strategies by their weights."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``when`` is a condition, ``use`` a strategy or weights by strategy."""

    when: str
    use: Use


@dataclass(frozen=True, slots=True)
class RulesParams:
    """``rules`` are tried in order; ``otherwise`` is used where none fires; ``timezone`` is that of ``time.*``."""

    rules: Sequence[Rule]
    otherwise: Use
    timezone: str = "UTC"


class Rules(Policy):
    """First match wins; a condition that is unknown, as where a key is missing, does not fire.

    >>> params = RulesParams((Rule("input.rows > 100", "small"),), {"small": 1, "large": 3})
    >>> policy = Rules(["small", "large"], params)
    >>> policy.distribution(None, {}, {"input.rows": 1}).tolist()
    [0.25, 0.75]
    """

    kind = "rules"
    Params = RulesParams

    def check(self) -> None:
        """Conditions mean something; only known strategies, finite weights >= 0, at least one above 0."""
        if not self.params.rules:
            raise ConfigError("there is no rule; add one, or take the policy 'fixed' or 'split'.", path="rules")
        _ = self.ruleset
        for index, rule in enumerate(self.params.rules):
            self._check(rule.use, f"rules[{index}].use")
        self._check(self.params.otherwise, "otherwise")

    def _check(self, use: Use, path: str) -> None:
        known = ", ".join(self.strategies)
        for name, weight in ({use: 1.0} if isinstance(use, str) else use).items():
            where = path if isinstance(use, str) else f"{path}.{name}"
            if name not in self.strategies:
                raise ConfigError(f"there is no strategy '{name}'; expected one of {known}.", path=where)
            if not math.isfinite(weight) or weight < 0:
                raise ConfigError(f"the weight of '{name}' must be a finite number >= 0; got {weight}.", path=where)
        if not isinstance(use, str) and not any(use.values()):
            raise ConfigError("at least one strategy needs a weight above 0; got none.", path=path)

    @cached_property
    def ruleset(self) -> Ruleset:
        """The compiled conditions."""
        return Ruleset([rule.when for rule in self.params.rules], "policy")

    @cached_property
    def _rows(self) -> tuple[NDArray[np.float64], ...]:
        """Probabilities by rule, those of ``otherwise`` last."""
        return tuple(map(self._row, [*(rule.use for rule in self.params.rules), self.params.otherwise]))

    def _row(self, use: Use) -> NDArray[np.float64]:
        given = {use: 1.0} if isinstance(use, str) else use
        weights = np.array([given.get(name, 0.0) for name in self.strategies], np.float64)
        # Divided by the largest first, so that huge weights do not overflow in the sum.
        weights /= weights.max()
        row: NDArray[np.float64] = weights / weights.sum()
        return row

    def facts(self) -> frozenset[str]:
        """All facts that a condition names; see :meth:`Policy.facts`."""
        return self.ruleset.facts

    def fired(self, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]) -> int | None:
        """The index of the rule that decides; None for ``otherwise``."""
        return self.ruleset.first(context, facts)

    def distribution(
        self, state: State | None, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]
    ) -> NDArray[np.float64]:
        """The weights of the first rule that fires, over their sum; see :meth:`Policy.distribution`."""
        return self.of(self.fired(context, facts))

    def of(self, rule: int | None) -> NDArray[np.float64]:
        """The probabilities that a rule gives, or ``otherwise`` with None."""
        return self._rows[-1 if rule is None else rule].copy()
