"""What contextual linear policies share: a ridge regression of the reward on the features, for each strategy.

``theta = V^-1 b``, ``V = ridge I + sum_i w_i x_i x_i'``, ``b = sum_i w_i x_i (r_i - prior_mean)``, over the rows in
which the strategy's reward is known. With forgetting, the doubt about ``x' theta`` is ``x' V^-1 W V^-1 x``, where ``W
= ridge I + sum_i w_i^2 x_i x_i'``: a row that fades takes its noise along (without, ``W = V``).

References: L. Li, W. Chu, J. Langford, R. Schapire, "A contextual-bandit approach to personalized news article
recommendation", WWW 2010 (disjoint models); Y. Russac, C. Vernade, O. Cappe, "Weighted linear bandits for
non-stationary environments", NeurIPS 2019, eq. 4 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.select.evidence import Evidence, Floats, Weights
from quorate.core.select.features import FeatureParams, Features, check_features
from quorate.core.select.learner import Arrays, Learner, setting
from quorate.core.types import Scalar, State

_FAR = 10.0
"""Standard deviations from the mean at which a request's number is cut."""
_FLAT = 1e-9
"""A feature that varies less than this, relative to its size, is a constant."""


@dataclass(frozen=True, slots=True)
class LinearParams(FeatureParams):
    """See :mod:`quorate.core.select.features`, and :class:`FeatureParams` for what learners have in common."""

    ridge: float = setting(1.0, "How many rows the prior counts as, for every weight.")
    prior_mean: float = setting(0.0, "The reward that is expected where nothing is known.")


class Linear(Learner):
    """Sums for a regression per strategy; subclasses say how they explore."""

    Params = LinearParams

    def __init__(self, strategies: Sequence[str], params: Any = None) -> None:
        super().__init__(strategies, params)
        p = self.params
        self.features = Features(p.features, p.ranges, p.values, p.buckets, far=_FAR)

    def check(self) -> None:
        """Features that are declared one way, a ridge above 0; see :meth:`Learner.check`."""
        super().check()
        p = self.params
        check_features(p.features, p.ranges, p.values, p.buckets)
        self._above("ridge", p.ridge, 0.0)
        self._at_least("prior_mean", p.prior_mean, -1e9)

    def facts(self) -> frozenset[str]:
        """The facts among the features."""
        return self.features.facts()

    def _forgets(self) -> bool:
        return self.params.discount < 1.0 or self.params.half_life_s is not None

    def _start(self, k: int) -> Arrays:
        m, d = self.features.numbers, self.features.width
        arrays: Arrays = {"products": np.zeros((k, d, d)), "rewards": np.zeros((k, d)), "scaling": np.zeros((3, m))}
        arrays["shift"] = np.where(self.features.ranged, 0.0, np.nan)
        if self._forgets():
            arrays["noise"] = np.zeros((k, d, d))
        return arrays

    def _add(self, arrays: Arrays, evidence: Evidence, weights: Weights) -> int:
        numbers, rest = self.features.raw(evidence.source)
        known = ~np.isnan(numbers)
        first = numbers[known.argmax(0), np.arange(numbers.shape[1])] if len(numbers) else numbers.sum(0)
        shift = arrays["shift"] = np.where(np.isnan(arrays["shift"]), first, arrays["shift"])
        moved = np.where(known, numbers - shift, 0.0)
        arrays["scaling"] = arrays["scaling"] * weights.old + np.stack(
            [weights.new @ known, weights.new @ moved, weights.new @ (moved * moved)]
        )
        rows = np.concatenate([moved, ~known, rest], axis=1)
        rewards, seen = evidence.rewards, ~np.isnan(evidence.rewards)
        old, new = weights.old, weights.new
        products, sums = arrays["products"] * old, arrays["rewards"] * old
        noise = arrays["noise"] * (old * old) if "noise" in arrays else None
        if seen.all():
            products += rows.T @ (rows * new[:, None])
            sums += (rewards * new[:, None]).T @ rows
            if noise is not None:
                noise += rows.T @ (rows * (new * new)[:, None])
        else:
            for arm in np.flatnonzero(seen.any(0)):
                own, w = rows[seen[:, arm]], new[seen[:, arm]]
                products[arm] += own.T @ (own * w[:, None])
                sums[arm] += (w * rewards[seen[:, arm], arm]) @ own
                if noise is not None:
                    noise[arm] += own.T @ (own * (w * w)[:, None])
        arrays["products"], arrays["rewards"] = products, sums
        if noise is not None:
            arrays["noise"] = noise
        self._recentre(arrays)
        return 0

    def _recentre(self, arrays: Arrays) -> None:
        """Take the sums around the present means, whatever the first values were, so that no digits are lost later."""
        count, total, squares = arrays["scaling"]
        centre = np.where(self.features.ranged | (count <= 0.0), 0.0, total / np.maximum(count, 1e-300))
        one, sums = np.ones_like(centre), arrays["rewards"]
        arrays["products"], arrays["rewards"] = _scaled(arrays["products"], sums, centre, one)
        if "noise" in arrays:
            arrays["noise"] = _scaled(arrays["noise"], sums, centre, one)[0]
        arrays["shift"] = arrays["shift"] + centre
        arrays["scaling"] = np.stack([count, total - count * centre, np.maximum(squares - count * centre**2, 0.0)])

    def _solve(self, arrays: Arrays) -> tuple[Arrays, Floats, Floats, Floats | None]:
        """The scaling to publish, the weights ``[k, d]``, V ``[k, d, d]``, and W where it is another matrix."""
        count, _, squares = arrays["scaling"]
        shift = np.where(np.isnan(arrays["shift"]), 0.0, arrays["shift"])
        variance = squares / np.maximum(count, 1e-300)
        flat = self.features.ranged | (variance <= _FLAT**2 * (shift**2 + 1e-300)) | (count <= 0.0)
        scale = np.where(flat, 1.0, np.sqrt(np.maximum(variance, 1e-300)))
        still = np.zeros_like(scale)
        products, sums = _scaled(arrays["products"], arrays["rewards"], still, scale)
        sums = sums - self.params.prior_mean * products[:, :, -1]
        ridge = self.params.ridge * np.eye(self.features.width)
        v = products + ridge
        weights = np.linalg.solve(v, sums[:, :, None])[:, :, 0]
        weights[:, -1] += self.params.prior_mean
        w = None if "noise" not in arrays else _scaled(arrays["noise"], sums, still, scale)[0] + ridge
        return {"centre": shift, "scale": scale}, weights, v, w

    def _vector(
        self, arrays: Mapping[str, NDArray[Any]], context: Mapping[str, Scalar], facts: Mapping[str, Scalar]
    ) -> Floats:
        return self.features.vector(context, facts, arrays["centre"], arrays["scale"])

    def predict(self, state: State, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]) -> Floats:
        """The expected reward of each strategy ``[k]``, without any exploration."""
        found: Floats = state.arrays["weights"] @ self._vector(state.arrays, context, facts)
        return found


def _scaled(products: Floats, sums: Floats, centre: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """The sums that rows would have given whose numbers x are (x - centre) / scale, and 0 where missing."""
    m = len(centre)
    products, sums = products.copy(), sums.copy()
    present = products[:, -1:, :] - products[:, m : 2 * m, :]
    products[:, :m, :] = (products[:, :m, :] - centre[:, None] * present) / scale[:, None]
    present = products[:, :, -1:] - products[:, :, m : 2 * m]
    products[:, :, :m] = (products[:, :, :m] - present * centre) / scale
    sums[:, :m] = (sums[:, :m] - centre * (sums[:, -1:] - sums[:, m : 2 * m])) / scale
    return products, sums
