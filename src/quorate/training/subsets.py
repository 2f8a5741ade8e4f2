"""Fit the combiners of a cascade, one for every set of members, and what they say to rows they were not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.cascade.evidence import Bools, Floats, Seen, columns, knots_of, width
from quorate.core.cascade.posterior import posterior, softmax
from quorate.core.cascade.router import FEW_CLASSES
from quorate.training.softmax import fit_corrections, fit_pool, log_loss

KNOTS = 5
PENALTIES = (3.0, 10.0, 30.0)
"""Of the corrections, tried by cross-validation; and none at all."""
_MOST_COLUMNS = 2000

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
    corrected = k <= FEW_CLASSES and width(m, k, KNOTS) <= _MOST_COLUMNS
    knots = knots_of(given, KNOTS)
    f = width(m, k, KNOTS) if corrected else 0
    penalty = _penalty(given, y, knots, parts) if corrected else None
    arrays: dict[str, NDArray[Any]] = {
        "subsets": subsets,
        "knots": knots,
        "weights": np.zeros((len(subsets), m)),
        "biases": np.zeros((len(subsets), k)),
        "corrections": np.zeros((len(subsets), f if penalty is not None else 0, k)),
    }
    held = []
    for number, members in enumerate(subsets):
        some = given.of(members)
        x = columns(some, knots) if penalty is not None else None
        whole = _Fitted.on(some, y, members, x, penalty)
        whole.into(arrays, number)
        held.append(_held(some, y, members, x, penalty, parts, whole))
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
        rest = np.ones(n, bool)
        rest[part] = False
        rows = np.flatnonzero(rest)
        cut = None if x is None else x[rows]
        fitted = _Fitted.on(some.take(rows), y[rows], members, cut, penalty, start)
        found[part] = fitted.predict(some.take(part), None if x is None else x[part])
    return found


def _penalty(given: Seen, y: NDArray[np.integer[Any]], knots: Floats, parts: Parts) -> float | None:
    """The penalty with the lowest cross-validated log loss on all members together; None if the pool alone is lower."""
    everyone = np.ones(given.ok.shape[1], bool)
    x = columns(given, knots)
    losses = {None: log_loss(_held(given, y, everyone, None, None, parts), y)} | {
        penalty: log_loss(_held(given, y, everyone, x, penalty, parts), y) for penalty in PENALTIES
    }
    return min(losses, key=lambda penalty: losses[penalty])


__all__ = ["Combiners", "Parts", "fit_subsets", "parts_of", "posterior", "subsets_of"]
