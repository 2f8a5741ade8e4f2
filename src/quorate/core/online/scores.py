"""Classes: the experts of the online combiner, and their answers to rows.

Experts, in order: the members; the prior strategy; the Bayesian combination at each forgetting rate; the log-linear
pool at two; what votes mean by how many there are, with nobody apart and with who is by two memories; and all these
distributions together, weighed by their likelihoods. The expert layer's losses are 0 where an expert's label is right
and 1 where it is wrong. What outcomes teach is in :mod:`.teaching`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.experts import layer
from quorate.core.online import confusion, dissent, exponents, teaching
from quorate.core.online.confusion import Arrays, Bools, Floats, Ints

PRIOR, MEMBERS = 0.5, 0.25
"""Prior weight of the prior strategy, and of all members together; the learned combinations have the rest."""
_TIE = 1e-9


def names(members: tuple[str, ...]) -> tuple[str, ...]:
    """The experts, as reports call them."""
    bayes = tuple(f"bayes {rate:g}" for rate in confusion.RATES)
    pools = tuple(f"pool {rate:g}" for rate in confusion.RATES[exponents.KEEPS])
    apart = tuple(f"apart {memory:g}" for memory in dissent.MEMORIES)
    return (*members, "prior", *bayes, *pools, "votes", *apart, "together")


def start(m: int, k: int) -> dict[str, NDArray[Any]]:
    """Nothing seen of ``m`` members over ``k`` classes."""
    parts = 1 + len(confusion.RATES) + len(exponents.KEEPS) + dissent.views()
    prior = np.r_[np.full(m, MEMBERS / m), PRIOR, np.full(parts, (1.0 - PRIOR - MEMBERS) / parts)]
    trust = np.log(np.r_[PRIOR, np.full(parts - 1, (1.0 - PRIOR) / (parts - 1))])
    return (
        confusion.start(m, k)
        | exponents.start(m)
        | dissent.start(m)
        | {"trust": trust}
        | layer.start(prior / prior.sum()).arrays()
        | {"rows": np.zeros(1)}
    )


class Tables(NamedTuple):
    """What all rows have in common, computed once for a state: the evidence of all that members can say
    (:func:`confusion.tables`, ``own`` of it what exponents apply to ``[m, x, r, k]``; None where only accuracies are
    counted), the classes' log-probabilities ``[r, k]``, the weights of the grid ``[r, g]`` and of the distributions
    ``[d]``, what an outcome is by how votes fall ``[views * places]``, and who is apart ``[memories]``."""

    evidence: Floats | None
    own: Floats | None
    classes: Floats
    fit: Floats
    trust: Floats
    shares: Floats
    apart: Ints

    @classmethod
    def of(cls, arrays: Arrays) -> Tables:
        """Of a state's arrays."""
        fit, trust = confusion.softmax(arrays["fit"]), confusion.softmax(arrays["trust"])
        every = confusion.tables(arrays) if arrays["counts"].size else None
        own = None if every is None else exponents.own(every.transpose(0, 1, 3, 4, 2))
        shares = dissent.shares(arrays, arrays["classes"].shape[1])
        return cls(every, own, confusion.priors(arrays["classes"]), fit, trust, shares, dissent.now(arrays))


class Said(NamedTuple):
    """Answers to n rows: ``labels`` int ``[n, e]`` of all experts, the distributions ``parts`` ``[n, d, k]`` and
    ``together`` ``[n, k]``."""

    labels: Ints
    parts: Floats
    together: Floats


def said(arrays: Arrays, tables: Tables, outputs: NDArray[Any], ok: Bools, prior: Floats) -> Said:
    """What the experts answer to ``outputs`` ``[n, m, k]`` of members ``ok`` ``[n, m]``; ``prior`` ``[n, k]`` is the
    prior strategy's answer."""
    n, m, k = outputs.shape
    labels, clean = teaching.said(outputs, ok)
    scores = confusion.log_scores(clean)
    if tables.evidence is None or tables.own is None:
        found = confusion.evidence(arrays, labels) * ok[:, :, None, None, None]
        summed, own = np.add.reduce(found, axis=1).transpose(0, 3, 1, 2), exponents.own(found)
    else:
        every, own = tables.evidence[np.arange(m), labels], tables.own[np.arange(m), labels]
        if not ok.all():
            every, own = every * ok[:, :, None, None, None], own * ok[:, :, None, None]
        summed = np.add.reduce(every, axis=1)
    grid = confusion.grid(tables.classes, summed, scores)
    first, width = 1 + len(confusion.RATES), 1 + len(confusion.RATES) + len(exponents.KEEPS)
    every = np.empty((n, width + dissent.views() + 1, k))
    every[:, 0] = prior
    every[:, 1:first] = confusion.averaged(tables.fit, grid)
    every[:, first:width] = exponents.pooled(arrays, exponents.features(tables.classes, own, scores))
    places = dissent.place(labels[0], tables.apart, k)[None] if n == 1 and ok.all() else None
    if places is None:
        places = dissent.cells(labels, ok, tables.apart, k)
    every[:, width:-1] = dissent.normal(tables.shares.take(places))
    parts, together = every[:, :-1], every[:, -1]
    together[:] = (tables.trust @ parts) if n == 1 else np.einsum("d,ndk->nk", tables.trust, parts)
    return Said(np.concatenate([labels, every.argmax(axis=2)], axis=1), parts, together)


def answer(arrays: Arrays, tables: Tables, outputs: NDArray[Any], ok: Bools, prior: Floats) -> Floats:
    """Probabilities float64 ``[n, k]``: those of all together, with the label that the experts' weights elect.

    Where that is another label, its probability is raised until it is just the greatest.
    """
    told, k = said(arrays, tables, outputs, ok, prior), outputs.shape[2]
    if len(outputs) == 1 and ok.all():
        votes = np.bincount(told.labels[0], arrays["weights"], k)
        elected = int((votes + _TIE * told.together[0]).argmax())
        if elected == told.labels[0, -1]:
            return told.together
        return lifted(told.together, np.array([elected]))
    weights = arrays["weights"][None]
    if not ok.all():
        weights = layer.weights(arrays["runs"], arrays["top"], teaching.awake(ok, told.labels.shape[1]))
    votes = np.add.reduce((told.labels[:, :, None] == np.arange(k)) * weights[:, :, None], axis=1)
    return lifted(told.together, (votes + _TIE * told.together).argmax(axis=1))


def lifted(probabilities: Floats, labels: Ints) -> Floats:
    """``(1 - t) p + t onehot(label)`` with the least t (and 1e-6 more) that makes ``labels`` ``[n]`` the most probable.

    >>> lifted(np.array([[0.5, 0.3, 0.2]]), np.array([1])).round(3).tolist()
    [[0.417, 0.417, 0.167]]
    """
    rows = np.arange(len(labels))
    behind = np.maximum.reduce(probabilities, axis=1) - probabilities[rows, labels]
    if not behind.any():
        return probabilities
    t = np.where(behind > 0.0, behind / (1.0 + behind) + 1e-6, 0.0)
    found = probabilities * (1.0 - t)[:, None]
    found[rows, labels] += t
    return found
