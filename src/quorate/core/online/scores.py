"""Classes: the experts of the online combiner, and their answers to rows.

Experts, in order: the members; the prior strategy; the Bayesian combination at each forgetting rate; the log-linear
pool at two; what votes mean beside the member that is apart; and the distributions before this one together, weighed by
their likelihoods. The expert layer's losses are 0 where an expert's label is right
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
    return (*members, "prior", *bayes, *pools, *apart, "together")


def start(m: int, k: int) -> dict[str, NDArray[Any]]:
    """Nothing seen of ``m`` members over ``k`` classes."""
    parts = 1 + len(confusion.RATES) + len(exponents.KEEPS)
    others = parts + dissent.views()
    prior = np.r_[np.full(m, MEMBERS / m), PRIOR, np.full(others, (1.0 - PRIOR - MEMBERS) / others)]
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
    """What all rows have in common, computed once for a state: the evidence of all that members can say, ``evidence``
    ``[m * x, k, r, s]`` and ``own`` of it what exponents apply to ``[m * x, r, k]`` (None where only accuracies are
    counted), ``base`` ``[m]`` where a member's begin; the classes' log-probabilities ``[r, k]``, the weights of the
    grid ``[r, g]`` and of the distributions ``[d]``; what votes mean; and ``shown`` ``[d + views + 1]``, how much of
    each distribution there is in what is answered: those by who is apart by the experts' weights, else all together.
    """

    evidence: Floats | None
    own: Floats | None
    base: Ints
    classes: Floats
    fit: Floats
    trust: Floats
    votes: dissent.Votes
    shown: Floats

    @classmethod
    def of(cls, arrays: Arrays) -> Tables:
        """Of a state's arrays."""
        m, k = arrays["right"].shape[1], arrays["classes"].shape[1]
        fit, trust = confusion.softmax(arrays["fit"]), confusion.softmax(arrays["trust"])
        evidence = own = None
        if arrays["counts"].size:
            every = confusion.tables(arrays)
            evidence = every.reshape(m * k, *every.shape[2:])
            own = exponents.own(every.transpose(0, 1, 3, 4, 2)).reshape(m * k, len(exponents.KEEPS), k)
        priors = confusion.priors(arrays["classes"])
        views = arrays["weights"][-1 - dissent.views() : -1] if "weights" in arrays else np.zeros(dissent.views())
        shown = np.concatenate([np.zeros(len(trust)), views, [1.0 - views.sum()]])
        return cls(evidence, own, np.arange(m) * k, priors, fit, trust, dissent.Votes.of(arrays, k), shown)


class Said(NamedTuple):
    """Answers to n rows: ``labels`` int ``[n, e]`` of all experts, the distributions ``parts`` ``[n, d, k]``, and what
    is ``shown`` of them ``[n, k]``."""

    labels: Ints
    parts: Floats
    shown: Floats


def said(arrays: Arrays, tables: Tables, outputs: NDArray[Any], ok: Bools | None, prior: Floats) -> Said:
    """What the experts answer to ``outputs`` ``[n, m, k]`` of members ``ok`` ``[n, m]`` (None: all of them); ``prior``
    ``[n, k]`` is the prior strategy's answer."""
    n, _, k = outputs.shape
    labels, clean = teaching.said(outputs, ok)
    scores = confusion.log_scores(clean)
    summed, own = _evidence(arrays, tables, labels, ok)
    first, width = 1 + len(confusion.RATES), 1 + len(confusion.RATES) + len(exponents.KEEPS)
    every = np.empty((n, width + dissent.views() + 1, k))
    every[:, 0] = prior
    every[:, 1:first] = confusion.averaged(tables.fit, confusion.grid(tables.classes, summed, scores))
    every[:, first:width] = exponents.pooled(arrays, exponents.features(tables.classes, own, scores))
    every[:, width:-1] = tables.votes.one(labels[0]) if n == 1 and ok is None else tables.votes.of_rows(labels, ok)
    parts = every[:, :width]
    every[:, -1] = (tables.trust @ parts) if n == 1 else np.einsum("d,ndk->nk", tables.trust, parts)
    shown = (tables.shown @ every) if n == 1 else np.einsum("d,ndk->nk", tables.shown, every)
    return Said(np.concatenate([labels, every.argmax(axis=2)], axis=1), parts, shown)


def _evidence(arrays: Arrays, tables: Tables, labels: Ints, ok: Bools | None) -> tuple[Floats, Floats]:
    """Of all members together ``[n, k, r, s]``, and what exponents apply to ``[n, m, r, k]``."""
    if tables.evidence is None or tables.own is None:
        found = confusion.evidence(arrays, labels)
        if ok is not None:
            found *= ok[:, :, None, None, None]
        return np.add.reduce(found, axis=1).transpose(0, 3, 1, 2), exponents.own(found)
    at = labels + tables.base
    every, own = tables.evidence.take(at, axis=0), tables.own.take(at, axis=0)
    if ok is not None:
        every *= ok[:, :, None, None, None]
        own *= ok[:, :, None, None]
    return np.add.reduce(every, axis=1), own


def answer(arrays: Arrays, tables: Tables, outputs: NDArray[Any], ok: Bools | None, prior: Floats) -> Floats:
    """Probabilities float64 ``[n, k]``: those shown, with the label that the experts' weights elect.
    ``ok`` and ``prior`` are as in :func:`said`.

    Where that is another label, its probability is raised until it is just the greatest.
    """
    told, k = said(arrays, tables, outputs, ok, prior), outputs.shape[2]
    if len(outputs) == 1 and ok is None:
        votes = np.bincount(told.labels[0], arrays["weights"], k)
        elected = int((votes + _TIE * told.shown[0]).argmax())
        if elected == told.shown[0].argmax():
            return told.shown
        return lifted(told.shown, np.array([elected]))
    weights = arrays["weights"][None]
    if ok is not None:
        weights = layer.weights(arrays["runs"], arrays["top"], teaching.awake(ok, told.labels.shape[1]))
    votes = np.add.reduce((told.labels[:, :, None] == np.arange(k)) * weights[:, :, None], axis=1)
    return lifted(told.shown, (votes + _TIE * told.shown).argmax(axis=1))


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
