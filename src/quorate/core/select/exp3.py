"""Exp3: exponential weights over estimated losses; its promise holds whatever the rewards do, even against an opponent.

``p_i ∝ exp(-eta L_i)``, ``L_i`` the sum of the estimates of ``1 - reward``. A row of which all strategies' rewards
are known gives their losses (exponential weights, "Hedge"); any other gives the assigned one's over the probability
it was drawn with, which the decision recorded: so the estimate is unbiased however late the reward comes. ``eta =
rate sqrt(ln k / (k n))``, n the (discounted) number of rows: the anytime form, regret at most ``2 sqrt(n k ln k)``.

With ``discount`` the losses are discounted sums, the exponentially weighted forecaster with discounted regret, and n
stays below ``1 / (1 - discount)``, so eta does not fall to 0. That is in the place of Exp3.S, which mixes the weights
instead.

References: P. Auer, N. Cesa-Bianchi, Y. Freund, R. Schapire, "The nonstochastic multiarmed bandit problem", SIAM J.
Computing 32, 2002; S. Bubeck, N. Cesa-Bianchi, "Regret analysis of stochastic and nonstochastic multi-armed bandit
problems", 2012, theorem 3.1 (losses, anytime eta); N. Cesa-Bianchi, G. Lugosi, "Prediction, learning, and games",
2006, section 2.11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quorate.core.select.evidence import Evidence, Floats, Weights
from quorate.core.select.learner import Arrays, LearnerParams, Plain, setting


@dataclass(frozen=True, slots=True)
class Exp3Params(LearnerParams):
    """See :mod:`quorate.core.select.exp3`, and :class:`LearnerParams` for what learners have in common."""

    rate: float = setting(1.0, "A factor on the learning rate.")


class Exp3(Plain):
    """Exponential weights; its probabilities are what it draws with.

    >>> Exp3(["a", "b"]).distribution(None, {}, {}).tolist()
    [0.5, 0.5]
    """

    kind = "exp3"
    Params = Exp3Params

    def check(self) -> None:
        """A rate above 0; see :meth:`Learner.check`."""
        super().check()
        self._above("rate", self.params.rate, 0.0)

    def regret_bound(self, rows: int) -> float | None:
        """``(rate + 1 / rate) sqrt(n k ln k) + k floor n``, without forgetting and a baseline; see the module.

        >>> round(Exp3(["a", "b"]).regret_bound(1000), 1)
        74.5
        """
        p, k = self.params, len(self.strategies)
        if p.discount < 1.0 or p.half_life_s is not None or p.baseline is not None:
            return None
        rate, floor = float(p.rate), float(p.floor)
        return (rate + 1.0 / rate) * math.sqrt(rows * k * math.log(k)) + k * floor * rows

    def _start(self, k: int) -> Arrays:
        return {"losses": np.zeros(k), "count": np.zeros(1)}

    def _add(self, arrays: Arrays, evidence: Evidence, weights: Weights) -> int:
        n, k = evidence.rewards.shape
        whole = ~np.isnan(evidence.rewards).any(1)
        drawn = evidence.drawn
        with np.errstate(divide="ignore", invalid="ignore"):
            estimate = (1.0 - evidence.own) / drawn
        # Nothing is estimated of a row whose reward is another strategy's, or whose strategy could not be drawn.
        usable = whole | (np.isfinite(estimate) & (drawn > 0.0))
        losses = np.zeros((n, k))
        losses[np.arange(n), evidence.assigned] = np.where(usable, estimate, 0.0)
        losses[whole] = 1.0 - evidence.rewards[whole]
        arrays["losses"] = arrays["losses"] * weights.old + weights.new @ losses
        arrays["count"] = arrays["count"] * weights.old + weights.new @ usable
        return int(n - usable.sum())

    def _wanted(self, arrays: Arrays) -> Floats:
        losses, n = arrays["losses"], max(float(arrays["count"][0]), 1.0)
        k = len(losses)
        eta = self.params.rate * math.sqrt(math.log(k) / (k * n))
        q = np.exp(-eta * (losses - losses.min()))
        found: Floats = q / q.sum()
        return found
