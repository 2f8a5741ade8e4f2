"""Fit the combiners of a cascade, one for every set of members, and what they say to rows they were not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.cascade.evidence import Bools, Floats, Seen, columns, knots_of, width
from quorate.core.cascade.posterior import softmax
from quorate.core.cascade.router import FEW_CLASSES
from quorate.training.softmax import fit_corrections, fit_pool, log_loss

KNOTS, COARSE, FINE = (3, 5, 8), 3, 8
"""Of the combiners, chosen by how well they tell what each member alone is worth; where crossed; and of the router."""
PENALTIES = (10.0, 3.0, 1.0, 0.3)
"""Of the corrections, tried on the first two folds; each set then has corrections if they lower its log loss."""
_MOST_COLUMNS, _TRIED = 500, 2

Ints = NDArray[np.integer[Any]]
Tried = Sequence[float | None]
Parts = Sequence[NDArray[np.intp]]
"""Rows held out, fold by fold; together all rows, each once."""


@dataclass(frozen=True)
class Combiners:
    """``arrays`` as :func:`~quorate.core.cascade.posterior.posterior` reads them, and by set the probabilities
    ``[n, k]`` to each row of combiners fitted on the other folds."""

    arrays: dict[str, NDArray[Any]]
    held: list[Floats]


def subsets_of(m: int, units: Bools, most: int) -> Bools:
    """All sets of ``m`` members, bool ``[s, m]``, the largest first; beyond ``most`` members each alone and the unions
    of ``units`` ``[u, m]``."""
    groups = np.eye(m, dtype=bool) if m <= most else units
    found: set[tuple[bool, ...]] = {tuple(row) for row in np.eye(m, dtype=bool).tolist()}
    for size in range(1, len(groups) + 1):
        for some in combinations(range(len(groups)), size):
            union: list[bool] = np.logical_or.reduce(groups[list(some)], axis=0).tolist()
            found.add(tuple(union))
    return np.array(sorted(found, key=lambda some: (-sum(some), [not there for there in some])), bool)


def parts_of(y: Ints, folds: int, seed: int) -> list[NDArray[np.intp]]:
    """Random folds with nearly equal shares of every class, whatever their number of rows."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    return [np.sort(order[start::folds]) for start in range(folds)]


def fit_subsets(given: Seen, y: Ints, subsets: Bools, parts: Parts) -> Combiners:
    """Combiners for all ``subsets`` ``[s, m]`` from rows that every member answered, cross-fitted over ``parts``."""
    m, k = given.logs.shape[1:]
    corrected = k <= FEW_CLASSES and width(m, k, KNOTS[0]) <= _MOST_COLUMNS
    knots, lone = _alone(given, y, parts) if corrected else (knots_of(given, KNOTS[0]), None)
    coarse = knots_of(given, COARSE)
    crossed = coarse if width(m, k, knots.shape[1], COARSE) <= _MOST_COLUMNS else None
    common = _penalty(given, y, columns(given, knots, crossed), parts) if corrected else None
    f = width(m, k, knots.shape[1], 0 if crossed is None else COARSE)
    arrays: dict[str, NDArray[Any]] = {
        "subsets": subsets,
        "knots": knots,
        "coarse": coarse,
        "fine": knots_of(given, FINE),
        "weights": np.zeros((len(subsets), m)),
        "biases": np.zeros((len(subsets), k)),
        "corrections": np.zeros((len(subsets), f if corrected else 0, k)),
    }
    held = []
    for number, members in enumerate(subsets):
        some, penalty = given.of(members), lone if members.sum() == 1 else common
        x = None if penalty is None else columns(some, knots, crossed)
        tried: tuple[float | None, ...] = (None,) if penalty is None else (None, penalty)
        whole = _Fitted.on(some, y, members, x, tried)
        found = np.empty((len(tried), len(y), k))
        for part in parts:
            found[:, part] = _held(some, y, members, x, tried, part, whole)
        best = min(range(len(tried)), key=lambda at: log_loss(found[at], y))
        arrays["weights"][number], arrays["biases"][number] = whole.weights, whole.biases
        arrays["corrections"][number] = whole.corrections[best] if corrected else 0.0
        held.append(found[best])
    if not arrays["corrections"].any():
        arrays["corrections"] = arrays["corrections"][:, :0]
    return Combiners(arrays, held)


@dataclass(frozen=True)
class _Fitted:
    """A pool, and corrections ``[F, k]`` of it at each penalty tried (0 for None)."""

    weights: Floats
    biases: Floats
    corrections: list[Floats]

    @classmethod
    def on(
        cls, some: Seen, y: Ints, members: Bools, x: Floats | None, tried: Tried, start: _Fitted | None = None
    ) -> _Fitted:
        """Fitted on all of these rows; at each penalty from where ``start``, or the penalty before it, came to."""
        weights = np.zeros(len(members))
        weights[members], biases = fit_pool(np.ascontiguousarray(some.logs[:, members]), y)
        nothing = np.zeros((0 if x is None else x.shape[1], len(biases)))
        found = cls(weights, biases, [])
        kept = np.zeros(0, np.intp) if x is None else np.flatnonzero(x.any(axis=0))
        columns = None if x is None else np.ascontiguousarray(x[:, kept])
        for at, penalty in enumerate(tried):
            full = nothing.copy()
            if penalty is not None and columns is not None:
                known = start.corrections[at] if start is not None else [nothing, *found.corrections][-1]
                full[kept] = fit_corrections(columns, y, found.pooled(some), penalty, known[kept])
            found.corrections.append(full)
        return found

    def pooled(self, some: Seen) -> Floats:
        """Logits ``[n, k]`` without corrections."""
        logits: Floats = np.einsum("nmk,m->nk", some.logs, self.weights) + self.biases
        return logits


def _held(
    some: Seen,
    y: Ints,
    members: Bools,
    x: Floats | None,
    tried: Tried,
    part: NDArray[np.intp],
    start: _Fitted | None = None,
) -> Floats:
    """Probabilities ``[t, r, k]`` of the rows of one fold by what was fitted on the others, at each penalty tried."""
    rows = np.setdiff1d(np.arange(len(y)), part)
    fitted = _Fitted.on(some.take(rows), y[rows], members, None if x is None else x[rows], tried, start)
    pooled = fitted.pooled(some.take(part))
    return np.stack([softmax(pooled.copy() if x is None else pooled + x[part] @ v) for v in fitted.corrections])


def _lost(some: Seen, y: Ints, members: Bools, x: Floats, parts: Parts) -> Floats:
    """Log loss at each of :data:`PENALTIES` on the first folds, held out."""
    lost = np.zeros(len(PENALTIES))
    for part in parts[:_TRIED]:
        lost += [log_loss(p, y[part]) for p in _held(some, y, members, x, PENALTIES, part)]
    return lost


def _alone(given: Seen, y: Ints, parts: Parts) -> tuple[Floats, float]:
    """Knots and penalty with which members alone have the lowest log loss on rows held out, all taken together."""
    members = np.eye(given.ok.shape[1], dtype=bool)
    lost = np.zeros((len(KNOTS), len(PENALTIES)))
    for alone in members:
        some = given.of(alone)
        lost += [_lost(some, y, alone, columns(some, knots_of(given, count)), parts) for count in KNOTS]
    count, penalty = np.unravel_index(lost.argmin(), lost.shape)
    return knots_of(given, KNOTS[count]), PENALTIES[penalty]


def _penalty(given: Seen, y: Ints, x: Floats, parts: Parts) -> float:
    """The penalty with the lowest log loss on rows held out, all members together."""
    return PENALTIES[int(_lost(given, y, np.ones(given.ok.shape[1], bool), x, parts).argmin())]
