"""One form of output for all benchmarks: a table on the terminal and the same rows as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.harness.rounds import Interval, ratio

QUORATE = "Quorate"
LIMIT = "limit"
FOLDER = Path("build/bench")
_HEADER = ("system", "metric", "value", "min..max", "unit", "/ Quorate", "/ limit", "note")


@dataclass(frozen=True, slots=True)
class Row:
    """What one system did: one value a round; none where it could not be measured, and then the note says why."""

    workload: str
    system: str
    metric: str
    unit: str
    runs: tuple[float, ...]
    note: str = ""

    @property
    def value(self) -> float:
        """The median of the rounds; NaN where there are none."""
        return median(self.runs) if self.runs else math.nan


def render(rows: Sequence[Row]) -> str:
    """The table as text: a block a workload, ratios against the rows of Quorate and the limit in it.

    A ratio is the median over rounds of (this row / that row), with its interval.
    """
    lines = ["", "/ Quorate, / limit: medians of the ratios within rounds, with intervals of order statistics"]
    for workload in dict.fromkeys(row.workload for row in rows):
        block = [row for row in rows if row.workload == workload]
        cells = [_HEADER, *(_cells(row, block) for row in block)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(_HEADER))]
        lines += ["", workload]
        for line in cells:
            lines.append("  " + "  ".join(_place(text, widths[i], i) for i, text in enumerate(line)).rstrip())
    return "\n".join(lines)


def save(rows: Iterable[Row], name: str, folder: Path = FOLDER) -> Path:
    """Write the rows to ``NAME.json`` as a list of {workload, system, metric, value, unit, runs}."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    listed = [
        {
            "workload": row.workload,
            "system": row.system,
            "metric": row.metric,
            "value": row.value if math.isfinite(row.value) else None,
            "unit": row.unit,
            "runs": [run if math.isfinite(run) else None for run in row.runs],
        }
        for row in rows
    ]
    path.write_text(json.dumps(listed, indent=1) + "\n")
    return path


def _cells(row: Row, block: Sequence[Row]) -> tuple[str, ...]:
    if not row.runs:
        return (row.system, row.metric, "–", "", row.unit, "", "", row.note)
    spread = "" if len(row.runs) == 1 else f"{number(min(row.runs))}..{number(max(row.runs))}"
    ratios = (_ratio(row, _find(block, system, row.metric)) for system in (QUORATE, LIMIT))
    return (row.system, row.metric, number(row.value), spread, row.unit, *ratios, row.note)


def _find(block: Sequence[Row], system: str, metric: str) -> Row | None:
    return next((row for row in block if row.system == system and row.metric == metric), None)


def _ratio(row: Row, reference: Row | None) -> str:
    if reference is None or reference is row or not reference.runs or not all(reference.runs):
        return ""
    return show(ratio(row.runs, reference.runs))


def show(interval: Interval) -> str:
    """A ratio with its interval.

    >>> show(Interval(0.9, 1.0, 1.126, 0.9))
    '1.00 (0.90..1.13)'
    """
    if interval.low == interval.high:
        return f"{interval.middle:.2f}"
    return f"{interval.middle:.2f} ({interval.low:.2f}..{interval.high:.2f})"


def number(value: float) -> str:
    """Three significant digits, thousands with commas.

    >>> number(12345.6), number(3.14159), number(0.0123), number(42)
    ('12,346', '3.14', '0.0123', '42')
    """
    if math.isnan(value):
        return "–"
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _place(text: str, width: int, column: int) -> str:
    return text.rjust(width) if 2 <= column <= 3 else text.ljust(width)
