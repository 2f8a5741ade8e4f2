"""How long outcomes take, from decisions of which some have none yet: the Kaplan-Meier estimator on grouped times.

The share of decisions with an outcome so far says too little of recent ones, and the delays seen so far are the short
ones. With d(t) outcomes at delay t and r(t) rows that were still without one just before and are at least that old,
the share without an outcome by t is ``S(t) = prod over u <= t of (1 - d(u) / r(u))``; its variance is Greenwood's,
``S(t)² sum d / (r (r - d))``. The intervals are those of ``log(-log S)``, which stay inside 0..1. It assumes that how
late an outcome comes does not depend on when the decision was made.

Delays are counted in logarithmic buckets, so times are within 5 %.

References: E. L. Kaplan, P. Meier, "Nonparametric estimation from incomplete observations", JASA 53, 1958; J. D.
Kalbfleisch, R. L. Prentice, The Statistical Analysis of Failure Time Data, 2002, section 1.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quorate.core.stats.intervals import Interval, normal_quantile

RELATIVE_ERROR = 0.05
SMALLEST_S = 1e-3
_LOG_BASE = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
_LOWEST = math.floor(math.log(SMALLEST_S) / _LOG_BASE)


def bucket(delay_s: float) -> int:
    """The bucket of a delay in seconds; all up to a millisecond, and negative ones, share one."""
    return _LOWEST if delay_s <= SMALLEST_S else math.ceil(math.log(delay_s) / _LOG_BASE)


def seconds(buckets: ArrayLike) -> NDArray[np.float64]:
    """The delays that stand for buckets, within 5 % of all in them, float64 of the same shape."""
    return np.asarray((1 - RELATIVE_ERROR) * np.exp(np.asarray(buckets, np.float64) * _LOG_BASE))


class Cohort(NamedTuple):
    """Rows of one age in seconds, and the delays of those that have an outcome, counted by bucket."""

    age_s: float
    rows: int
    delays: Mapping[int, int]


class Curve(NamedTuple):
    """The share of rows that have their outcome by a delay: float64 ``[n]``, steps at ``delays_s``, ascending.

    ``variance`` is Greenwood's of the share; ``longest_s`` is the age of the oldest row: nothing is known beyond.
    """

    delays_s: NDArray[np.float64]
    share: NDArray[np.float64]
    variance: NDArray[np.float64]
    longest_s: float

    def at(self, delay_s: float) -> float:
        """The share that has an outcome by then.

        >>> curve = kaplan_meier([Cohort(100.0, 4, {bucket(10.0): 2}), Cohort(1.0, 4, {})])
        >>> curve.at(5.0), curve.at(50.0)
        (0.0, 0.5)
        """
        step = int(np.searchsorted(self.delays_s, delay_s, side="right"))
        return float(self.share[step - 1]) if step else 0.0

    def interval(self, delay_s: float, level: float = 0.95) -> Interval:
        """The share by then with its pointwise confidence limits; 0 to 1 where it rests on nothing."""
        share = self.at(delay_s)
        step = int(np.searchsorted(self.delays_s, delay_s, side="right"))
        if not 0.0 < share < 1.0:
            return Interval(share, share if share else 0.0, share if self.longest_s > 0 and share else 1.0)
        left = 1.0 - share
        error = math.sqrt(float(self.variance[step - 1])) / (left * abs(math.log(left)))
        half = normal_quantile(level) * error
        return Interval(share, 1.0 - left ** math.exp(-half), 1.0 - left ** math.exp(half))

    def quantile(self, q: float) -> float:
        """The delay by which a share ``q`` of rows has its outcome; NaN where that many never had one."""
        step = int(np.searchsorted(self.share, q - 1e-12))
        return float(self.delays_s[step]) if step < len(self.share) else math.nan


def kaplan_meier(cohorts: Sequence[Cohort]) -> Curve:
    """The curve of outcomes over their delay, from cohorts of rows of known age."""
    events: dict[int, int] = {}
    ages, waiting = np.zeros(len(cohorts)), np.zeros(len(cohorts))
    for i, cohort in enumerate(cohorts):
        for each, count in cohort.delays.items():
            events[each] = events.get(each, 0) + count
        ages[i], waiting[i] = cohort.age_s, max(cohort.rows - sum(cohort.delays.values()), 0)
    found = np.array(sorted(each for each, count in events.items() if count > 0), np.int64)
    times = seconds(found)
    died = np.array([events[int(each)] for each in found], np.float64)
    order = np.argsort(ages)
    gone = np.concatenate([[0.0], np.cumsum(waiting[order])])
    # A row whose age is just the delay of an event was still looked at then, as is the custom.
    censored = gone[np.searchsorted(ages[order], times, side="left")]
    at_risk = (
        died.sum() + waiting.sum() - np.concatenate([[0.0], np.cumsum(died)[:-1]]) - censored if len(died) else died
    )
    left = np.asarray(np.cumprod(1.0 - died / at_risk), np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.cumsum(died / (at_risk * (at_risk - died)))
        variance = np.where(left > 0, left**2 * terms, 0.0)
    return Curve(
        times,
        np.asarray(1.0 - left, np.float64),
        np.asarray(variance, np.float64),
        float(ages.max()) if len(ages) else 0.0,
    )
