"""CUPED: less variance from what was known of a unit before it was assigned.

With the covariate x, the outcome y becomes ``y - theta (x - mean(x))``; assignment does not depend on x, so both arms
are moved by the same amount on average. ``theta`` is the within-arm slope of y on x, pooled over the arms, of all
units seen so far.

Why a theta that is learned as one goes does no harm: ``theta (mean x_treatment - mean x_control)`` changes by (error
of theta) x (difference of means), both of order ``n^(-1/2)``, so by 1/n, which the standard error outweighs more and
more. The argument is asymptotic, like that of the methods CUPED is allowed with.

Reference: A. Deng, Y. Xu, R. Kohavi, T. Walker, "Improving the sensitivity of online controlled experiments by
utilizing pre-experiment data", WSDM 2013.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Adjusted(NamedTuple):
    """Outcomes of both arms, adjusted; the slope; the variance that the common mean of x lends to both arms' means."""

    control: Floats
    treatment: Floats
    theta: float
    shared: float


def adjust(control: Floats, treatment: Floats, x_control: Floats, x_treatment: Floats) -> Adjusted:
    """Outcomes ``[n]`` and covariates ``[n]`` of both arms, neither empty.

    A covariate that is NaN counts as the mean of the known ones; one without variation within the arms changes nothing.
    """
    known = np.concatenate([x_control, x_treatment])
    known = known[~np.isnan(known)]
    if not len(known):
        return Adjusted(control, treatment, 0.0, 0.0)
    scale = float(np.abs(known).max()) or 1.0
    centre = float(np.mean(known / scale))
    first, second = (np.where(np.isnan(x), 0.0, x / scale - centre) for x in (x_control, x_treatment))
    together, spread = _within(first, control), _within(first, first)
    together, spread = together + _within(second, treatment), spread + _within(second, second)
    n = len(first) + len(second)
    # What is left of a constant column is rounding.
    if spread <= n * 1e-28:
        return Adjusted(control, treatment, 0.0, 0.0)
    theta = together / spread
    # Missing ones are at the mean already; the mean of all is 0 up to rounding.
    shared = theta * theta * spread / n / n
    return Adjusted(control - theta * first, treatment - theta * second, theta / scale, shared)


def _within(x: Floats, y: Floats) -> float:
    return float((x - x.mean()) @ (y - y.mean()))
