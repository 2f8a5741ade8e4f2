"""How alike two members are: Q, disagreement and double fault of classes, the correlation of errors of numbers.

With ``a`` rows that both get right, ``b`` that only the first does, ``c`` that only the second and ``d`` neither::

    Q = (ad - bc) / (ad + bc)     disagreement = (b + c) / n     double fault = d / n

Q is 1 where both err on the same rows, 0 where they err independently, negative where each errs where the other does
not. It is ``tanh(log(ad/bc) / 2)``, and its limits are those of the log odds ratio, with half a row added to each cell
(Haldane, Anscombe). Of numbers there are the correlation of errors (Fisher's z) and the mean distance of two answers.
Intervals are of 95 %, each on its own, from independent groups of rows.

References: G. U. Yule, "On the association of attributes in statistics", Phil. Trans. A 194, 1900; L. Kuncheva,
C. Whitaker, "Measures of diversity in classifier ensembles and their relationship with the ensemble accuracy", Machine
Learning 51, 2003.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.audit.game import Rows
from quorate.core.audit.together import Array, errors
from quorate.core.combine.average import OK
from quorate.core.stats.influence import NOTHING, Estimate, interval
from quorate.core.stats.intervals import normal_quantile

Z = normal_quantile(0.95)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two members (their places) on the ``rows`` that both answered.

    ``q`` and ``double_fault`` are of classes, ``correlation`` is of numbers; None for the other kind.
    ``disagreement`` is the share of rows with different correctness, of numbers the mean distance of the answers.
    """

    first: int
    second: int
    rows: int
    disagreement: Estimate
    q: Estimate | None = None
    double_fault: Estimate | None = None
    correlation: Estimate | None = None


def pairs(rows: Rows, *, classes: bool) -> list[Pair]:
    """Every pair of members, in order."""
    m = rows.outputs.shape[1]
    right = rows.outputs.argmax(axis=2) == rows.truth[:, None] if classes else None
    return [_pair(rows, right, i, j) for i in range(m) for j in range(i + 1, m)]


def _pair(rows: Rows, right: NDArray[np.bool_] | None, i: int, j: int) -> Pair:
    both = (rows.status[:, i] == OK) & (rows.status[:, j] == OK)
    group, count = rows.group[both], int(np.count_nonzero(both))
    if count < 2:
        return Pair(i, j, count, NOTHING, *((NOTHING, NOTHING) if right is not None else (None, None, NOTHING)))
    if right is None:
        one, two = (rows.outputs[both, place, 0].astype(np.float64) for place in (i, j))
        truth = rows.truth[both]
        distance = _mean(np.abs(one - two), group)
        return Pair(i, j, count, distance, correlation=_correlation(one - truth, two - truth, group))
    first, second = right[both, i], right[both, j]
    differing = (first != second).astype(np.float64)
    fault = (~first & ~second).astype(np.float64)
    return Pair(i, j, count, _share(differing, group), _q(first, second, group), _share(fault, group))


def _q(first: NDArray[np.bool_], second: NDArray[np.bool_], group: NDArray[np.int64]) -> Estimate:
    n = len(first)
    cells = np.stack([first & second, first & ~second, ~first & second, ~first & ~second], axis=1).astype(np.float64)
    counts = cells.sum(axis=0) + 0.5
    # The influence of a row on log(ad / bc), by the cell that it is in.
    signs = np.array([1.0, -1.0, -1.0, 1.0]) / counts * n
    parts = errors((cells * signs).sum(axis=1)[:, None], group)[:, 0]
    log_odds = float(np.log(counts) @ [1.0, -1.0, -1.0, 1.0])
    # Where the groups are the rows this is sqrt(sum 1 / cell); never less, so that empty cells are uncertain.
    error = max(math.sqrt(float(parts @ parts)), math.sqrt(float((1 / counts).sum())))
    low, value, high = (math.tanh(x / 2) for x in (log_odds - Z * error, log_odds, log_odds + Z * error))
    return Estimate(value, low, high, error * (1 - value * value) / 2)


def _correlation(one: Array, two: Array, group: NDArray[np.int64]) -> Estimate:
    first, second = one - one.mean(), two - two.mean()
    spread = math.sqrt(float(first @ first) * float(second @ second))
    n = len(np.unique(group))
    if spread <= 0.0 or n < 4:
        return NOTHING
    r = min(max(float(first @ second) / spread, -1.0), 1.0)
    z, half = math.atanh(min(max(r, -1 + 1e-12), 1 - 1e-12)), Z / math.sqrt(n - 3)
    return Estimate(r, math.tanh(z - half), math.tanh(z + half), (1 - r * r) / math.sqrt(n - 3))


def _share(found: Array, group: NDArray[np.int64]) -> Estimate:
    """A share of rows: Wilson's interval, of as many rows as are worth what the groups say."""
    value = float(found.mean())
    parts = errors(found[:, None], group)[:, 0]
    variance, n = float(parts @ parts), float(len(np.unique(group)))
    if variance > 0 and 0 < value < 1:
        n = min(value * (1 - value) / variance, float(len(found)))
    centre, half = value + Z * Z / (2 * n), Z * math.sqrt(value * (1 - value) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    return Estimate(value, max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0), math.sqrt(variance))


def _mean(found: NDArray[Any], group: NDArray[np.int64]) -> Estimate:
    return interval(float(found.mean()), errors(found[:, None], group)[:, 0])
