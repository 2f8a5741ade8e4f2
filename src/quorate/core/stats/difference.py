"""The difference of two arms and its standard error, for every kind of metric.

Each metric becomes a mean of independent, nearly unbiased contributions, one per unit (its influence):

- mean: the values; binary: the same, with the variance ``p (1 - p)`` at ``p = (successes + 1) / (n + 2)``, which is
  not 0 where all units agree (Agresti and Caffo 2000);
- ratio R: ``R + (value - R denominator) / mean(denominator)``, the delta method (Deng, Knoblich, Lu 2018);
- quantile: its standard error from order statistics, a quarter of the distance of the sample quantiles at
  ``q ± 2 sqrt(q (1 - q) / n)`` (Woodruff 1952), which needs no estimate of the density.

References: A. Agresti, B. Caffo, "Simple and effective confidence intervals for proportions and differences of
proportions", American Statistician 54, 2000; A. Deng, U. Knoblich, J. Lu, "Applying the delta method in metric
analytics", KDD 2018; R. S. Woodruff, "Confidence intervals for medians and other position measures", JASA 47, 1952.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.cuped import adjust
from quorate.core.stats.metric import Metric, Sample

Floats = NDArray[np.float64]


class Arm(NamedTuple):
    """One arm: the metric's value, its standard error (NaN with fewer than two units), the units behind it."""

    value: float
    se: float
    n: int


class Difference(NamedTuple):
    """Both arms, and ``shared``: standard error that both values have in common (CUPED's); it cancels in the
    difference.
    """

    control: Arm
    treatment: Arm
    shared: float = 0.0

    @property
    def estimate(self) -> float:
        """Treatment - control."""
        return self.treatment.value - self.control.value

    @property
    def welch(self) -> float:
        """Standard error of the estimate from each arm's own variance; NaN with fewer than two units in an arm."""
        return math.hypot(self.control.se, self.treatment.se)

    @property
    def se(self) -> float:
        """The larger of Welch's and the pooled standard error, which are the same for arms of equal size.

        In a small arm of a skewed metric the variance is too low exactly when the mean is, because the large values
        have not come yet; pooling lends it the variance of the larger arm. Welch's holds where variances differ.
        """
        first, second = self.control, self.treatment
        if not (first.n and second.n):
            return math.nan
        share = math.sqrt(first.n / second.n)
        return max(self.welch, math.hypot(first.se * share, second.se / share))


def difference(metric: Metric, control: Sample, treatment: Sample) -> Difference:
    """From samples that :func:`quorate.core.stats.metric.known` has checked; NaN for what an arm is too small for.

    Values of any size are welcome: they are scaled by a power of two first. :class:`ValueError` where only one arm has
    covariates, or a quantile metric has them.
    """
    adjusts = control.covariates is not None
    if adjusts != (treatment.covariates is not None):
        raise ValueError("CUPED needs covariates in both arms; one has none.")
    if metric.kind == "quantile":
        if adjusts:
            raise ValueError("CUPED adjusts means and ratios; leave the covariates of a quantile metric out.")
        return Difference(_quantile(control.values, metric.q), _quantile(treatment.values, metric.q))
    scale = _scale(control, treatment)
    first, second = (influence(metric, sample, scale) for sample in (control, treatment))
    shared = 0.0
    binary = metric.kind == "binary" and not adjusts
    if control.covariates is not None and treatment.covariates is not None and len(first) and len(second):
        first, second, _, shared = adjust(first, second, control.covariates, treatment.covariates)
    return Difference(_arm(first, scale, binary), _arm(second, scale, binary), math.sqrt(shared) * scale)


def influence(metric: Metric, sample: Sample, scale: float = 1.0) -> Floats:
    """One number per unit ``[n]`` whose mean is the metric, divided by ``scale``; all NaN for a ratio over nothing."""
    values = sample.values / scale
    if sample.denominators is None or not len(values):
        return values
    most = float(sample.denominators.max())
    if most <= 0:
        return np.full(len(values), math.nan)
    # Relative to the largest, so that the sum cannot overflow.
    share = sample.denominators / most
    ratio = values.sum() / share.sum()
    return np.asarray((ratio + (values - ratio * share) / share.mean()) / most)


def woodruff_se(values: Floats, q: float) -> float:
    """Standard error of the sample quantile of ``values [n]``."""
    step = 2 * math.sqrt(q * (1 - q) / len(values))
    ends = [max(q - step, 0.0), min(q + step, 1.0)]
    low, high = np.quantile(values, ends)
    # Where the sample ends before the step does, the distance is that of the shorter step.
    return float(high / 2 - low / 2) * step / (ends[1] - ends[0])


def _arm(influence: Floats, scale: float, binary: bool) -> Arm:
    n = len(influence)
    if n == 0:
        return Arm(math.nan, math.nan, 0)
    mean = float(influence.mean())
    if n < 2:
        sd = math.nan
    elif binary:
        share = (mean * n + 1) / (n + 2)
        sd = math.sqrt(share * (1 - share))
    else:
        sd = float(influence.std(ddof=1))
        # A constant column can leave rounding behind; that is no variation.
        if sd <= 1e-14 * abs(mean):
            sd = 0.0
    return Arm(mean * scale, sd / math.sqrt(n) * scale, n)


def _quantile(values: Floats, q: float) -> Arm:
    n = len(values)
    if n == 0:
        return Arm(math.nan, math.nan, 0)
    se = woodruff_se(values, q) if n > 1 else math.nan
    return Arm(float(np.quantile(values, q)), se, n)


def _scale(control: Sample, treatment: Sample) -> float:
    largest = max((float(np.abs(s.values).max()) for s in (control, treatment) if len(s)), default=0.0)
    return math.ldexp(1.0, math.frexp(largest)[1]) if largest > 1e100 or 0.0 < largest < 1e-100 else 1.0
