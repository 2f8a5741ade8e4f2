"""Units to draw from: what a user of control, and of a treatment with a real effect, brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.compare import Baseline, Metric, Plan, Sample, baseline, plan

SIZE = 400_000
ALPHA = 0.05
LOOKS = 30

Floats = NDArray[np.float64]


class Pool(NamedTuple):
    """Users of both arms ``[n]``: drawn from with replacement, so true mean and variance are known."""

    name: str
    metric: Metric
    control: Sample
    treatment: Sample

    @property
    def effect(self) -> float:
        """The true difference of the arms."""
        return self.known(self.treatment).value - self.known(self.control).value

    def known(self, sample: Sample) -> Baseline:
        """What the planner is told of an arm."""
        return baseline(self.metric, sample)

    def plan(self, method: str) -> Plan:
        """For power 0.8 at the true effect."""
        first, second = self.known(self.control), self.known(self.treatment)
        return plan(
            self.metric, baseline=first.value, sd=first.sd, treatment_sd=second.sd, effect=self.effect, alpha=ALPHA,
            method=method, looks=LOOKS,
        )  # fmt: skip


def binary(rng: np.random.Generator) -> Pool:
    """One in ten, against 12 in a hundred."""
    drawn = rng.permutation((np.arange(SIZE) + 0.5) / SIZE)
    return Pool("binary", Metric("binary"), Sample((drawn < 0.1) * 1.0), Sample((drawn < 0.12) * 1.0))


def revenue(rng: np.random.Generator) -> Pool:
    """One in ten buys, for a lognormal amount (skewness of a unit about 17); treatment has a fifth more buyers."""
    buys, amount = rng.random(SIZE), rng.lognormal(3.0, 1.0, SIZE)
    metric = Metric("mean", name="revenue")
    return Pool("revenue", metric, Sample((buys < 0.1) * amount), Sample((buys < 0.12) * amount))


def ratio(rng: np.random.Generator) -> Pool:
    """Clicks per page: users with 1 to many pages (geometric, mean 5) and a rate of their own; 12 % more clicks."""
    pages, rate = rng.geometric(0.2, SIZE), rng.beta(2.0, 18.0, SIZE)
    first, second = rng.binomial(pages, rate), rng.binomial(pages, 1.12 * rate)
    shown = pages.astype(float)
    return Pool("ratio", Metric("ratio"), Sample(first.astype(float), shown), Sample(second.astype(float), shown))


def adjusted(rng: np.random.Generator) -> Pool:
    """A skewed mean with a covariate that explains half of its variance, for CUPED."""
    before = rng.gamma(2.0, 1.0, SIZE)
    after = before + rng.gamma(2.0, 1.0, SIZE)
    metric = Metric("mean", name="mean, CUPED")
    return Pool("mean, CUPED", metric, Sample(after, covariates=before), Sample(after + 0.1, covariates=before))


POOLS: tuple[Callable[[np.random.Generator], Pool], ...] = (binary, revenue, ratio, adjusted)
