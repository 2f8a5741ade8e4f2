"""Fit the combiners of a cascade, one for every set of members, and what they say to rows they were not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
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
    found = {
        tuple(groups[list(some)].any(axis=0).tolist())
        for size in range(1, len(groups) + 1)
        for some in combinations(range(len(groups)), size)
    }
    found |= {tuple(row) for row in np.eye(m, dtype=bool).tolist()}
    return np.array(sorted(found, key=lambda some: (-sum(some), [not there for there in some])), bool)


def parts_of(y: NDArray[np.integer[Any]], folds: int, seed: int) -> list[NDArray[np.intp]]:
    """Random folds with nearly equal shares of every class, whatever their number of rows."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    return [np.sort(order[start::folds]) for start in range(folds)]


def fit_subsets(given: Seen, y: NDArray[np.integer[Any]], subsets: Bools, parts: Parts) -> Combiners:
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
        fitted = _Fitted.on(some, y, members, None, None)
        found = _held(some, y, members, None, None, parts)
        if penalty is not None:
            x = columns(some, knots, crossed)
            better = _Fitted.on(some, y, members, x, penalty)
            also = _held(some, y, members, x, penalty, parts, better)
            if log_loss(also, y) < log_loss(found, y):
                fitted, found = better, also
        fitted.into(arrays, number)
        held.append(found)
    if not arrays["corrections"].any():
        arrays["corrections"] = arrays["corrections"][:, :0]
    return Combiners(arrays, held)


@dataclass(frozen=True)
class _Fitted:
    weights: Floats
    biases: Floats
    kept: NDArray[np.intp]
    corrections: Floats | None

    @classmethod
    def on(
        cls,
        some: Seen,
        y: NDArray[np.integer[Any]],
        members: Bools,
        x: Floats | None,
        penalty: float | None,
        start: Floats | None = None,
    ) -> _Fitted:
        weights = np.zeros(len(members))
        weights[members], biases = fit_pool(np.ascontiguousarray(some.logs[:, members]), y)
        if x is None or penalty is None:
            return cls(weights, biases, np.zeros(0, np.intp), None)
        kept = np.flatnonzero(x.any(axis=0))
        offset = _pooled(some, weights, biases)
        if start is not None:
            start = start[kept]
        return cls(weights, biases, kept, fit_corrections(np.ascontiguousarray(x[:, kept]), y, offset, penalty, start))

    def full(self, f: int, k: int) -> Floats:
        v = np.zeros((f, k))
        if self.corrections is not None:
            v[self.kept] = self.corrections
        return v

    def into(self, arrays: dict[str, NDArray[Any]], number: int) -> None:
        arrays["weights"][number], arrays["biases"][number] = self.weights, self.biases
        if self.corrections is not None:
            arrays["corrections"][number, self.kept] = self.corrections

    def predict(self, some: Seen, x: Floats | None) -> Floats:
        logits = _pooled(some, self.weights, self.biases)
        if x is not None and self.corrections is not None:
            logits += x[:, self.kept] @ self.corrections
        return softmax(logits)


def _pooled(some: Seen, weights: Floats, biases: Floats) -> Floats:
    logits: Floats = np.einsum("nmk,m->nk", some.logs, weights) + biases
    return logits


def _held(
    some: Seen,
    y: NDArray[np.integer[Any]],
    members: Bools,
    x: Floats | None,
    penalty: float | None,
    parts: Parts,
    whole: _Fitted | None = None,
) -> Floats:
    """Probabilities ``[n, k]`` to each row by what was fitted on the other folds."""
    n, k = len(y), some.logs.shape[2]
    found = np.empty((n, k))
    start = None if whole is None or x is None else whole.full(x.shape[1], k)
    for part in parts:
        found[part] = _said_of(some, y, members, x, penalty, part, start)
    return found


def _said_of(
    some: Seen,
    y: NDArray[np.integer[Any]],
    members: Bools,
    x: Floats | None,
    penalty: float | None,
    part: NDArray[np.intp],
    start: Floats | None = None,
) -> Floats:
    """Probabilities of the rows of one fold by what was fitted on the others."""
    rows = np.setdiff1d(np.arange(len(y)), part)
    cut = None if x is None else x[rows]
    fitted = _Fitted.on(some.take(rows), y[rows], members, cut, penalty, start)
    return fitted.predict(some.take(part), None if x is None else x[part])


def _alone(given: Seen, y: NDArray[np.integer[Any]], parts: Parts) -> tuple[Floats, float]:
    """Knots and penalty with which members alone have the lowest log loss on rows held out, all taken together."""
    members = np.eye(given.ok.shape[1], dtype=bool)
    losses = dict.fromkeys(product(KNOTS, PENALTIES), 0.0)
    for alone in members:
        some = given.of(alone)
        for count in KNOTS:
            x = columns(some, knots_of(given, count))
            for penalty in PENALTIES:
                for part in parts[:_TRIED]:
                    losses[count, penalty] += log_loss(_said_of(some, y, alone, x, penalty, part), y[part])
    count, penalty = min(losses, key=lambda tried: losses[tried])
    return knots_of(given, count), penalty


def _penalty(given: Seen, y: NDArray[np.integer[Any]], x: Floats, parts: Parts) -> float:
    """The penalty with the lowest log loss on rows held out, all members together."""
    everyone = np.ones(given.ok.shape[1], bool)
    losses = dict.fromkeys(PENALTIES, 0.0)
    for part in parts[:_TRIED]:
        rest = np.ones(len(y), bool)
        rest[part] = False
        rows = np.flatnonzero(rest)
        start = None
        for penalty in PENALTIES:
            fitted = _Fitted.on(given.take(rows), y[rows], everyone, x[rows], penalty, start)
            losses[penalty] += log_loss(fitted.predict(given.take(part), x[part]), y[part]) * len(part)
            start = fitted.full(x.shape[1], given.logs.shape[2])
    return min(losses, key=lambda penalty: losses[penalty])
