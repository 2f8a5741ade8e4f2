"""The router of a cascade: having heard the members S, is it worth its cost to ask more, and whom?

    Q(S, T; x_S) = E[V(T) - stop(S) | x_S] - lambda cost(T \\ S),     stop(S) = max_c P(y = c | x_S)
    V(S) = stop(S) + max(0, max_T Q(S, T; x_S))

T are the sets that more members can make of S. The expectation is a linear function of columns of what was heard:
how probable the first three classes are, entropy, splines of the first one's probability and of its lead, and, of few
classes, all probabilities and, for every member's label, splines of how sure it is; of every member, how sure it is and
how probable its label. The function is fitted by backward induction over the sets, the largest first (fitted Q
iteration over a finite horizon).

Where nothing has been heard, V(T) is a number, and so the first stage is the same for every row.

References: D. Ernst, P. Geurts, L. Wehenkel, "Tree-based batch mode reinforcement learning", JMLR 6, 2005 (fitted Q);
L. Chen, M. Zaharia, J. Zou, "FrugalML: how to use ML prediction APIs more accurately and cheaply", NeurIPS 2020.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quorate.core.cascade.evidence import Bools, Floats, Seen, hats, sureness

FEW_CLASSES = 30
"""With more, single classes are no columns."""

TOP = np.array([0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.96, 1.0])
LEAD = np.array([0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
LEAST = 1e-12
SURE = 3.0  # log-odds are wider than shares; the penalty is the same


class Places(NamedTuple):
    """Where :func:`heard` begins with each of its kinds of columns, after the first four; ``knots`` is their count, and
    ``width`` that of all columns."""

    top: int
    lead: int
    alike: int
    backed: int
    sure: int
    p: int
    sureness: int
    knots: int
    width: int


def places(m: int, k: int, knots: int) -> Places:
    """Of m members and k classes."""
    lead = 4 + len(TOP)
    alike = lead + len(LEAD)
    p = alike + 3 * m
    few = k <= FEW_CLASSES
    sureness = p + 2 * k * few
    return Places(4, lead, alike, alike + m, alike + 2 * m, p, sureness, knots, sureness + m * k * knots * few)


def width(m: int, k: int, knots: int) -> int:
    """Columns of :func:`heard`."""
    return places(m, k, knots).width


def heard(given: Seen, p: Floats, knots: Floats) -> Floats:
    """Columns ``[n, G]`` of what was heard and of the posterior ``p`` ``[n, k]`` made of it; ``knots`` ``[m, B]``."""
    n, k = p.shape
    ordered = np.sort(p, axis=1)[:, ::-1]
    third = ordered[:, 2] if k > 2 else np.zeros(n)
    entropy = -np.add.reduce(p * np.log(np.maximum(p, LEAST)), axis=1)
    alike = (given.labels == p.argmax(axis=1)[:, None]) & given.ok
    backed = np.where(given.ok, np.take_along_axis(p, given.labels, axis=1), 0.0)
    parts = [
        np.stack([ordered[:, 0], ordered[:, 1], third, entropy], axis=1),
        hats(ordered[:, 0], TOP),
        hats(ordered[:, 0] - ordered[:, 1], LEAD),
        alike,
        backed,
        given.sure / SURE,
    ]
    if k <= FEW_CLASSES:
        parts += [p, p.argmax(axis=1)[:, None] == np.arange(k), sureness(given, knots)]
    return np.concatenate(parts, axis=1)


def larger(subsets: Bools) -> Bools:
    """Whether set t has all of set s and more: bool ``[s, t]``."""
    lacking: Bools = np.logical_and(subsets[:, None], ~subsets[None])
    within = ~lacking.any(axis=2)
    found: Bools = np.logical_and(within, ~within.T)
    return found
