"""Splits into training, validation and test parts, and folds of the training part; no row, group or moment leaks.

Models are fitted on ``train``, combiners' weights on ``validation`` (stacking on out-of-fold outputs over ``train``),
and ``test`` is looked at once, for the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.errors import InvalidInput
from quorate.training.data import Dataset

Scheme = Literal["stratified", "group", "time"]
Rows = NDArray[np.int64]

FRACTIONS = (0.70, 0.15, 0.15)


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts, ascending; together every row once."""

    train: Rows
    validation: Rows
    test: Rows


class Fold(NamedTuple):
    """Row numbers: a clone is fitted on ``fit`` and answers for ``held``."""

    fit: Rows
    held: Rows


def split(data: Dataset, by: Scheme = "stratified", *, seed: int = 0) -> Split:
    """70/15/15: every class in proportion (numbers: at random); or whole groups; or the earliest for training and the
    latest for test.

    :class:`InvalidInput` if the data set has no groups or times to split by, or too few rows of a class (three),
    groups (three) or distinct times (three).
    """
    if by == "stratified":
        return stratified(_strata(data), seed)
    if by == "group":
        return grouped(_needed(data.groups, "groups"), seed)
    return by_time(_needed(data.times, "times"))


def folds(data: Dataset, k: int, by: Scheme = "stratified", *, seed: int = 0) -> list[Fold]:
    """``k`` folds of a training part, by the scheme that split it off.

    Stratified and grouped folds hold every row exactly once. Folds by time only ever look back: fold i is fitted on
    the first i of ``k + 1`` stretches of time and answers for the next, so the earliest stretch is never held.
    """
    if k < 2:
        raise InvalidInput(f"Out-of-fold outputs need at least 2 folds; got {k}.", path="folds")
    if by == "time":
        return _folds_by_time(_needed(data.times, "times"), k)
    part = _folds_stratified(_strata(data), k, seed) if by == "stratified" else _folds_grouped(data, k, seed)
    return [Fold(np.flatnonzero(part != fold), np.flatnonzero(part == fold)) for fold in range(k)]


def _strata(data: Dataset) -> NDArray[Any]:
    """What every part has its share of: the classes; numbers are one stratum."""
    return np.zeros(len(data), np.int8) if data.numbers else data.labels


def stratified(labels: NDArray[Any], seed: int) -> Split:
    """Each class is dealt out 70/15/15, to the nearest row, at least one row to each part."""
    rng = np.random.default_rng(seed)
    part = np.empty(len(labels), np.int8)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < len(FRACTIONS):
            raise InvalidInput(
                f"Class '{label}' has {len(rows)} row(s); a stratified split needs at least {len(FRACTIONS)}, one for "
                "each part. Merge rare classes or leave them out.",
                path="labels",
            )
        part[rng.permutation(rows)] = np.repeat(np.arange(len(FRACTIONS)), _shares(len(rows), rng))
    return _split(part)


def _shares(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many of ``n`` rows go to each part: the largest remainders are rounded up, ties by chance."""
    ideal = n * np.array(FRACTIONS)
    counts: NDArray[np.int64] = np.maximum(np.floor(ideal).astype(np.int64), 1)
    while counts.sum() > n:
        counts[counts.argmax()] -= 1
    remainder = ideal - counts + rng.random(len(FRACTIONS)) * 1e-6
    counts[np.argsort(-remainder)[: n - counts.sum()]] += 1
    return counts


def grouped(groups: NDArray[Any], seed: int) -> Split:
    """Whole groups, so that nobody is in two parts; each goes where most rows are still missing."""
    part = _deal(groups, np.array(FRACTIONS) * len(groups), seed, "split by group")
    return _split(part)


def _deal(groups: NDArray[Any], targets: NDArray[np.float64], seed: int, what: str) -> NDArray[np.int8]:
    """Deal groups, the largest first, to parts of about ``targets`` rows, none empty: the part of every row."""
    _, of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    parts = len(targets)
    if len(sizes) < parts:
        raise InvalidInput(f"A {what} needs at least {parts} groups; got {len(sizes)}.", path="groups")
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    part_of_group = np.empty(len(sizes), np.int8)
    filled = np.zeros(parts)
    for position, group in enumerate(order.tolist()):
        empty = np.flatnonzero(filled == 0)
        missing = targets - filled
        if len(order) - position == len(empty):
            missing[filled > 0] = -np.inf
        chosen = int(missing.argmax())
        part_of_group[group] = chosen
        filled[chosen] += sizes[group]
    return part_of_group[of_row]


def by_time(times: NDArray[Any]) -> Split:
    """Train before validation before test; rows of one moment stay together."""
    moments, of_row, counts = np.unique(times, return_inverse=True, return_counts=True)
    if len(moments) < len(FRACTIONS):
        raise InvalidInput(
            f"A split by time needs at least {len(FRACTIONS)} distinct times; got {len(moments)}.", path="times"
        )
    before = np.cumsum(counts)  # rows up to and with each moment
    first = int(np.abs(before[:-2] - FRACTIONS[0] * len(times)).argmin())
    wanted = (FRACTIONS[0] + FRACTIONS[1]) * len(times)
    second = first + 1 + int(np.abs(before[first + 1 : -1] - wanted).argmin())
    return _split((of_row > first).astype(np.int8) + (of_row > second))


def _folds_stratified(labels: NDArray[Any], k: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    part = np.empty(len(labels), np.int64)
    dealt = 0
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) < k:
            raise InvalidInput(
                f"Class '{label}' has {len(rows)} training row(s); {k} folds need at least {k}. Use fewer folds.",
                path="folds",
            )
        # dealing goes on where the last class ended, so that the folds are of one size too
        part[rows] = (np.arange(len(rows)) + dealt) % k
        dealt += len(rows)
    return part


def _folds_grouped(data: Dataset, k: int, seed: int) -> NDArray[np.int8]:
    groups = _needed(data.groups, "groups")
    return _deal(groups, np.full(k, len(groups) / k), seed, f"set of {k} folds by group")


def _folds_by_time(times: NDArray[Any], k: int) -> list[Fold]:
    moments, of_row, counts = np.unique(times, return_inverse=True, return_counts=True)
    if len(moments) < k + 1:
        raise InvalidInput(f"{k} folds by time need at least {k + 1} distinct times; got {len(moments)}.", path="folds")
    # the middle of a moment's rows decides its stretch; no stretch is left empty
    middle = (np.cumsum(counts) - counts / 2) / len(times) * (k + 1)
    position = np.arange(len(moments))
    stretch = np.clip(middle.astype(np.int64), k - (len(moments) - 1 - position), position)
    for index in range(1, len(stretch)):
        stretch[index] = min(stretch[index], stretch[index - 1] + 1)
    of = stretch[of_row]
    return [Fold(np.flatnonzero(of < fold), np.flatnonzero(of == fold)) for fold in range(1, k + 1)]


def _split(part: NDArray[np.int8]) -> Split:
    train, validation, test = (np.flatnonzero(part == index) for index in range(3))
    return Split(train, validation, test)


def _needed(values: NDArray[Any] | None, what: str) -> NDArray[Any]:
    if values is None:
        raise InvalidInput(f"The data set has no {what} to split by; give it some, or split stratified.", path=what)
    return values
