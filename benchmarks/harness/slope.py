"""Whether a quantity grows: the slope of its block means, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BLOCKS = 10


class Slope(NamedTuple):
    """Change a unit of x, with its 95 % interval."""

    low: float
    estimate: float
    high: float

    @property
    def flat(self) -> bool:
        """Whether no growth is shown: the interval reaches down to 0."""
        return self.low <= 0


def slope(points: Sequence[tuple[float, float]], skip: float = 0.2) -> Slope:
    """Least squares through the means of ten blocks, without the first share ``skip``, in which a process warms up.

    Neighbouring samples of a process's memory hardly differ, so an interval from single samples would be far too
    narrow; means of long blocks are nearly independent. Needs three blocks; else the interval is infinite.
    """
    from scipy import stats

    kept = np.array(sorted(points)[int(skip * len(points)) :], float).reshape(-1, 2)
    blocks = [block.mean(axis=0) for block in np.array_split(kept, min(BLOCKS, len(kept) or 1)) if len(block)]
    if len(blocks) < 3:
        return Slope(-np.inf, np.nan, np.inf)
    x, y = np.array(blocks).T
    if np.ptp(y) == 0:
        return Slope(0.0, 0.0, 0.0)
    fit = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, len(blocks) - 2)) * float(fit.stderr)
    return Slope(float(fit.slope) - half, float(fit.slope), float(fit.slope) + half)
