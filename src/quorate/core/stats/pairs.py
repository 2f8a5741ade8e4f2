"""Pairs of units, one of each arm, in the order in which their outcomes came.

Units are independent, so the differences of pairs are independent and alike, with the difference of the arms as their
mean, and bounded where the values are: what holds for the mean of one bounded stream holds for the difference of two.
What one arm has more than the other waits, so this suits arms of equal share.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.metric import Metric, Sample

Floats = NDArray[np.float64]


class Pairs(NamedTuple):
    """Differences scaled into 0..1 ``[n]``: x means ``low + width x``."""

    x: Floats
    low: float
    width: float

    def at(self, difference: float) -> float:
        """The mean of x at a difference of the arms."""
        return (difference - self.low) / self.width

    def back(self, mean: float) -> float:
        """The difference of the arms at a mean of x."""
        return self.low + self.width * mean


def pair(metric: Metric, control: Sample, treatment: Sample) -> Pairs:
    """From checked samples of a bounded metric; :class:`ValueError` if it has no bounds."""
    if not metric.bounded:
        raise ValueError(
            f"this method needs both bounds of {metric.name!r}; give low and high, or take another method."
        )
    n = min(len(control), len(treatment))
    span = metric.high - metric.low
    x = (treatment.values[:n] / span - control.values[:n] / span + 1) / 2
    return Pairs(np.clip(x, 0.0, 1.0), -span, 2 * span)
