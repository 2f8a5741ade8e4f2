"""The combiners of a cascade: for every set S of members that may have answered, what is true, given what they said.

    P(y = c | x_S) = softmax_c(sum_j w_j^S z_jc + b_c^S + sum_f V_fc^S phi_f(x_S))

The first two terms are the log-linear opinion pool, with few parameters: all there is where classes are many or rows
few. The third corrects it by labels, sureness and agreement (:mod:`quorate.core.cascade.evidence`); its parameters are
penalised, so that it says nothing of what was never seen. Each set has its own parameters, so the answer of few members
is as calibrated as that of all.

A set that has none, because of members that failed, is answered by the largest fitted set in it; where there is none
either, by the mean of those that answered.

References: C. Genest, J. Zidek, "Combining probability distributions", Statistical Science 1(1), 1986 (log-linear
pools); D. Wolpert, "Stacked generalization", Neural Networks 5(2), 1992.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.cascade.evidence import Bools, Floats, Ints, Seen, entries, width

Arrays = Mapping[str, NDArray[Any]]
_CELLS = 1 << 18


def which(ok: Bools, subsets: Bools) -> NDArray[np.intp]:
    """For rows of ``ok`` ``[n, m]`` the first of ``subsets`` ``[s, m]``, largest first, that is in it; -1 for none."""
    inside: Bools = ~np.logical_or.reduce(np.logical_and(subsets[None], ~ok[:, None]), axis=2)
    return np.where(inside.any(axis=1), inside.argmax(axis=1), -1)


def posterior(given: Seen, subset: int, arrays: Arrays) -> Floats:
    """Probabilities ``[n, k]`` by one fitted set, all of whose members have answered these rows."""
    members = arrays["subsets"][subset]
    some = given if (given.ok == members).all() else given.of(members)
    logits: Floats = np.add.reduce(some.logs * arrays["weights"][subset][:, None], axis=1)
    logits += arrays["biases"][subset]
    corrections = arrays["corrections"]
    if corrections.shape[1]:
        knots = arrays["knots"]
        plain = width(len(knots), logits.shape[1], knots.shape[1])
        where, values = entries(some, members, knots, arrays["coarse"] if corrections.shape[1] > plain else None)
        logits += _summed(corrections[subset], where, values)
    return softmax(logits)


def _summed(rows: Floats, where: Ints, values: Floats) -> Floats:
    """For each of n the sum of the ``rows`` ``[F, k]`` ``where`` ``[n, E]`` says, times ``values`` ``[n, E]``.

    One after the other, whatever n is: an answer must not depend on whom it was computed with, nor on how many of the
    values are 0, which is what a product of matrices does not promise.
    """
    block = max(1, _CELLS // (where.shape[1] * rows.shape[1]))
    found = np.empty((len(where), rows.shape[1]))
    for first in range(0, len(where), block):
        some = slice(first, first + block)
        np.add.reduce(rows[where[some]] * values[some, :, None], axis=1, out=found[some])
    return found


def softmax(logits: Floats) -> Floats:
    """Of rows ``[n, k]``; changes and returns them."""
    logits -= np.maximum.reduce(logits, axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= np.add.reduce(logits, axis=1, keepdims=True)
    return logits
