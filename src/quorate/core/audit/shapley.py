"""Shapley values: what each member adds, averaged over all orders in which a pool could be put together.

``phi_j = sum over pools S without j of |S|! (m - |S| - 1)! / m! (v(S + j) - v(S))``. They add up to v(all) - v(none).
The value is linear in v, so the values of the rows' contributions are the contributions to the values.

Up to :data:`MOST_EXACT` members all 2^m pools are looked at. Beyond that orders are drawn, each with its reverse (an
antithetic pair: a member that comes early in one comes late in the other), so every pair is one unbiased estimate,
and the spread of the pairs is the error of having drawn some.

References: L. Shapley, "A value for n-person games", Contributions to the Theory of Games II, 1953; J. Castro, D.
Gómez, J. Tejada, "Polynomial calculation of the Shapley value based on sampling", Computers & OR 36(5), 2009; R.
Mitchell, J. Cooper, E. Frank, G. Holmes, "Sampling permutations for Shapley value estimation", JMLR 23, 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Worth = Callable[[int], Array]
"""A pool's mask -> contributions of rows ``[n]``."""

MOST_EXACT = 10
PAIRS = (24, 200)
"""Of orders: at least and at most."""


@dataclass(frozen=True)
class Values:
    """Contributions to the values, float64 ``[n, m]``; ``error`` ``[m]`` is the standard error from having drawn only
    ``pairs`` of orders: 0 and None where all pools were looked at."""

    contributions: Array
    error: Array
    pairs: int | None = None


def shapley(worth: Worth, members: int, rng: np.random.Generator, *, tolerance: float = 0.0) -> Values:
    """Exact or sampled, as many members as there are; sampling stops early once no error is above ``tolerance``."""
    return exact(worth, members) if members <= MOST_EXACT else sampled(worth, members, rng, tolerance=tolerance)


def exact(worth: Worth, members: int) -> Values:
    """By all pools.

    >>> exact(lambda pool: np.array([bin(pool).count("1") ** 2.0]), 2).contributions.tolist()
    [[2.0, 2.0]]
    """
    weights = [math.factorial(s) * math.factorial(members - s - 1) / math.factorial(members) for s in range(members)]
    total = np.zeros((len(worth(0)), members))
    for pool in range(1 << members):
        size = pool.bit_count()
        # v(pool) is a gain for those inside it, and what the others start from.
        share = [weights[size - 1] if pool >> j & 1 else -weights[size] for j in range(members)]
        total += worth(pool)[:, None] * np.array(share)
    return Values(total, np.zeros(members))


def sampled(
    worth: Worth,
    members: int,
    rng: np.random.Generator,
    *,
    pairs: tuple[int, int] = PAIRS,
    tolerance: float = 0.0,
) -> Values:
    """By drawn orders and their reverses; ``pairs`` are how many at least and at most."""
    least, most = pairs
    total = np.zeros((len(worth(0)), members))
    means: list[Array] = []
    error = np.full(members, np.inf)
    while len(means) < most and not (len(means) >= least and error.max() <= tolerance):
        order = rng.permutation(members)
        both = np.zeros_like(total)
        for one in (order, order[::-1]):
            pool, before = 0, worth(0)
            for j in one.tolist():
                pool |= 1 << j
                after = worth(pool)
                both[:, j] += (after - before) / 2
                before = after
        total += both
        means.append(both.mean(axis=0))
        if len(means) > 1:
            error = np.std(means, axis=0, ddof=1) / math.sqrt(len(means))
    return Values(total / len(means), error, len(means))
