"""Fit the router of a cascade by backward induction over sets of members, for a whole grid of prices at once.

Rows have, for every set S that is routed, the probabilities of a combiner that has not seen them. From the largest set
down, the gain of going on to T, ``V(T) - stop(S)``, is regressed on what was heard (ridge regression); each row then
takes the choice that regressions fitted on the other folds hold to be best, and V(S) is what that choice comes to. So
every figure here is of rows that neither the combiner nor the router was fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.cascade.evidence import Bools, Floats, Seen
from quorate.core.cascade.router import heard, larger
from quorate.training.subsets import Parts

RIDGE = 30.0
AHEAD = 2
"""Members (or groups) that are asked at once at most, after the first stage."""
_CELLS = 3_000_000

Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Played:
    """What n rows come to at L prices: ``right`` bool ``[n, L]``, ``cost`` ``[n, L]``, and ``final`` int ``[n, L]``,
    the routed set that was asked in the end."""

    right: Bools
    cost: Floats
    final: Ints

    @property
    def accuracy(self) -> Floats:
        """``[L]``"""
        found: Floats = self.right.mean(axis=0)
        return found

    @property
    def mean_cost(self) -> Floats:
        """``[L]``"""
        found: Floats = self.cost.mean(axis=0)
        return found

    def joined(self, others: Played, at: int) -> Played:
        """With those of other prices before place ``at``."""
        names = ("right", "cost", "final")
        mine, theirs = ([getattr(each, name) for name in names] for each in (self, others))
        return Played(*(np.insert(a, [at] * b.shape[1], b, axis=1) for a, b in zip(mine, theirs, strict=True)))


@dataclass(frozen=True)
class Scene:
    """Routed sets of members: ``sets`` bool ``[r, m]``, ``cost`` ``[r]`` asked stage by stage and ``at_once`` ``[r]``
    as one stage, ``stage`` of these, what one costs besides its members, ``asks`` bool ``[r, r]`` (what may be asked
    next), and rows: ``heard`` columns ``[n, G]``, ``stop`` ``[n]`` and ``right`` ``[n]`` by set."""

    sets: Bools
    cost: Floats
    at_once: Floats
    stage: float
    asks: Bools
    columns: Sequence[Floats]
    stop: Sequence[Floats]
    right: Sequence[Bools]

    def price(self, start: int, others: Ints) -> Floats:
        """What it costs to go on from a set to others."""
        found: Floats = self.cost[others] - self.cost[start]
        return found


def scene(
    given: Seen,
    y: NDArray[np.integer[Any]],
    probabilities: Sequence[Floats],
    sets: Bools,
    units: Bools,
    cost: Floats,
    knots: Floats,
    stage: float = 0.0,
) -> Scene:
    """Of rows that every member answered; ``probabilities`` ``[n, k]`` by set, ``units`` ``[u, m]`` are asked whole,
    each a stage."""
    sizes = (sets[:, None] & units[None]).any(axis=2).sum(axis=1)
    asks = larger(sets) & (sizes[None] - sizes[:, None] <= AHEAD)
    columns = [heard(given.of(some), p, knots) for some, p in zip(sets, probabilities, strict=True)]
    stop = [p.max(axis=1) for p in probabilities]
    right = [p.argmax(axis=1) == y for p in probabilities]
    return Scene(sets, sets @ cost + stage * sizes, sets @ cost + stage, stage, asks, columns, stop, right)


@dataclass(frozen=True)
class Router:
    """At each of ``prices`` ``[L]``: ``gains`` ``[L, r, G + 1, r]`` net of costs, and ``start`` ``[L, r]``, the value
    of asking each set first."""

    prices: Floats
    gains: Floats
    start: Floats

    def joined(self, others: Router, at: int) -> Router:
        """With other prices before place ``at``."""
        names = ("prices", "gains", "start")
        mine, theirs = ([getattr(each, name) for name in names] for each in (self, others))
        return Router(*(np.insert(a, [at] * len(b), b, axis=0) for a, b in zip(mine, theirs, strict=True)))


def fit_router(where: Scene, prices: Floats, parts: Parts) -> tuple[Router, Played]:
    """The router, and what the rows come to when each is routed by what the other folds taught."""
    n = len(where.stop[0])
    block = max(1, _CELLS // (n * max(1, int(where.asks.sum(axis=1).max()))))
    blocks = [_fit_block(where, prices[first : first + block], parts) for first in range(0, len(prices), block)]
    gains = np.concatenate([gains for gains, _, _ in blocks])
    start = np.concatenate([start for _, start, _ in blocks])
    names = ("right", "cost", "final")
    played = Played(*(np.concatenate([getattr(p, name) for *_, p in blocks], axis=1) for name in names))
    return Router(prices, gains, start), played


def play(where: Scene, router: Router) -> Played:
    """What rows that nothing was fitted on come to."""

    def net(s: int, others: Ints) -> Floats:
        gains = router.gains[:, s][:, :, others]  # [L, G + 1, T]
        found: Floats = np.einsum("ng,lgt->nlt", where.columns[s], gains[:, :-1]) + gains[:, -1][None]
        return found

    outcomes = _Outcomes(where, router.prices)
    for s in _order(where.sets):
        others = np.flatnonzero(where.asks[s])
        outcomes.choose(s, others, net(s, others) if len(others) else None)
    return outcomes.from_start(router.start)


def _fit_block(where: Scene, prices: Floats, parts: Parts) -> tuple[Floats, Floats, Played]:
    r, g = len(where.sets), where.columns[0].shape[1]
    gains = np.zeros((len(prices), r, g + 1, r))
    outcomes = _Outcomes(where, prices)
    for s in _order(where.sets):
        others = np.flatnonzero(where.asks[s])
        if not len(others):
            outcomes.choose(s, others, None)
            continue
        targets = np.stack([outcomes.value[t] for t in others.tolist()], axis=2) - where.stop[s][:, None, None]
        flat = targets.reshape(len(targets), -1)
        coefficients, held = ridge(where.columns[s], flat, parts, RIDGE)
        costs = prices[:, None] * where.price(s, others)
        shaped = coefficients.reshape(g + 1, len(prices), len(others))
        shaped[-1] -= costs
        gains[:, s, :, others] = shaped.transpose(2, 1, 0)
        outcomes.choose(s, others, held.reshape(targets.shape) - costs)
    start = np.stack([outcomes.value[t].mean(axis=0) - prices * where.at_once[t] for t in range(r)], axis=1)
    return gains, start, outcomes.from_start(start)


class _Outcomes:
    """By set, what rows come to from there on, ``[n, L]``: ``value``, whether right, further cost, and the last set."""

    def __init__(self, where: Scene, prices: Floats) -> None:
        self.where, self.prices = where, prices
        self.value: dict[int, Floats] = {}
        self.right: dict[int, Bools] = {}
        self.cost: dict[int, Floats] = {}
        self.final: dict[int, Ints] = {}

    def choose(self, s: int, others: Ints, net: Floats | None) -> None:
        """Have every row go to the best of ``others`` by ``net`` gains ``[n, L, T]``, or stop where none is above 0."""
        where, shape = self.where, (len(self.where.stop[s]), len(self.prices))
        value, right = np.broadcast_to(where.stop[s][:, None], shape), np.broadcast_to(where.right[s][:, None], shape)
        cost, final = np.zeros(shape), np.full(shape, s, np.intp)
        if net is not None:
            best = np.where(net.max(axis=2) > 0, net.argmax(axis=2), -1)
            value, right = value.copy(), right.copy()
            for place, (t, extra) in enumerate(zip(others.tolist(), where.price(s, others).tolist(), strict=True)):
                go = best == place
                value[go] = (self.value[t] - self.prices * extra)[go]
                right[go] = self.right[t][go]
                cost[go] = self.cost[t][go] + extra
                final[go] = self.final[t][go]
        self.value[s], self.right[s], self.cost[s], self.final[s] = value, right, cost, final

    def from_start(self, start: Floats) -> Played:
        """All rows begin with the set of the greatest value ``[L, r]``."""
        first = start.argmax(axis=1)
        places = range(len(first))
        return Played(
            np.stack([self.right[first[at]][:, at] for at in places], axis=1),
            np.stack([self.cost[first[at]][:, at] + self.where.at_once[first[at]] for at in places], axis=1),
            np.stack([self.final[first[at]][:, at] for at in places], axis=1),
        )


def _order(sets: Bools) -> list[int]:
    order: list[int] = np.argsort(-sets.sum(axis=1), kind="stable").tolist()
    return order


def ridge(x: Floats, targets: Floats, parts: Parts, penalty: float) -> tuple[Floats, Floats]:
    """Ridge regression of ``targets`` ``[n, t]`` on ``x`` ``[n, G]``, the constant not penalised.

    Coefficients ``[G + 1, t]``, the constant last, fitted on all rows; and to each row ``[n, t]`` the prediction of a
    fit on the other ``parts``. Columns are not scaled: a spline that few rows are in counts little.
    """
    centre = x.mean(axis=0)
    z = np.concatenate([x - centre, np.ones((len(x), 1))], axis=1)
    strength = np.full(z.shape[1], penalty)
    strength[-1] = 1e-9
    gram, moments = z.T @ z + np.diag(strength), z.T @ targets
    held = np.empty_like(targets)
    for part in parts:
        rows = z[part]
        held[part] = rows @ np.linalg.solve(gram - rows.T @ rows, moments - rows.T @ targets[part])
    found = np.linalg.solve(gram, moments)
    found[-1] -= centre @ found[:-1]
    return found, held
