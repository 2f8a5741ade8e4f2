"""What the models of a cascade see of the members that have answered.

Of member j that said ``x_j`` (k scores): its label ``l_j``, how sure it is, ``c_j = log(p / (1 - p))`` with
``p = max x_j``, and ``z_j``, the logarithms of its scores less their mean. From these come columns that a linear model
can use, all of them 0 for a member that has not answered:

    sureness    [label l_j is c] B_b(c_j)     k B columns a member: what a label is worth depends on how sure the member
                                              is of it, in its own way; B_b are linear splines with B knots
    agreement   [l_i = l_j = c]               k columns a pair: what two say alike counts less than twice
    crossed     a [l_i is c] B_b(c_j)         2 k C columns a pair, where they are not too many: what a label is worth
                                              depends on how sure others are; C knots, and a = sqrt(1/3): a penalty
                                              three times as high

``B_b`` rises linearly from 0 at the knot before to 1 at knot b and falls to 0 at the next; they sum to 1.
"""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import FloatArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

CLIP = 1e-4
"""Scores below this are taken for this in logarithms, and sureness is at most that of one less this."""


CROSSED = 3.0**-0.5
"""What crossed columns are multiplied by: a of this module."""


class Seen(NamedTuple):
    """Rows of answers. ``ok`` bool ``[n, m]``; the others are 0 where it is false: ``labels`` int ``[n, m]``,
    ``sure`` ``[n, m]`` (log-odds of the highest score), ``logs`` ``[n, m, k]`` (centred logarithms)."""

    ok: Bools
    labels: NDArray[np.intp]
    sure: Floats
    logs: Floats

    def take(self, rows: Any) -> Seen:
        """Those rows only."""
        return Seen(self.ok[rows], self.labels[rows], self.sure[rows], self.logs[rows])

    def of(self, members: Bools) -> Seen:
        """As if those members only, bool ``[m]``, had answered."""
        return Seen(
            self.ok & members,
            np.where(members, self.labels, 0),
            np.where(members, self.sure, 0.0),
            np.where(members[:, None], self.logs, 0.0),
        )


def seen(outputs: FloatArray, ok: Bools) -> Seen:
    """From outputs ``[n, m, k]``; what is not ok is never looked at."""
    k = outputs.shape[2]
    clean = np.where(ok[:, :, None], outputs, 1.0 / k).astype(np.float64)
    logs = np.log(np.maximum(clean, CLIP))
    logs -= np.add.reduce(logs, axis=2, keepdims=True) / k
    labels = clean.argmax(axis=2)
    top = np.clip(np.maximum.reduce(clean, axis=2), CLIP, 1.0 - CLIP)
    sure = np.where(ok, np.log(top / (1.0 - top)), 0.0)
    return Seen(ok, np.where(ok, labels, 0), sure, logs)


def knots_of(given: Seen, knots: int) -> Floats:
    """Knots ``[m, knots]`` of every member at quantiles of its sureness over the rows, strictly increasing."""
    found = np.quantile(given.sure, np.linspace(0.0, 1.0, knots), axis=0).T
    apart: Floats = np.maximum.accumulate(found, axis=1) + 1e-6 * np.arange(knots)
    return apart


def hats(values: Floats, knots: Floats) -> Floats:
    """Linear splines ``[…, B]`` of values ``[…]`` at knots ``[B]``, or of values ``[…, m]`` each at its own ``[m, B]``.

    Beyond the outermost knots they stay as they are there.

    >>> hats(np.array([0.0, 0.25, 9.0]), np.array([0.0, 1.0, 2.0])).tolist()
    [[1.0, 0.0, 0.0], [0.75, 0.25, 0.0], [0.0, 0.0, 1.0]]
    """
    low, high = knots[..., :-1], knots[..., 1:]
    risen = np.clip((values[..., None] - low) / (high - low), 0.0, 1.0)
    shape = (*values.shape, knots.shape[-1])
    found = np.zeros(shape)
    found[..., 0] = 1.0
    found[..., 1:] = risen
    found[..., :-1] -= risen
    return found


def width(m: int, k: int, knots: int, coarse: int = 0) -> int:
    """Columns of :func:`columns` with B ``knots`` and C ``coarse`` ones; 0 where nothing is crossed."""
    pairs = m * (m - 1) // 2
    return m * k * knots + pairs * k + 2 * pairs * k * coarse


class Offsets(NamedTuple):
    """Where columns begin: of every member's ``sureness``; by pair those of agreement (``pairs``), and of what the
    first one's label is worth as sure as the second one is (``across``). ``crossed`` is where the crossed ones begin;
    ``knots`` and ``coarse`` are counts."""

    sureness: list[int]
    pairs: dict[tuple[int, int], int]
    across: dict[tuple[int, int], int]
    crossed: int
    knots: int
    coarse: int


def offsets(m: int, k: int, knots: int, coarse: int) -> Offsets:
    """Of the columns of m members and k classes."""
    alone = m * k * knots
    pairs = {pair: alone + at * k for at, pair in enumerate(combinations(range(m), 2))}
    crossed = alone + len(pairs) * k
    across = {pair: crossed + at * k * coarse for at, pair in enumerate(permutations(range(m), 2))}
    return Offsets([j * k * knots for j in range(m)], pairs, across, crossed, knots, coarse)


def entries(given: Seen, members: Bools, knots: Floats, coarse: Floats | None = None) -> tuple[Ints, Floats]:
    """Which of :func:`columns` may be other than 0 in each row, and their values, both ``[n, E]``; in their order.

    Of ``members`` ``[m]`` only: the others have not answered.
    """
    m, k = given.logs.shape[1:]
    at = offsets(m, k, knots.shape[1], 0 if coarse is None else coarse.shape[1])
    those, labels, ok = np.flatnonzero(members).tolist(), given.labels, given.ok
    splines = hats(given.sure, knots)
    listed = [
        (at.sureness[j] + labels[:, j, None] * at.knots + np.arange(at.knots), splines[:, j] * ok[:, j, None])
        for j in those
    ]
    for i, j in combinations(those, 2):
        alike = (labels[:, i] == labels[:, j]) & ok[:, i] & ok[:, j]
        listed.append((at.pairs[i, j] + labels[:, i, None], alike[:, None].astype(np.float64)))
    if coarse is not None:
        sure = CROSSED * hats(given.sure, coarse) * ok[:, :, None]
        for i, j in permutations(those, 2):
            base = at.across[i, j] + labels[:, i, None] * at.coarse
            listed.append((base + np.arange(at.coarse), sure[:, j] * ok[:, i, None]))
    where, values = zip(*listed, strict=True)
    return np.concatenate(where, axis=1), np.concatenate(values, axis=1)


def sureness(given: Seen, knots: Floats) -> Floats:
    """The first kind of columns, ``[n, m k B]``; ``knots`` ``[m, B]``."""
    found: Floats = _said(given)[:, :, :, None] * hats(given.sure, knots)[:, :, None, :]
    return found.reshape(len(found), found.shape[1] * found.shape[2] * found.shape[3])


def columns(given: Seen, knots: Floats, coarse: Floats | None = None) -> Floats:
    """The columns ``[n, F]`` described above; ``knots`` ``[m, B]``, ``coarse`` ``[m, C]`` where they are crossed."""
    n, m = given.ok.shape
    said = _said(given)
    parts = [sureness(given, knots)]
    parts += [(said[:, i] & said[:, j]).astype(np.float64) for i, j in combinations(range(m), 2)]
    if coarse is not None:
        sure = CROSSED * hats(given.sure, coarse) * given.ok[:, :, None]
        width = said.shape[2] * coarse.shape[1]
        parts += [(said[:, i, :, None] * sure[:, j, None, :]).reshape(n, width) for i, j in permutations(range(m), 2)]
    return np.concatenate(parts, axis=1)


def _said(given: Seen) -> Bools:
    found: Bools = (given.labels[:, :, None] == np.arange(given.logs.shape[2])) & given.ok[:, :, None]
    return found
