"""Who stands apart: how members agree, which is known without any outcome, and what outcomes say about it.

Members that err together outvote the one that does not. Which one that is may change at any time, and outcomes that are
late or few tell too late; but that *somebody else* now stands alone shows at once, in what members say. So with each
decision, known or not, member j gets

    D_j <- rho D_j + (max(g - s_j, 0) / n)^6

with s_j the number of those that say what j says, g the largest number that says something else, of n that answered;
the one with the greatest D_j is apart. Whether it is the only one that is right, or a broken one, outcomes tell: for
every class the share of outcomes that were it, by how many said it, by the largest other number, and by whether the one
apart at that time was among them. Nothing in that depends on who it is, so it goes on holding when that changes.

Shares are ``(right + 2 a) / (seen + 2)`` around the class's share of voices a, and sum to 1 over the classes. This is a
behaviour-knowledge space of votes, with members exchangeable but for one.

References: Y. S. Huang, C. Y. Suen, "A method of combining multiple experts for the recognition of unconstrained
handwritten numerals", IEEE Transactions on Pattern Analysis and Machine Intelligence 17, 1995 (behaviour-knowledge
space); A. P. Dawid, A. M. Skene, Applied Statistics 28, 1979 (agreement without truths).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.online.confusion import Arrays, Bools, Floats, Ints

MEMORIES = np.array([0.97])
"""The rho above: half is forgotten after 23 decisions."""
FORCE = 6
"""The exponent above."""
FORGET = 0.998
"""What an outcome still counts when the next one comes."""
STRENGTH = 2.0
"""Outcomes that the share of voices is worth."""
KEPT = 256
"""Changes of who was apart that are remembered, for outcomes that come late."""
LEVELS = 12
"""Numbers of voices that are told apart; with more members they are rounded to so many."""
_VOICE = 0.25
"""What every class has in voices before anybody spoke."""
_NOBODY = -1
_AT_ONCE = 1 << 20
_LEAST = 1e-12


def views() -> int:
    """How many distributions: one for each memory."""
    return len(MEMORIES)


def start(m: int) -> dict[str, NDArray[Any]]:
    """Nothing seen of ``m`` members."""
    wide = _wide(m)
    return {
        "apart": np.zeros((len(MEMORIES), m)),
        "apart_since": np.full((len(MEMORIES), KEPT), -np.inf),
        "apart_who": np.full((len(MEMORIES), KEPT), _NOBODY, np.int64),
        "cells": np.zeros((2, views() * wide * 2 * wide)),
    }


def watch(arrays: dict[str, NDArray[Any]], labels: Ints, ok: Bools, at: Floats) -> None:
    """Put who is apart in the place of what is in ``arrays``, after members ``ok`` ``[n, m]`` said ``labels``
    ``[n, m]`` at the times ``at`` ``[n]``, Unix seconds in ascending order."""
    moved = _moved(labels, ok)
    scores, now = np.empty((len(labels), *arrays["apart"].shape)), arrays["apart"]
    for i in range(len(labels)):
        now = now * MEMORIES[:, None] + moved[i]
        scores[i] = now
    arrays["apart"] = np.where(now > _LEAST, now, 0.0)
    who = np.where(scores.max(axis=2) > _LEAST, scores.argmax(axis=2), _NOBODY)
    last, since = arrays["apart_who"][:, -1:], arrays["apart_since"]
    changed = np.concatenate([last, who.T[:, :-1]], axis=1) != who.T
    if not changed.any():
        return
    times, whom = since.copy(), arrays["apart_who"].copy()
    for t, new in enumerate(changed):
        times[t] = np.maximum.accumulate(np.concatenate([since[t], at[new]]))[-KEPT:]
        whom[t] = np.concatenate([arrays["apart_who"][t], who[new, t]])[-KEPT:]
    arrays["apart_since"], arrays["apart_who"] = times, whom


def who(arrays: Arrays, at: Floats) -> Ints:
    """Who was apart before each time ``at`` ``[n]``, ``[n, memories]``; -1 where nobody was, or it is forgotten."""
    found = np.empty((len(at), len(MEMORIES)), np.intp)
    for t, since in enumerate(arrays["apart_since"]):
        place = np.searchsorted(since, at) - 1
        found[:, t] = np.where(place >= 0, arrays["apart_who"][t, place], _NOBODY)
    return found


def now(arrays: Arrays) -> Ints:
    """Who is apart, ``[memories]``."""
    found: Ints = arrays["apart_who"][:, -1].astype(np.intp)
    return found


def cells(labels: Ints, ok: Bools, apart: Ints, k: int) -> Ints:
    """Where each class stands, places in a row of ``cells``, ``[n, views, k]``; ``apart`` is ``[n, memories]``."""
    n, m = labels.shape
    wide, level = _wide(m), _level(m)
    said = (labels[:, :, None] == np.arange(k)) & ok[:, :, None]
    sizes = np.add.reduce(said, axis=1, dtype=np.intp)
    top = np.maximum.reduce(sizes, axis=1, keepdims=True)
    second = np.partition(sizes, k - 2, axis=1)[:, k - 2, None]
    plain = level[sizes] * (2 * wide) + level[np.where(sizes == top, second, top)]
    found = plain[:, None] + _offsets(wide)
    for t in range(len(MEMORIES)):
        rows = np.flatnonzero((apart[:, t] >= 0) & ok[np.arange(n), apart[:, t]])
        found[rows, t, labels[rows, apart[rows, t]]] += wide
    return found


class Votes(NamedTuple):
    """What votes mean now, computed once for a state: ``shares`` ``[views, places]``, before they are made to sum to 1;
    ``places`` ``[m + 1, m + 1]`` by the largest other number and the class's own; who is ``apart``, by view."""

    shares: Floats
    places: Ints
    apart: tuple[tuple[int, int], ...]
    wide: int
    k: int

    @classmethod
    def of(cls, arrays: Arrays, k: int) -> Votes:
        """Of a state's arrays."""
        seen, right = arrays["cells"]
        m = arrays["apart"].shape[1]
        wide, level = _wide(m), _level(m)
        shares = (right + STRENGTH * _voices(np.arange(len(seen)), m, k)) / (seen + STRENGTH)
        apart = tuple((t, j) for t, j in enumerate(now(arrays).tolist()) if j >= 0)
        return cls(shares.reshape(views(), -1), level * (2 * wide) + level[:, None], apart, wide, k)

    def of_rows(self, labels: Ints, ok: Bools | None) -> Floats:
        """The classes' probabilities, float64 ``[n, views, k]``; None: all members answered."""
        n, m, k = *labels.shape, self.k
        apart = np.full((n, views()), _NOBODY)
        for t, j in self.apart:
            apart[:, t] = j
        places = cells(labels, np.ones((n, m), bool) if ok is None else ok, apart, k)
        return normal(self.shares.take(places))

    def one(self, labels: Ints) -> Floats:
        """The same of one row, ``labels`` ``[m]``, in which all members answered, ``[views, k]``."""
        sizes = np.bincount(labels, minlength=self.k)
        voices = sorted(sizes.tolist())
        top, second = voices[-1], voices[-2]
        places = self.places[top].take(sizes)
        if top != second:
            places[sizes.argmax()] = self.places[second, top]
        found = self.shares.take(places, axis=1)
        for t, j in self.apart:
            label = labels[j]
            found[t, label] = self.shares[t, places[label] + self.wide]
        return normal(found)


def learn(arrays: dict[str, NDArray[Any]], places: Ints, truths: Ints) -> Floats:
    """Put new counts in the place of those in ``arrays`` after each of n rows (:func:`cells`) and its class; the
    classes' probabilities before each, float64 ``[n, views, k]``."""
    k = places.shape[2]
    counts, found = arrays["cells"].copy(), np.empty((2, *places.shape))
    seen, right = counts
    for i, truth in enumerate(truths.tolist()):
        at = places[i]
        seen.take(at, out=found[0, i])
        right.take(at, out=found[1, i])
        counts *= FORGET
        seen += np.bincount(at.ravel(), minlength=len(seen))
        right[at[:, truth]] += 1.0
    arrays["cells"] = counts
    mean = _voices(places, arrays["apart"].shape[1], k)
    return normal((found[1] + STRENGTH * mean) / (found[0] + STRENGTH))


def normal(shared: Floats) -> Floats:
    """Shares ``[..., k]`` as probabilities."""
    shared /= np.add.reduce(shared, axis=-1, keepdims=True)
    return shared


def _moved(labels: Ints, ok: Bools) -> Floats:
    """What each decision adds to the members' D, ``[n, m]``."""
    n, m = labels.shape
    found, step = np.empty((n, m)), max(1, _AT_ONCE // (m * m))
    for first in range(0, n, step):
        some, good = labels[first : first + step], ok[first : first + step]
        alike = (some[:, :, None] == some[:, None, :]) & good[:, :, None] & good[:, None, :]
        size = alike.sum(axis=2)
        other = np.where(alike, 0, size[:, None, :]).max(axis=2)
        behind = np.maximum(other - size, 0) / np.maximum(good.sum(axis=1, keepdims=True), 1)
        found[first : first + step] = np.where(good, behind**FORCE, 0.0)
    return found


def _offsets(wide: int) -> Ints:
    """Where each view's places begin, ``[views, 1]``."""
    return (np.arange(views()) * (2 * wide * wide))[:, None]


def _wide(m: int) -> int:
    return min(m, LEVELS) + 1


def _level(m: int) -> Ints:
    """Of 0 to ``m`` voices, which of the numbers that are told apart it is; none is nothing but none."""
    return -(-np.arange(m + 1) * (_wide(m) - 1) // m)


def _voices(places: Ints, m: int, k: int) -> Floats:
    """A class's share of voices at places."""
    wide = _wide(m)
    sizes = places // (2 * wide) % wide * (m / (wide - 1))
    return np.asarray((sizes + _VOICE) / (m + _VOICE * k), np.float64)
