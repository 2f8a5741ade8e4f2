"""Classes: the experts of the online combiner, their answers to a row, and what an outcome teaches.

Experts, in order: the members; the prior strategy; the Bayesian combination at each forgetting rate; the log-linear
pool at two; and all these distributions together, weighed by their likelihoods. The expert layer's losses are 0 where
an expert's label is right and 1 where it is wrong. Outcomes teach in the order in which they are given; each is
predicted by what was known before it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.experts import layer
from quorate.core.online import confusion, exponents
from quorate.core.online.confusion import Arrays, Bools, Floats, Ints

PRIOR, MEMBERS = 0.5, 0.25
"""Prior weight of the prior strategy, and of all members together; the learned combinations have the rest."""


class Said(NamedTuple):
    """Answers to n rows: ``labels`` int ``[n, e]`` of all experts, ``together`` ``[n, k]``; the others are what they
    were made of."""

    labels: Ints
    together: Floats
    parts: Floats
    grid: Floats
    features: Floats


def names(members: tuple[str, ...]) -> tuple[str, ...]:
    """The experts, as reports call them."""
    bayes = tuple(f"bayes {rate:g}" for rate in confusion.RATES)
    pools = tuple(f"pool {rate:g}" for rate in confusion.RATES[exponents.KEEPS])
    return (*members, "prior", *bayes, *pools, "together")


def start(m: int, k: int) -> dict[str, NDArray[Any]]:
    """Nothing seen of ``m`` members over ``k`` classes."""
    parts = 1 + len(confusion.RATES) + len(exponents.KEEPS)
    prior = np.r_[np.full(m, MEMBERS / m), PRIOR, np.full(parts, (1.0 - PRIOR - MEMBERS) / parts)]
    trust = np.log(np.r_[PRIOR, np.full(parts - 1, (1.0 - PRIOR) / (parts - 1))])
    return (
        confusion.start(m, k)
        | exponents.start(m)
        | {"trust": trust}
        | layer.start(prior / prior.sum()).arrays()
        | {"rows": np.zeros(1)}
    )


class Tables(NamedTuple):
    """What all rows have in common, computed once for a state: :func:`confusion.tables` and :func:`confusion.priors`,
    the weights of the grid ``[r, g]`` and of the distributions ``[d]``. ``evidence`` is None while learning, where no
    two rows have the same."""

    evidence: Floats | None
    classes: Floats
    fit: Floats
    trust: Floats

    @classmethod
    def of(cls, arrays: Arrays, *, whole: bool) -> Tables:
        """Of a state's arrays."""
        fit, trust = confusion.softmax(arrays["fit"]), confusion.softmax(arrays["trust"])
        wide = whole and bool(arrays["counts"].size)
        return cls(confusion.tables(arrays) if wide else None, confusion.priors(arrays), fit, trust)


def said(arrays: Arrays, tables: Tables, outputs: NDArray[Any], ok: Bools, prior: Floats) -> Said:
    """What the experts answer to ``outputs`` ``[n, m, k]`` of members ``ok`` ``[n, m]``; ``prior`` ``[n, k]`` is the
    prior strategy's answer."""
    m, whole = outputs.shape[1], bool(ok.all())
    clean = outputs if whole else np.where(ok[:, :, None], outputs, 1.0)
    chosen = clean.argmax(axis=2)
    scores = confusion.log_scores(clean)
    every = tables.evidence
    found = confusion.evidence(arrays, chosen) if every is None else every[chosen, np.arange(m)]
    if not whole:
        found = found * ok[:, :, None, None, None]
    grid = confusion.grid(tables.classes, found, scores)
    made = exponents.features(tables.classes, found, scores)
    pool = exponents.pooled(arrays, made)
    parts = np.concatenate([prior[:, None], confusion.averaged(tables.fit, grid), pool], axis=1)
    together = (tables.trust @ parts) if len(parts) == 1 else np.einsum("d,ndk->nk", tables.trust, parts)
    labels = np.concatenate([chosen, parts.argmax(axis=2), together.argmax(axis=1)[:, None]], axis=1)
    return Said(labels, together, parts, grid, made)


def awake(ok: Bools, experts: int) -> Bools:
    """Which experts have something to say, ``[n, e]``: the members that answered, and all others."""
    found = np.ones((len(ok), experts), bool)
    found[:, : ok.shape[1]] = ok
    return found


def answer(arrays: Arrays, tables: Tables, outputs: NDArray[Any], ok: Bools, prior: Floats) -> Floats:
    """Probabilities float64 ``[n, k]``: those of all together, with the label that the experts' weights elect.

    Where that is another label, its probability is raised until it is just the greatest.
    """
    told = said(arrays, tables, outputs, ok, prior)
    weights = arrays["weights"][None]
    if not ok.all():
        weights = layer.weights(arrays["runs"], arrays["top"], awake(ok, told.labels.shape[1]))
    votes = np.add.reduce((told.labels[:, :, None] == np.arange(outputs.shape[2])) * weights[:, :, None], axis=1)
    return lifted(told.together, (votes + 1e-9 * told.together).argmax(axis=1))


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


def learn(arrays: dict[str, NDArray[Any]], outputs: NDArray[Any], ok: Bools, prior: Floats, truth: int) -> None:
    """Put what one outcome teaches in the place of what is in ``arrays``: a row ``[1, m, k]`` and its class."""
    told = said(arrays, Tables.of(arrays, whole=False), outputs, ok, prior)
    lost = (told.labels[0] != truth).astype(np.float64)
    state = layer.learn(layer.Layer.of(arrays), lost, awake(ok, len(lost))[0])
    arrays["fit"] = confusion.fit(arrays["fit"], told.grid[0, truth])
    arrays["trust"] = confusion.fit(arrays["trust"], told.parts[0, :, truth])
    pools = told.parts[0, -len(exponents.KEEPS) :]
    exponents.learn(arrays, told.features[0], pools, truth)
    m = outputs.shape[1]
    confusion.count(arrays, told.labels[0, :m], ok[0], truth)
    arrays |= state.arrays()
    arrays["rows"] = arrays["rows"] + 1.0
