"""Exact nearest neighbours among reference rows: matrix products find candidates, plain differences decide.

``|x - r|^2 = |x|^2 - 2 x.r + |r|^2`` costs one matrix product for many rows, but is rounded, and differently for one
row than for a thousand. So every reference row whose product may be among the ``k`` nearest, given a bound on the
rounding error, is a candidate; of candidates ``sum_j (x_j - r_j)^2`` is computed in double precision, term by term.
The result is therefore exact up to the rounding of that sum, and the same for a row alone as in any batch.

What the k-th smallest product is at most is read off the least of every block of :data:`BLOCK` reference rows: the
k-th smallest of those minima. That takes one pass, where selecting among all takes many.

Ties: of equal distances the lower reference index is nearer.

The error bound is ``4 (d + 4) eps (|x| + max |r|)^2``: N. Higham, "Accuracy and Stability of Numerical Algorithms",
SIAM 2002, section 3.1, for products of d terms, on both sides of the comparison.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32] | NDArray[np.float64]
Found = tuple[NDArray[np.intp], NDArray[np.float64]]

AT_ONCE = 1 << 22
"""Numbers of a matrix that are in memory at a time."""
BLOCK = 64


def squared_norms(reference: Matrix) -> NDArray[np.float64]:
    """``|r|^2`` of every row of ``reference`` ``[r, d]``, float64 ``[r]``."""
    found: NDArray[np.float64] = np.einsum("rd,rd->r", reference, reference, dtype=np.float64)
    return found


def nearest(queries: Matrix, reference: Matrix, norms: NDArray[np.float64], k: int) -> Found:
    """The ``k`` nearest of ``reference`` ``[r, d]`` for every row of ``queries`` ``[n, d]``, the nearest first.

    ``norms`` are :func:`squared_norms` of the reference, ``k`` in 1..r. Returns indices ``[n, k]`` and squared
    distances float64 ``[n, k]``. Memory beyond inputs and result is bounded by a few times :data:`AT_ONCE` numbers,
    or the size of the reference where all of it is equally near, whatever n.

    >>> reference = np.array([[0.0], [2.0], [5.0]])
    >>> index, squares = nearest(np.array([[1.0]]), reference, squared_norms(reference), 2)
    >>> index.tolist(), squares.tolist()
    ([[0, 1]], [[1.0, 1.0]])
    """
    n, d = queries.shape
    queries = _like(queries, reference)
    sizes = np.einsum("nd,nd->n", queries, queries, dtype=np.float64)
    slack = 4.0 * (d + 4) * float(np.finfo(reference.dtype).eps) * (np.sqrt(sizes) + float(norms.max()) ** 0.5) ** 2
    step = max(1, AT_ONCE // len(reference))
    if n <= step:
        return _some(queries, slack, reference, norms, k)
    parts = [slice(start, start + step) for start in range(0, n, step)]
    found = [_some(queries[part], slack[part], reference, norms, k) for part in parts]
    return np.concatenate([index for index, _ in found]), np.concatenate([squares for _, squares in found])


def _some(queries: Matrix, slack: NDArray[np.float64], reference: Matrix, norms: NDArray[np.float64], k: int) -> Found:
    n, r = len(queries), len(reference)
    products = queries @ reference.T if n > 1 else (reference @ queries[0])[None]
    near = norms - 2.0 * products
    block = max(1, min(BLOCK, r // (4 * k)))
    blocks = r // block
    least = np.minimum.reduce(near[:, : blocks * block].reshape(n, blocks, block), axis=2) if block > 1 else near
    at_most = np.partition(least, k - 1, axis=1)[:, k - 1] + slack
    if n == 1:
        candidates = np.flatnonzero(near[0] <= at_most[0])
        squares = _squares(queries[0], reference[candidates])
        order = squares.argsort(kind="stable")[:k]  # candidates ascend: a tie goes to the lower index
        return candidates[order][None], squares[order][None]
    rows, candidates = np.nonzero(near <= at_most[:, None])
    if len(rows) * queries.shape[1] > AT_ONCE:  # many ties, or many columns
        half = n // 2
        first, second = slice(0, half), slice(half, n)
        found = [_some(queries[part], slack[part], reference, norms, k) for part in (first, second)]
        return np.concatenate([index for index, _ in found]), np.concatenate([squares for _, squares in found])
    squares = _squares(queries[rows], reference[candidates])
    order = np.lexsort((squares, rows))
    chosen = order[np.searchsorted(rows, np.arange(n))[:, None] + np.arange(k)]
    return candidates[chosen], squares[chosen]


def _like(queries: Matrix, reference: Matrix) -> Matrix:
    """The queries in the reference's precision."""
    return queries.astype(reference.dtype, copy=False)  # type: ignore[return-value]


def _squares(queries: Matrix, rows: Matrix) -> NDArray[np.float64]:
    """Squared distances along the last axis, in double precision."""
    differences = np.subtract(queries, rows, dtype=np.float64)
    np.multiply(differences, differences, out=differences)
    found: NDArray[np.float64] = np.add.reduce(differences, axis=-1)
    return found
