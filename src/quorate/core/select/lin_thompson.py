"""Linear Thompson sampling with a published ensemble: each strategy's share is how many members find it the best.

When it learns, ``draws`` vectors of weights are drawn for each strategy from its posterior, normal around theta with
covariance ``exploration^2 V^-1 W V^-1``, with a generator seeded by ``seed`` and the number of rows learned from.
They are part of the state, so ``p_k`` = (members in which strategy k has the highest ``x' theta``) / ``draws`` is
exact, equal in all workers, and can be computed again from the state later. Under the floors no probability is 0.

References: S. Agrawal, N. Goyal, "Thompson sampling for contextual bandits with linear payoffs", ICML 2013; X. Lu, B.
Van Roy, "Ensemble sampling", NeurIPS 2017; B. Kim, A. Tewari, "Randomized exploration for non-stationary stochastic
linear bandits", UAI 2020 (with forgetting). See :mod:`quorate.core.select.linear`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quorate.core.select.learner import Arrays, setting
from quorate.core.select.linear import Linear, LinearParams
from quorate.core.types import Scalar, State
from quorate.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LinThompsonParams(LinearParams):
    """See :mod:`quorate.core.select.lin_thompson` and :class:`LinearParams`."""

    exploration: float = setting(0.1, "How wide the ensemble is; as a reward's standard deviation, 0.5 at most.")
    draws: int = setting(64, "Members of the ensemble.")
    seed: int = setting(0, "Of their draws.")


class LinThompson(Linear):
    """Thompson sampling of linear models, with a finite ensemble."""

    kind = "lin_thompson"
    Params = LinThompsonParams

    def check(self) -> None:
        """An ensemble of 1 to 1000; see :meth:`Linear.check`."""
        super().check()
        self._at_least("exploration", self.params.exploration, 0.0)
        if not 1 <= self.params.draws <= 1000:
            raise ConfigError(f"draws must lie between 1 and 1000; got {self.params.draws}.", path="draws")
        if self.params.seed < 0:
            raise ConfigError(f"seed must be at least 0; got {self.params.seed}.", path="seed")

    def _publish(self, arrays: Arrays) -> Arrays:
        published, weights, v, w = self._solve(arrays)
        rng = np.random.default_rng([self.params.seed, int(arrays["rows"][0])])
        k, d = weights.shape
        noise = rng.standard_normal((k, d, self.params.draws))
        if w is None:  # V^-1 L n = L^-T n, with V = L L'
            spread = np.linalg.solve(np.linalg.cholesky(v).transpose(0, 2, 1), noise)
        else:
            spread = np.linalg.solve(v, np.linalg.cholesky(w) @ noise)
        members = weights[:, None, :] + self.params.exploration * spread.transpose(0, 2, 1)
        ensemble = members.transpose(1, 0, 2).reshape(-1, d)  # [draws k, d]
        return published | {"weights": weights, "ensemble": np.ascontiguousarray(ensemble, np.float32)}

    def distribution(
        self, state: State | None, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]
    ) -> NDArray[np.float64]:
        """Shares of the ensemble, under the floors; see :meth:`Policy.distribution`."""
        state = state or self.initial()
        arrays, k = state.arrays, len(self.strategies)
        x = self._vector(arrays, context, facts).astype(np.float32)
        best = (arrays["ensemble"] @ x).reshape(-1, k).argmax(1)
        return self._share(np.bincount(best, minlength=k) / len(best), arrays)
