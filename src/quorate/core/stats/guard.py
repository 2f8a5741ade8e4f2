"""Guard rails: a metric that a treatment may not make worse by more than a margin.

Non-inferiority: with the interval for harm (control - treatment where higher is better, else treatment - control),
``safe`` once all of it is below the margin, ``harmed`` once all of it is above 0, ``unacceptable`` once all is above
the margin, else ``open``. Requiring all guard rails to be safe needs no correction for their number
(intersection-union test); alarms do: give each guard rail ``alpha / number`` or adjust their p-values with Holm's
method.

Reference: R. L. Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24, 1982.
"""

from __future__ import annotations

import math
from typing import Literal

Guard = Literal["safe", "harmed", "unacceptable", "open"]


def guard(low: float, high: float, margin: float, *, higher_is_better: bool) -> Guard:
    """From the limits of treatment - control and a ``margin >= 0``, absolute, in the metric's units.

    ``harmed`` and ``safe`` can both be true of a small harm; then it is ``safe``. :class:`ValueError` for a negative
    margin or one that is NaN.

    >>> guard(-0.004, 0.010, 0.005, higher_is_better=True)
    'safe'
    """
    if not margin >= 0:
        raise ValueError(f"the margin of a guard rail is a number >= 0; got {margin}.")
    least, most = (-high, -low) if higher_is_better else (low, high)
    if math.isnan(least) or math.isnan(most):
        return "open"
    if most < margin:
        return "safe"
    if least > margin:
        return "unacceptable"
    return "harmed" if least > 0 else "open"
