"""Precision and recall of every class, with Wilson's intervals.

``recall_c = TP_c / rows that are c``, ``precision_c = TP_c / rows that are said to be c``. The interval of precision
takes the number of rows said to be c as given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.intervals import Interval, wilson


class ClassScore(NamedTuple):
    """One class: how many rows are of it, and how well it is told; NaN with limits 0 and 1 where there are no rows."""

    label: str
    rows: int
    precision: Interval
    recall: Interval


def class_scores(counts: NDArray[np.int64], labels: Sequence[str], level: float = 0.95) -> tuple[ClassScore, ...]:
    """Of each class, from a confusion matrix ``[k, k]`` whose rows are true classes.

    >>> [(s.label, round(s.precision.estimate, 2), s.recall.estimate) for s in class_scores(
    ...     np.array([[3, 1], [0, 4]]), ["cat", "dog"])]
    [('cat', 1.0, 0.75), ('dog', 0.8, 1.0)]
    """
    right, true, said = np.diagonal(counts).tolist(), counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    return tuple(
        ClassScore(label, true[i], wilson(right[i], said[i], level), wilson(right[i], true[i], level))
        for i, label in enumerate(labels)
    )
