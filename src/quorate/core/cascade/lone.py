"""One row of a cascade, quickly: what the members heard so far say together, and what each further set would gain.

A request of one row is what a server mostly gets, and after a member's run numpy's many small calls are what its next
stage waits for. So here the row's columns (:mod:`quorate.core.cascade.evidence`, :mod:`quorate.core.cascade.router`)
are never laid out: all but a few of them are 0, and those that are not are listed with their values. What depends on
the state only is worked out once.

Sets of members are numbers whose bit j stands for member j. Posteriors are the same bit for bit as those of
:func:`quorate.core.cascade.posterior.posterior`, which sums in the same order; gains are to about 1e-12.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.cascade.evidence import CLIP, CROSSED, Floats, offsets
from quorate.core.cascade.posterior import softmax
from quorate.core.cascade.router import FEW_CLASSES, LEAD, LEAST, SURE, TOP, places
from quorate.core.types import FloatArray

_TOP, _LEAD = TOP.tolist(), LEAD.tolist()

Entries = tuple[list[int], list[float]]
"""Columns that are not 0, and their values."""


class Said(NamedTuple):
    """What some members of a row have said: their ``logs`` ``[s, k]``, labels and sureness, and the posterior ``p``
    ``[k]`` of their set."""

    labels: list[int]
    sure: list[float]
    p: Floats

    @property
    def answer(self) -> FloatArray:
        """``p`` as a combiner answers it, float32 ``[k]``."""
        return self.p.astype(np.float32)


class Lone:
    """A fitted state, made ready for single rows."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.sets = [bits(members) for members in arrays["subsets"].tolist()]
        """The fitted sets, the largest first."""
        self._members = [[j for j, inside in enumerate(row) if inside] for row in arrays["subsets"].tolist()]
        self._weights = [arrays["weights"][at][members, None] for at, members in enumerate(self._members)]
        self._biases, self._corrections = arrays["biases"], arrays["corrections"]
        self._k = self._biases.shape[1]
        m, self._knots = len(arrays["knots"]), arrays["knots"].tolist()
        self._coarse = arrays["coarse"].tolist()
        counts = arrays["knots"].shape[1], arrays["coarse"].shape[1]
        self._offsets = offsets(m, self._k, *counts)
        self._crossed = self._corrections.shape[1] > self._offsets.crossed
        routed, asks = np.flatnonzero(arrays["routed"]), arrays["asks"]
        self._fine = arrays["fine"].tolist()
        self._places = places(m, self._k, arrays["fine"].shape[1])
        self.routed: list[int] = routed.tolist()
        """Which of the fitted sets the router can come to."""
        self.further: list[list[int]] = [np.flatnonzero(row).tolist() for row in asks]
        """For each of these, the places among them of those that may be asked next."""
        self._gains = [np.ascontiguousarray(arrays["gains"][at][:, others]) for at, others in enumerate(self.further)]

    def said(self, at: int, outputs: FloatArray) -> Said:
        """What the members of fitted set number ``at`` say in a row ``[m, k]``, all of whom have answered it."""
        members = self._members[at]
        x = outputs[members].astype(np.float64)
        z = np.log(np.maximum(x, CLIP))
        z -= np.add.reduce(z, axis=1, keepdims=True) / self._k
        top = np.minimum(np.maximum(np.maximum.reduce(x, axis=1), CLIP), 1.0 - CLIP)
        labels, sure = x.argmax(axis=1).tolist(), np.log(top / (1.0 - top)).tolist()
        z *= self._weights[at]
        logits = np.add.reduce(z, axis=0, keepdims=True)
        logits += self._biases[at]
        if self._corrections.shape[1]:
            columns, values = self._evidence(members, labels, sure)
            logits += _sum(self._corrections[at], columns, values)
        return Said(labels, sure, softmax(logits)[0])

    def gains(self, place: int, said: Said) -> list[float]:
        """What asking each of :attr:`further` of a routed set is expected to gain, net of its cost."""
        gains = self._gains[place]
        found: list[float] = (_sum(gains, *self._heard(self._members[self.routed[place]], said)) + gains[-1]).tolist()
        return found

    def _evidence(self, members: Sequence[int], labels: Sequence[int], sure: Sequence[float]) -> Entries:
        """As :func:`quorate.core.cascade.evidence.entries` lists them."""
        found: Entries = [], []
        at = self._offsets
        columns, values = found
        for j, label, c in zip(members, labels, sure, strict=True):
            _spline(found, at.sureness[j] + label * at.knots, c, self._knots[j])
        for a, i in enumerate(members):
            for b in range(a + 1, len(members)):
                if labels[a] == labels[b]:
                    columns.append(at.pairs[i, members[b]] + labels[a])
                    values.append(1.0)
        if self._crossed:
            coarse = [_hats(c, self._coarse[j]) for j, c in zip(members, sure, strict=True)]
            for a, i in enumerate(members):
                for b, j in enumerate(members):
                    if a != b:
                        base = at.across[i, j] + labels[a] * at.coarse
                        for place, value in coarse[b]:
                            columns.append(base + place)
                            values.append(CROSSED * value)
        return columns, values

    def _heard(self, members: Sequence[int], said: Said) -> Entries:
        """As :func:`quorate.core.cascade.router.heard` has them."""
        at, k, p = self._places, self._k, said.p
        probable = p.tolist()
        first, second, *others = sorted(probable, reverse=True)
        likeliest = probable.index(first)
        entropy = -float(np.add.reduce(p * np.log(np.maximum(p, LEAST))))
        found = [0, 1, 2, 3], [first, second, others[0] if others else 0.0, entropy]
        columns, values = found
        _spline(found, at.top, first, _TOP)
        _spline(found, at.lead, first - second, _LEAD)
        for j, label, c in zip(members, said.labels, said.sure, strict=True):
            columns += (at.alike + j, at.backed + j, at.sure + j)
            values += (float(label == likeliest), probable[label], c / SURE)
        if k <= FEW_CLASSES:
            columns += range(at.p, at.p + k)
            values += probable
            columns.append(at.p + k + likeliest)
            values.append(1.0)
            for j, label, c in zip(members, said.labels, said.sure, strict=True):
                _spline(found, at.sureness + (j * k + label) * at.knots, c, self._fine[j])
        return found


def bits(members: Sequence[bool]) -> int:
    """The number of a set.

    >>> bits([True, False, True])
    5
    """
    return sum(1 << j for j, inside in enumerate(members) if inside)


def _hats(value: float, knots: Sequence[float]) -> list[tuple[int, float]]:
    """The two splines that are not 0, as :func:`quorate.core.cascade.evidence.hats` has them."""
    at = min(max(bisect_right(knots, value) - 1, 0), len(knots) - 2)
    risen = min(max((value - knots[at]) / (knots[at + 1] - knots[at]), 0.0), 1.0)
    return [(at, 1.0 - risen), (at + 1, risen)]


def _spline(found: Entries, base: int, value: float, knots: Sequence[float]) -> None:
    columns, values = found
    for place, height in _hats(value, knots):
        columns.append(base + place)
        values.append(height)


def _sum(rows: Floats, columns: list[int], values: list[float]) -> Floats:
    """The sum of these rows, times their values; one after the other, so that it does not depend on how many there are
    of which the value is 0."""
    found: Floats = np.add.reduce(rows[columns] * np.array(values)[:, None], axis=0)
    return found
