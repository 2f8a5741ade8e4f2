"""Resident memory of each process over time or cycles, as rows and as a plot."""

from __future__ import annotations

import math
from collections import defaultdict

from benchmarks.harness import plot
from benchmarks.harness.running import Running
from benchmarks.harness.slope import slope
from benchmarks.harness.table import FOLDER, QUORATE, Row


class Samples:
    """Memory by process, at positions on an axis that only grows."""

    def __init__(self) -> None:
        self.points: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def take(self, at: float, running: Running) -> None:
        """Weigh every process now."""
        for name, resident in running.resident().items():
            self.points[name].append((at, resident))

    def rows(self, workload: str, per: float, unit: str) -> list[Row]:
        """First, last and slope of each process that was there most of the time; the slope for ``per`` on the axis."""
        found = []
        most = max(map(len, self.points.values()), default=0)
        for name, points in self.points.items():
            if len(points) < most / 2:
                continue  # it came or went on the way: a member's process, a command
            first, last = points[0][1], points[-1][1]
            found.append(Row(workload, QUORATE, f"{name}, resident at the end", "MB", (last,), f"{first:.1f} at first"))
            grown = slope(points)
            said = f"95 %: {per * grown.low:+.3g}..{per * grown.high:+.3g}; {'flat' if grown.flat else 'it grows'}"
            runs = (per * grown.estimate,) if math.isfinite(grown.estimate) else ()
            found.append(Row(workload, QUORATE, f"{name}, slope", unit, runs, said if runs else "too few samples"))
        return found

    def plot(self, name: str, title: str, x: str) -> None:
        """``build/bench/NAME.svg``."""
        plot.save(self.points, FOLDER / f"{name}.svg", title=title, x=x, y="MB")
