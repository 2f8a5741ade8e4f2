"""An axis of time."""

from __future__ import annotations

from quorate.console.evidence.chart import Axis
from quorate.console.evidence.wording import shortly

MARKS = 4
"""Parts that the time is divided into."""


def times(first: float, last: float) -> Axis:
    """From one Unix time to another: days where they are far apart, else times of day, each once."""
    days = last - first > 2 * 86_400
    marks = [first + (last - first) * part / MARKS for part in range(MARKS + 1)]
    told = {shortly(mark, days=days): mark for mark in reversed(marks)}
    return Axis(first, last, [(mark, text) for text, mark in reversed(told.items())])
