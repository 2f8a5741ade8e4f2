"""Classes: what a run of outcomes teaches, each predicted by what was known before it.

What depends on the rows before is followed row by row, and as little as possible is: counts, likelihoods, exponents and
the expert layer. All else is computed for a block of rows at once, from what was known before each of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.experts import layer
from quorate.core.online import confusion, dissent, exponents
from quorate.core.online.confusion import RATES, Arrays, Bools, Floats, Ints

ROWS = 64
"""Of a block at most."""
_NUMBERS = 1 << 19
"""In the largest array of a block, about."""


class Known(NamedTuple):
    """The counts before each of n rows: of what the members said ``[n, m, r, k]`` and in all (None where only
    accuracies are counted), ``right`` and ``seen`` ``[n, m, r]``, ``classes`` ``[n, r, k]``."""

    said: Floats | None
    total: Floats | None
    right: Floats
    seen: Floats
    classes: Floats


def learn(
    arrays: dict[str, NDArray[Any]], outputs: NDArray[Any], ok: Bools, prior: Floats, truths: Ints, at: Floats | None
) -> None:
    """Put what outcomes teach in the place of what is in ``arrays``: rows ``[n, m, k]`` of members ``ok`` ``[n, m]``,
    the prior strategy's answers ``[n, k]`` and their classes. ``at`` ``[n]`` are the times of their requests; where
    they are None, nobody shows all decisions, and the rows are what is watched."""
    m, k = outputs.shape[1:]
    widest = max(k * len(RATES) * confusion.sources(k) * len(confusion.TEMPERS) * len(confusion.SHARPNESS), m * k * 12)
    step = max(1, min(ROWS, _NUMBERS // widest))
    for first in range(0, len(truths), step):
        rows = slice(first, first + step)
        _block(arrays, outputs[rows], ok[rows], prior[rows], truths[rows], None if at is None else at[rows])


def said(outputs: NDArray[Any], ok: Bools | None) -> tuple[Ints, NDArray[Any]]:
    """The members' classes ``[n, m]``, and their outputs with nothing in them that is not ok; None: all are."""
    clean = outputs if ok is None else np.where(ok[:, :, None], outputs, 1.0)
    return clean.argmax(axis=2), clean


def _block(
    arrays: dict[str, NDArray[Any]], outputs: NDArray[Any], ok: Bools, prior: Floats, truths: Ints, at: Floats | None
) -> None:
    n, k = len(truths), outputs.shape[2]
    rows = np.arange(n)
    labels, clean = said(outputs, ok)
    scores = confusion.log_scores(clean)
    if at is None:
        at = arrays["rows"][0] + np.arange(n, dtype=np.float64)
        dissent.watch(arrays, labels, ok, at)
    apart = dissent.learn(arrays, dissent.cells(labels, ok, dissent.who(arrays, at), k), truths)
    known = _count(arrays, labels, ok, truths)
    found = confusion.smoothed(confusion.alone(labels, known.right, known.seen, k), known.said, known.total)
    found *= ok[:, :, None, None, None]
    classes = confusion.priors(known.classes)
    grid = confusion.grid(classes, np.add.reduce(found, axis=1).transpose(0, 3, 1, 2), scores)
    fit, arrays["fit"] = confusion.before(arrays["fit"], grid[rows, truths])
    bayes = confusion.averaged(confusion.softmax(fit), grid)
    pools = exponents.learn(arrays, exponents.features(classes, exponents.own(found), scores), truths)
    parts = np.concatenate([prior[:, None], bayes, pools], axis=1)
    trust, arrays["trust"] = confusion.before(arrays["trust"], parts[rows, :, truths])
    together = np.einsum("nd,ndk->nk", confusion.softmax(trust), parts)
    every = np.concatenate([parts, apart, together[:, None]], axis=1).argmax(axis=2)
    every = np.concatenate([labels, every], axis=1)
    lost = (every != truths[:, None]).astype(np.float64)
    arrays |= layer.learn_all(layer.Layer.of(arrays), lost, awake(ok, every.shape[1])).arrays()
    arrays["rows"] = arrays["rows"] + n


def awake(ok: Bools, experts: int) -> Bools:
    """Which experts have something to say, ``[n, e]``: the members that answered, and all others."""
    found = np.ones((len(ok), experts), bool)
    found[:, : ok.shape[1]] = ok
    return found


def _count(arrays: dict[str, NDArray[Any]], labels: Ints, ok: Bools, truths: Ints) -> Known:
    """Put new counts in the place of those in ``arrays``, and tell those before each row."""
    n, m = labels.shape
    r, k = arrays["classes"].shape
    before = np.empty((n, r, 2 * m + k))
    new = np.concatenate([ok & (labels == truths[:, None]), ok, truths[:, None] == np.arange(k)], axis=1)
    plain, keep = np.concatenate([arrays["right"], arrays["seen"], arrays["classes"]], axis=1), RATES[:, None]
    for i in range(n):
        before[i] = plain
        plain = plain * keep + new[i]
    arrays["right"], arrays["seen"], arrays["classes"] = plain[:, :m], plain[:, m : 2 * m], plain[:, 2 * m :]
    told, total = _confusion(arrays, labels, ok, truths) if arrays["counts"].size else (None, None)
    right, seen = (before[:, :, part].swapaxes(1, 2) for part in (slice(m), slice(m, 2 * m)))
    return Known(told, total, right, seen, before[:, :, 2 * m :])


def _confusion(arrays: dict[str, NDArray[Any]], labels: Ints, ok: Bools, truths: Ints) -> tuple[Floats, Floats]:
    counts = np.ascontiguousarray(arrays["counts"].transpose(1, 3, 0, 2))  # [m, said, r, truth]
    (n, m), (r, k) = labels.shape, counts.shape[2:]
    told, total = np.empty((n, m, r, k)), np.empty((n, m, r, k))
    everyone, keep, whole = np.arange(m), RATES[:, None], bool(ok.all())
    for i, truth in enumerate(truths.tolist()):
        x = labels[i]
        told[i] = counts[everyone, x]
        np.add.reduce(counts, axis=1, out=total[i])
        counts *= keep
        j = everyone if whole else np.flatnonzero(ok[i])
        counts[j, x[j], :, truth] += 1.0
    arrays["counts"] = np.ascontiguousarray(counts.transpose(2, 0, 3, 1))
    return told, total


def upgraded(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Arrays of version 1, which watched nobody, as if those who know who is apart had been asleep until now."""
    m, views = arrays["right"].shape[1], dissent.views()
    spent = np.full(views, float(arrays["expert_runs"][0]))
    old = arrays["expert_prior"]
    prior = old[m + 1] * np.ones(views)
    shares = arrays["expert_shares"]
    new = {
        "expert_prior": _before_last(old, prior),
        "expert_losses": _before_last(arrays["expert_losses"], spent),
        "expert_shares": _before_last(shares, np.tile(prior, (len(shares), 1))),
    }
    for name in ("expert_prior", "expert_shares"):
        new[name] = new[name] / new[name].sum(axis=-1, keepdims=True)
    made = layer.Layer.of({**arrays, **new})
    runs, top = layer.runs(made), layer.top(made)
    return {**arrays, **dissent.start(m), **new, "runs": runs, "top": top, "weights": top @ runs}


def _before_last(array: Floats, more: Floats) -> Floats:
    """With ``more`` before the last entry, which is everything together."""
    return np.concatenate([array[..., :-1], more, array[..., -1:]], axis=-1)
