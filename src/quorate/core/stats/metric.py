"""What an experiment measures, and what was seen of it in one arm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["binary", "mean", "ratio", "quantile"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that is compared between arms.

    ``binary``: the share of units with value 1. ``mean``: the mean of the values. ``ratio``: the sum of the values
    over the sum of the denominators, with the unit (a user) as what is independent. ``quantile``: the value that a
    share ``q`` of units does not exceed.

    ``low`` and ``high`` bound a single value, where they are known; the betting and Bernstein methods need both.
    A binary metric has 0 and 1. :class:`ValueError` where kind, bounds and ``q`` do not fit.
    """

    kind: Kind
    name: str = "metric"
    higher_is_better: bool = True
    low: float = -math.inf
    high: float = math.inf
    q: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in ("binary", "mean", "ratio", "quantile"):
            raise ValueError(f"a metric is binary, mean, ratio or quantile; got {self.kind!r}.")
        if not 0.0 < self.q < 1.0:
            raise ValueError(f"q lies between 0 and 1, like 0.95; got {self.q}.")
        if self.kind == "binary":
            object.__setattr__(self, "low", 0.0)
            object.__setattr__(self, "high", 1.0)
        if math.isnan(self.low) or math.isnan(self.high) or not self.low < self.high:
            raise ValueError(f"the lower bound of a metric is below the upper one; got {self.low} and {self.high}.")

    @property
    def bounded(self) -> bool:
        """Whether both bounds are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen of one arm: one entry per unit, units independent, in order of time.

    Time is when the outcome became known, so that what an earlier look saw is a prefix of what a later one sees.
    With sticky assignment a unit is the user: sum or average a user's decisions first.

    ``values`` float ``[n]``: NaN where the outcome is not known; such units are left out and counted.
    ``denominators`` float ``[n]``: of a ratio metric only. ``covariates`` float ``[n]``: something known of the unit
    before it was assigned, for CUPED; NaN where nothing is known. ``times`` float ``[n]``, not decreasing: says how the
    units of the two arms lie between each other; without it they are taken as evenly interleaved.
    """

    values: Floats
    denominators: Floats | None = None
    covariates: Floats | None = None
    times: Floats | None = None

    def __len__(self) -> int:
        return len(self.values)

    def first(self, n: int) -> Sample:
        """The first ``n`` units."""
        cut = [None if x is None else x[:n] for x in (self.denominators, self.covariates, self.times)]
        return Sample(self.values[:n], *cut)


@dataclass(frozen=True, slots=True)
class Known:
    """The units of an arm whose outcome is known, as checked float64 arrays, and how many had none."""

    sample: Sample
    missing: int


def known(metric: Metric, sample: Sample) -> Known:
    """Check a sample against its metric and leave out units without an outcome.

    :class:`ValueError` for values that are infinite, outside the metric's bounds, not 0 or 1 in a binary metric; for
    columns of another length; for a ratio without denominators, or with negative or infinite ones; for times that
    decrease or are NaN. A denominator NaN is an outcome that is not known.
    """
    values = _column("values", sample.values, None)
    n = len(values)
    denominators = None if sample.denominators is None else _column("denominators", sample.denominators, n)
    covariates = None if sample.covariates is None else _column("covariates", sample.covariates, n)
    times = None if sample.times is None else _column("times", sample.times, n)
    if (denominators is None) == (metric.kind == "ratio"):
        raise ValueError(f"a ratio metric has denominators, the others have none; this one is {metric.kind!r}.")
    present = ~np.isnan(values)
    _check_values(metric, values[present])
    if denominators is not None:
        present &= ~np.isnan(denominators)
        if (denominators < 0).any():
            raise ValueError("denominators must not be negative.")
    if times is not None and (np.isnan(times).any() or (np.diff(times) < 0).any()):
        raise ValueError("times must not decrease and must not be NaN; sort the units by the time of their outcome.")
    kept = [None if x is None else x[present] for x in (denominators, covariates, times)]
    return Known(Sample(values[present], *kept), int(n - np.count_nonzero(present)))


def _column(name: str, values: object, n: int | None) -> Floats:
    column = np.asarray(values, np.float64)
    if column.ndim != 1 or (n is not None and len(column) != n):
        expected = "[n]" if n is None else f"[{n}]"
        raise ValueError(f"{name} must have one entry per unit, shape {expected}; got {list(column.shape)}.")
    if np.isinf(column).any():
        raise ValueError(f"{name} must be finite, or NaN where not known; got an infinite one.")
    return column


def _check_values(metric: Metric, values: Floats) -> None:
    if metric.kind == "binary":
        if not ((values == 0) | (values == 1)).all():
            raise ValueError(f"the values of the binary metric {metric.name!r} are 0 or 1; got others.")
    elif metric.kind != "ratio" and ((values < metric.low) | (values > metric.high)).any():
        raise ValueError(
            f"the values of {metric.name!r} lie in {metric.low}..{metric.high}, its bounds; got {values.min()}.."
            f"{values.max()}. Correct the bounds before the experiment starts, or the values."
        )
