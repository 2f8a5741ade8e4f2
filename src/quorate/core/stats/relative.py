"""The relative difference, ``treatment / control - 1``, with an interval that holds wherever the absolute one does.

Fieller's way: a relative difference r is refuted when ``treatment - (1 + r) control`` is more than z of its standard
errors from 0, with the z that the absolute difference has at this look. With b = treatment - control, c = control, and
the variances v0, v1 of the arms and w that they share, the ends solve
``r² (c² - z² (v0 + w)) - 2 r (b c + z² v0) + b² - z² (v0 + v1) = 0``. Where control may be 0 the set has no end.

Reference: E. C. Fieller, "Some problems in interval estimation", JRSS B 16, 1954.
"""

from __future__ import annotations

import math

from quorate.core.stats.difference import Difference
from quorate.core.stats.intervals import Interval


def relative(found: Difference, z: float) -> Interval:
    """The interval at a critical ``z``.

    The estimate is NaN where control is 0 or unknown, the limits are -inf and inf where control may be 0.
    """
    control, treatment = found.control, found.treatment
    if not control.value or not math.isfinite(found.estimate):
        return Interval(math.nan, -math.inf, math.inf)
    estimate = treatment.value / control.value - 1
    # Where the pooled standard error is larger, the limits are wider by as much.
    z *= found.se / found.welch if found.welch else 1.0
    # All in units of control, so that nothing overflows.
    first, second, shared = (z * (se / control.value) for se in (control.se, treatment.se, found.shared))
    squared = first * first + shared * shared
    if not squared < 1 or not math.isfinite(second):
        return Interval(estimate, -math.inf, math.inf)
    middle = estimate + first * first
    root = middle * middle - (1 - squared) * (estimate * estimate - first * first - second * second)
    spread = math.sqrt(max(root, 0.0))
    return Interval(estimate, (middle - spread) / (1 - squared), (middle + spread) / (1 - squared))
