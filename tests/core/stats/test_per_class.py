"""Precision and recall are of columns and rows, not the other way round."""

from __future__ import annotations

import math

import numpy as np

from quorate.core.stats.intervals import wilson
from quorate.core.stats.per_class import class_scores

COUNTS = np.array([[8, 2, 0], [1, 4, 0], [0, 5, 0]])


def test_rows_are_true_and_columns_are_said() -> None:
    a, b, c = class_scores(COUNTS, ["a", "b", "c"])
    assert (a.label, a.rows, a.recall, a.precision) == ("a", 10, wilson(8, 10), wilson(8, 9))
    assert (b.rows, b.recall, b.precision) == (5, wilson(4, 5), wilson(4, 11))
    assert c.recall == wilson(0, 5)
    assert math.isnan(c.precision.estimate)
    assert c.precision[1:] == (0.0, 1.0)


def test_the_level_widens_the_intervals() -> None:
    (narrow, *_), (wide, *_) = (class_scores(COUNTS, "abc", level) for level in (0.8, 0.99))
    assert wide.recall.low < narrow.recall.low
