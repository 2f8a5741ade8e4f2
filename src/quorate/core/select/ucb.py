"""Upper confidence bounds: the strategy with the highest ``mean_i + 2 sqrt(exploration ln(n) / N_i)``.

``N_i`` known rewards of strategy i, in [0, 1], ``n`` their sum over strategies. With ``exploration`` 1/2 this is
UCB1; with ``discount`` all three are discounted: D-UCB. A strategy without any reward comes first. The choice follows
from the state alone, so ``floor`` (0.01 by default) keeps every strategy possible; equal bounds share.

References: P. Auer, N. Cesa-Bianchi, P. Fischer, "Finite-time analysis of the multiarmed bandit problem", Machine
Learning 47, 2002, figure 1; A. Garivier, E. Moulines, "On upper-confidence bound policies for switching bandit
problems", ALT 2011, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quorate.core.select.evidence import Evidence, Floats, Weights
from quorate.core.select.learner import Arrays, LearnerParams, Plain, setting, totals

_NONE = 1e-9
"""Less evidence than this, after discounting, is none."""


@dataclass(frozen=True, slots=True)
class UcbParams(LearnerParams):
    """See :mod:`quorate.core.select.ucb`, and :class:`LearnerParams` for what learners have in common."""

    floor: float = setting(0.01, "The least share of every strategy.")
    exploration: float = setting(0.5, "How much doubt counts in a strategy's favour; 0.5 is UCB1.")


class Ucb(Plain):
    """UCB1 and its discounted form.

    >>> Ucb(["a", "b"], UcbParams(floor=0.0)).distribution(None, {}, {}).tolist()
    [0.5, 0.5]
    """

    kind = "ucb"
    Params = UcbParams

    def check(self) -> None:
        """Doubt counts 0 or more; see :meth:`Learner.check`."""
        super().check()
        self._at_least("exploration", self.params.exploration, 0.0)

    def _start(self, k: int) -> Arrays:
        return {"count": np.zeros(k), "sum": np.zeros(k)}

    def _add(self, arrays: Arrays, evidence: Evidence, weights: Weights) -> int:
        count, total, _ = totals(evidence, weights)
        arrays["count"] = arrays["count"] * weights.old + count
        arrays["sum"] = arrays["sum"] * weights.old + total
        return 0

    def _publish(self, arrays: Arrays) -> Arrays:
        return super()._publish(arrays) | {"bounds": self._bounds(arrays)}

    def _bounds(self, arrays: Arrays) -> Floats:
        count, n = arrays["count"], arrays["count"].sum()
        known = count > _NONE
        safe = np.where(known, count, 1.0)
        doubt = 2.0 * np.sqrt(self.params.exploration * max(np.log(max(n, 1.0)), 0.0) / safe)
        found: Floats = np.where(known, arrays["sum"] / safe + doubt, np.inf)
        return found

    def _wanted(self, arrays: Arrays) -> Floats:
        bounds = self._bounds(arrays)
        # Sums come in any order, so what differs by rounding is equal.
        highest = bounds >= bounds.max() - 1e-12 if np.isfinite(bounds.max()) else np.isinf(bounds)
        q: Floats = highest / highest.sum()
        return q
