"""Thompson sampling: each strategy is drawn with the probability that it is the best, given what is known.

``beta``: rewards in [0, 1]. The posterior of a strategy's mean reward is ``Beta(prior m + S, prior (1 - m) + N -
S)``, with N known rewards that sum to S. A reward of 0.3 counts as 0.3 of a success and 0.7 of a failure, which keeps
the mean and is no narrower than the truth, since no distribution on [0, 1] of that mean varies more than a
Bernoulli's.

``gaussian``: any rewards, normal with unknown mean and variance; the prior counts as ``prior`` rewards of mean
``prior_mean`` and standard deviation ``prior_sd`` (normal-inverse-gamma); the posterior of the mean is Student's t.

With ``discount`` or ``half_life_s`` N and S are weighted sums, so what is old fades and the prior comes back. The
probabilities are integrated (:mod:`quorate.core.select.best_arm`), not sampled, and published.

References: W. R. Thompson, "On the likelihood that one unknown probability exceeds another", Biometrika 25, 1933; S.
Agrawal, N. Goyal, "Analysis of Thompson sampling for the multi-armed bandit problem", COLT 2012; V. Raj, S. Kalyani,
"Taming non-stationary bandits: a Bayesian approach", 2017 (the discount, algorithm 1); K. P. Murphy, "Conjugate
Bayesian analysis of the Gaussian distribution", 2007 (section 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from quorate.core.select import best_arm
from quorate.core.select.evidence import Evidence, Floats, Weights
from quorate.core.select.learner import Arrays, LearnerParams, Plain, setting, totals
from quorate.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ThompsonParams(LearnerParams):
    """See :mod:`quorate.core.select.thompson`, and :class:`LearnerParams` for what learners have in common."""

    model: Literal["beta", "gaussian"] = setting("beta", "Rewards in [0, 1], or any numbers.")
    prior: float = setting(2.0, "How many rewards the prior counts as.")
    prior_mean: float = setting(0.5, "The mean of these.")
    prior_sd: float = setting(0.5, "Their standard deviation; for 'gaussian'.")


class Thompson(Plain):
    """Thompson sampling, with its probabilities integrated.

    >>> Thompson(["a", "b"]).distribution(None, {}, {}).round(12).tolist()
    [0.5, 0.5]
    """

    kind = "thompson"
    Params = ThompsonParams

    def __init__(self, strategies: Sequence[str], params: Any = None) -> None:
        super().__init__(strategies, params)
        self._beta: bool = self.params.model == "beta"

    @property
    def cut(self) -> bool:  # type: ignore[override]
        """Only what a Beta posterior counts must lie in [0, 1]."""
        return self._beta

    def check(self) -> None:
        """A prior that is one; see :meth:`Learner.check`."""
        super().check()
        p = self.params
        if self._beta:
            if not 0.0 < p.prior_mean < 1.0:
                raise ConfigError(f"prior_mean must lie inside (0, 1); got {p.prior_mean:g}.", path="prior_mean")
            least = 0.01 / min(p.prior_mean, 1.0 - p.prior_mean)
            self._at_least("prior", p.prior, least)
        else:
            self._at_least("prior", p.prior, 1.0)
            self._above("prior_sd", p.prior_sd, 0.0)
            self._at_least("prior_mean", p.prior_mean, -1e9)

    def _start(self, k: int) -> Arrays:
        return {"count": np.zeros(k), "sum": np.zeros(k), "squares": np.zeros(k)}

    def _add(self, arrays: Arrays, evidence: Evidence, weights: Weights) -> int:
        for name, more in zip(("count", "sum", "squares"), totals(evidence, weights), strict=True):
            arrays[name] = arrays[name] * weights.old + more
        return 0

    def _wanted(self, arrays: Arrays) -> Floats:
        p, n, total = self.params, arrays["count"], arrays["sum"]
        if self._beta:
            failures = np.maximum(n - total, 0.0)
            return best_arm.of_betas(p.prior * p.prior_mean + total, p.prior * (1.0 - p.prior_mean) + failures)
        kappa = p.prior + n
        location = (p.prior * p.prior_mean + total) / kappa
        mean = total / np.maximum(n, 1e-300)
        squares = (
            p.prior * p.prior_sd**2
            + np.maximum(arrays["squares"] - n * mean**2, 0.0)
            + p.prior * n / kappa * (mean - p.prior_mean) ** 2
        )
        return best_arm.of_students(location, np.sqrt(squares / kappa / kappa), kappa)
