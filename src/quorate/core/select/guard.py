"""Guard rails of learners: a least share of every strategy, and never below a baseline by more than so much.

**Floor.** ``p = floor + (1 - k floor) q``, where ``q`` is what the learner wants.

**Baseline.** Over the rows learned from, how much more reward did the traffic get than the baseline would have? With
the rewards of all strategies known, row i says ``d_i = sum_j p_ij r_ij - r_ib``. With the assigned one's alone, ``d_i
= (r_i - c)(1 - z_i)`` with ``z_i = 1[a_i = b] / p_ib``: unbiased for every c, as ``E z_i = 1``; c is fitted (a
control variate). Where the lower end of a confidence sequence for the mean of d is below ``-tolerance``, the baseline
gets all traffic but the floors, until it is not: then d is near 0, and evidence for a learner that did well, or the
passing of rows, brings the bound back. So the learner explores on a budget, as in conservative bandits. The bound
holds at every look at once, asymptotically; it starts with one row's worth of doubt (a deviation of 1).

References: Y. Wu, R. Shariff, T. Lattimore, C. Szepesvari, "Conservative bandits", ICML 2016; I. Waudby-Smith,
D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
Annals of Statistics 52, 2024, eq. 8 (the mixture's boundary).
"""

from __future__ import annotations

import math

import numpy as np

from quorate.core.select.evidence import Evidence, Floats

LEVEL = 0.05
"""How surely: the chance that the bound is ever wrong."""
RHO2 = 0.01
"""Where the boundary is tightest: some hundreds of rows."""
SIZE = 7


def start() -> Floats:
    """The sums before anything is known: of w, w^2, x, y, x^2, xy and y^2, where ``d = x - c y``."""
    return np.zeros(SIZE)


def add(sums: Floats, evidence: Evidence, old: float, new: Floats, baseline: int) -> Floats:
    """The sums with more rows; those in which the assigned strategy's reward is not known say nothing."""
    own, p = evidence.own, evidence.propensities
    whole = ~np.isnan(evidence.rewards).any(1)
    chance = p[:, baseline]
    hit = evidence.assigned == baseline
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(hit, 1.0 / chance, 0.0)
        x = np.where(whole, (p * evidence.rewards).sum(1) - evidence.rewards[:, baseline], own * (1.0 - z))
    y = np.where(whole, 0.0, 1.0 - z)
    # Where the baseline could not be drawn, such a row cannot tell what it would have got.
    kept = np.isfinite(x) & np.isfinite(y) & (whole | (chance > 0))
    x, y, w = x[kept], y[kept], new[kept]
    more = np.array([w.sum(), (w * w).sum(), w @ x, w @ y, w @ (x * x), w @ (x * y), w @ (y * y)])
    decay = np.full(SIZE, old)
    decay[1] = old * old
    found: Floats = sums * decay + more
    return found


def lower_bound(sums: Floats) -> float:
    """Lower end of the confidence sequence for (reward of the traffic) - (the baseline's), a row; -inf if unknown."""
    w, w2, x, y, xx, xy, yy = sums.tolist()
    if w <= 0.0:
        return -math.inf
    n = w * w / w2  # rows that as many of equal weight would be
    mean_x, mean_y = x / w, y / w
    spread_x, spread_y = xx / w - mean_x**2, yy / w - mean_y**2
    c = (xy / w - mean_x * mean_y) / spread_y if spread_y > 1e-12 else 0.0
    c = min(max(c, 0.0), 1.0)
    variance = max(spread_x - 2 * c * (xy / w - mean_x * mean_y) + c * c * spread_y, 0.0)
    variance = (n * variance + 1.0) / (n + 1.0)
    grown = n * RHO2 + 1.0
    half = math.sqrt(variance * 2.0 * grown / (n * n * RHO2) * math.log(math.sqrt(grown) / LEVEL))
    found: float = mean_x - c * mean_y - half
    return found


def share(q: Floats, floor: float, baseline: int | None = None, guarded: bool = False) -> Floats:
    """What is drawn from: ``q`` ``[k]``, or the baseline where ``guarded``, under the floors.

    >>> share(np.array([0.0, 1.0]), 0.1).tolist(), share(np.array([0.0, 1.0]), 0.1, 0, guarded=True).tolist()
    ([0.1, 0.9], [0.9, 0.1])
    """
    if guarded and baseline is not None:
        q = np.zeros(len(q))
        q[baseline] = 1.0
    p: Floats = floor + (1.0 - len(q) * floor) * q
    return p
