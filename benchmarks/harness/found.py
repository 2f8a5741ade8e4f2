"""What a part of a benchmark found."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.harness.table import Row


class Found(NamedTuple):
    """Rows, and how many answers were not what they must be."""

    rows: list[Row]
    bad: int
