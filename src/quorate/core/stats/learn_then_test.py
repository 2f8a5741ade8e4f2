"""Learn then Test: pick a setting whose risk is bounded on data never seen, with a stated probability.

Each of several settings has a loss in 0..1 per held-out row. A p-value says how probable a mean loss as low as seen
would be if the risk were above the bound; settings are tested in an order that does not depend on these rows, one after
the other, until one is not accepted (fixed-sequence testing). Then the probability that any accepted setting's risk is
above the bound is at most ``risk``, whatever the settings are and however they depend on each other.

    0/1 losses:   p = P(Bin(n, bound) <= n mean)                                                       (exact)
    in 0..1:      p = min(exp(-n h(min(mean, bound), bound)), e P(Bin(n, bound) <= ceil(n mean)))
    with          h(a, b) = a log(a / b) + (1 - a) log((1 - a) / (1 - b))                   (Hoeffding and Bentkus)

References: A. Angelopoulos, S. Bates, E. Candès, M. Jordan, L. Lei, "Learn then test: calibrating predictive algorithms
to achieve risk control", arXiv 2110.01052, 2021; S. Bates et al., "Distribution-free, risk-controlling prediction
sets", JACM 68(6), 2021 (the p-value of bounded losses).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def exact_p(losses: int, n: int, bound: float) -> float:
    """p-value of "the risk is above ``bound``" when ``losses`` of ``n`` rows were lost.

    >>> round(exact_p(0, 10, 0.5), 6)
    0.000977
    """
    from scipy.stats import binom

    return float(binom.cdf(losses, n, bound))


def bounded_p(mean: float, n: int, bound: float) -> float:
    """p-value of "the risk is above ``bound``" when ``n`` losses in 0..1 have that ``mean``."""
    from scipy.stats import binom

    if mean >= bound:
        return 1.0
    hoeffding = math.exp(-n * _divergence(mean, bound))
    bentkus = math.e * float(binom.cdf(math.ceil(n * mean), n, bound))
    return min(1.0, hoeffding, bentkus)


def accepted(p_values: Iterable[float], risk: float) -> int:
    """How many settings, from the first on, are accepted at level ``risk``.

    >>> accepted([0.01, 0.04, 0.2, 0.01], 0.05)
    2
    """
    count = 0
    for p in p_values:
        if p > risk:
            break
        count += 1
    return count


def _divergence(a: float, b: float) -> float:
    if b >= 1.0:
        return math.inf
    first = a * math.log(a / b) if a > 0 else 0.0
    return first + (1.0 - a) * math.log((1.0 - a) / (1.0 - b))
