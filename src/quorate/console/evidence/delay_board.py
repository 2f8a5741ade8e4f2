"""How late outcomes come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.evidence.chart import Axis, Dot, Series, chart, fitting
from quorate.console.evidence.picture import Picture
from quorate.console.evidence.source_boards import SOON
from quorate.console.evidence.table import Column, Line, Table
from quorate.console.evidence.wording import lasting, named


class DelayBoard:
    """How late outcomes come: the Kaplan-Meier estimate, which allows for decisions that have none yet."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="delay-title"):
            Node("h2", "", "How late outcomes come", id="delay-title")
            self._none = Node("p", "quiet", SOON)
            self._picture = Picture()
            columns = [
                Column("Metric"),
                *(Column(title, "figure") for title in ("50 % by", "90 % by", "99 % by", "seen 50 %")),
            ]
            self._table = Table("How late outcomes come", columns)
            Node(
                "p",
                "quiet note",
                "The share of all rows that has its outcome by an age (Kaplan-Meier, with 95 % interval). “Seen” is "
                "the median of the delays so far, which is too short while later ones are still to come.",
            )

    def show(self, found: Mapping[str, Any]) -> None:
        """Fill it from the report of outcomes."""
        known = [each for each in found["metrics"] if each["curve"]]
        self._none.put(hidden=bool(known))
        self._picture.show(delays(known, found["expected_within_s"]) if known else "")
        self._table.show(
            [
                Line(
                    each["metric"],
                    [
                        named(each["metric"]),
                        *(_after(each[name]) for name in ("p50_s", "p90_s", "p99_s")),
                        lasting(each["seen_p50_s"]),
                    ],
                )
                for each in known
            ]
        )


def _after(seconds: float | None) -> str:
    return "never" if seconds is None else lasting(seconds)


def delays(metrics: Sequence[Mapping[str, Any]], expected: float | None) -> str:
    """The chart of the share with an outcome over the delay, on a logarithmic axis."""
    lines = []
    for each in metrics:
        dots = [
            Dot(log10(max(point["delay_s"], 1e-3)), point["share"], point["low"], point["high"])
            for point in each["curve"]
        ]
        lines.append(Series(named(each["metric"]), dots, steps=True))
    xs = [dot.x for line in lines for dot in line.dots]
    marks = (1e-3, 1e-2, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0)
    low, high = min(xs), max(max(xs), min(xs) + 0.3)
    shown = [(log10(mark), lasting(mark)) for mark in marks if low <= log10(mark) <= high]
    y = fitting([0.0, max(dot.high or dot.y for line in lines for dot in line.dots)],
                lambda v: f"{v:.0%}".replace("%", " %"), lowest=0.0, highest=1.0)  # fmt: skip
    told = words.listed([f"{named(each['metric'])}: half by {_after(each['p50_s'])}" for each in metrics])
    return chart(lines, Axis(low, high, shown), y, label=f"The share of rows with an outcome, by age. {told}.")
