"""The quantile of split conformal prediction: exact for any number of calibration rows.

With n exchangeable scores and that of a new row, the k-th smallest of the n, k = ceil((n + 1) c), is at least the new
one with probability >= c, and where no two are equal with k / (n + 1) exactly. Given the calibration rows the coverage
of what comes is itself random, with the distribution Beta(k, n + 1 - k).

References: V. Vovk, A. Gammerman, G. Shafer, "Algorithmic learning in a random world", Springer 2005, chapter 2;
V. Vovk, "Conditional validity of inductive conformal predictors", ACML 2012, proposition 2 (the Beta distribution).
"""

from __future__ import annotations

from math import ceil

_ROUNDING = 1e-9
LOWEST, HIGHEST = 0.5, 0.999
"""Coverages that can be asked for."""


def rank(rows: int, coverage: float) -> int:
    """Which of ``rows`` scores in ascending order is the threshold, from 1; above ``rows`` where none is high enough.

    >>> rank(9, 0.9), rank(100, 0.9), rank(8, 0.9)
    (9, 91, 9)
    """
    return max(1, ceil((rows + 1) * coverage - _ROUNDING))


def rows_needed(coverage: float) -> int:
    """Calibration rows below which a coverage can only be promised by leaving nothing out.

    >>> rows_needed(0.9), rows_needed(0.95), rows_needed(0.999)
    (9, 19, 999)
    """
    return ceil(coverage / (1.0 - coverage) - _ROUNDING)
