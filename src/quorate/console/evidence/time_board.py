"""How answers turned out over time, by strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.evidence.chart import Axis, Dot, Series, chart, fitting
from quorate.console.evidence.picture import Picture
from quorate.console.evidence.source_boards import SOON
from quorate.console.evidence.table import Cell, Column, Line, Table, spans
from quorate.console.evidence.wording import lasting, limits, named, shortly, value, when


class TimeBoard:
    """Each strategy's metric over time, and over the whole time."""

    def __init__(self) -> None:
        with Node("section", "card wide", aria_labelledby="time-title"):
            with Node("div", "heading"):
                Node("h2", "", "How answers turned out", id="time-title")
                self._choice = Node("select", "", aria_label="Metric", hidden=True, data_testid="metric")
                self._choice.on("change", self._chosen, js_handler="(event) => emit(event.target.value)")
            self._none = Node("p", "quiet", SOON, data_testid="no-outcomes")
            self._picture = Picture()
            columns = [Column("Strategy"), Column("Mean, with 95 % interval"), Column("Rows", "figure")]
            self._table = Table("How strategies did", columns)
            self._note = Node("p", "quiet note", " ")
        self._metric = ""
        self._metrics: list[str] = []
        self._found: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None

    def hide(self, why: str) -> None:
        """Nothing of it may be seen now."""
        self._found = None
        self._metrics = []
        self._choice.put(hidden=True)
        self._none.put(hidden=False)
        self._none.say(why)
        self._picture.show("")
        self._table.show([])
        self._note.say(" ")

    def show(self, series: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        """Fill it from the timeline and the report."""
        self._found = (series, report)
        metrics = sorted(
            {each["metric"] for each in series["series"]}, key=lambda m: (m not in ("accuracy", "error"), m)
        )
        if metrics != self._metrics:
            self._metrics = metrics
            self._choice.clear()
            with self._choice:
                for name in metrics:
                    Node("option", "", named(name), value=name)
        if self._metric not in metrics:
            self._metric = metrics[0] if metrics else ""
        self._choice.put(hidden=len(metrics) < 2, value=self._metric)
        self._draw()

    def _chosen(self, event: Any) -> None:
        if event.args in self._metrics:
            self._metric = event.args
            self._draw()

    def _draw(self) -> None:
        if self._found is None:
            return
        series, report = self._found
        shown = [each for each in series["series"] if each["metric"] == self._metric]
        self._none.put(hidden=bool(shown))
        self._none.say(SOON)
        text = value(self._metric)
        self._picture.show(over_time(shown, series, self._metric) if shown else "")
        found = [(each["strategy"], mean_of(each, self._metric)) for each in report["strategies"]]
        known = [(name, mean) for name, mean in found if mean is not None]
        places = spans([(mean["low"], mean["mean"], mean["high"]) for _, mean in known], zero=False)
        self._table.show(
            [
                Line(name, [name, mean_cell(mean, text, place), f"{mean['rows']:,}"])
                for (name, mean), place in zip(known, places, strict=True)
            ]
        )
        self._note.say(
            f"A dot stands for {lasting(series['step_s'])} of decisions, by when they were made (UTC). "
            "Intervals are for one look; of the newest decisions only the fast outcomes are here."
            if shown
            else " "
        )


def mean_cell(mean: Mapping[str, Any], text: Callable[[float | None], str], place: Any) -> Cell:
    return Cell(text(mean["mean"]), limits(mean["low"], mean["high"], text), span=place)


def mean_of(strategy: Mapping[str, Any], metric: str) -> dict[str, Any] | None:
    """A metric of a strategy in the report: its mean, limits and rows; None where it is not known."""
    if metric == "accuracy" and strategy["accuracy"] is not None:
        low, high = strategy["accuracy_low"], strategy["accuracy_high"]
        return {"mean": strategy["accuracy"], "low": low, "high": high, "rows": strategy["judged_rows"]}
    if metric == "error" and strategy["mean_absolute_error"] is not None:
        return {"mean": strategy["mean_absolute_error"], "low": None, "high": None, "rows": strategy["judged_rows"]}
    if metric == "value":
        found: dict[str, Any] | None = strategy["value"]
        return found
    return next((each for each in strategy["rewards"] if each["metric"] == metric), None)


def over_time(shown: Sequence[Mapping[str, Any]], series: Mapping[str, Any], metric: str) -> str:
    """The chart of a metric over time."""
    text = value(metric)
    step = series["step_s"]
    days = series["now"] - series["since"] > 2 * 86_400
    lines = []
    for each in shown:
        dots = [
            Dot(
                point["at"] + step / 2,
                point["mean"],
                point["low"],
                point["high"],
                f"{each['strategy']}, {when(point['at'])}: {text(point['mean'])} "
                f"({limits(point['low'], point['high'], text) or 'too few for an interval'}; "
                f"{words.counted(point['rows'], 'row')})",
            )
            for point in each["points"]
        ]
        lines.append(Series(each["strategy"], dots))
    dots = [dot for line in lines for dot in line.dots]
    values = [dot.y for dot in dots] + _held(shown)
    edges = (0.0, 1.0) if metric == "accuracy" else (float("-inf"), float("inf"))
    y = fitting(values, lambda v: f"{v * 100:.4g} %" if metric == "accuracy" else f"{v:.3g}",
                lowest=edges[0], highest=edges[1])  # fmt: skip
    first, last = min(dot.x for dot in dots), max(dot.x for dot in dots)
    margin = 0.02 * (last - first) or step / 2
    marks = _moments(first, last, days)
    x = Axis(first - margin, last + margin, [(at, shortly(at, days=days)) for at in marks])
    names = words.listed([line.name for line in lines])
    return chart(lines, x, y, label=f"The {named(metric)} of {names} over time; the table below has their means.")


def _held(shown: Sequence[Mapping[str, Any]]) -> list[float]:
    """Limits that the axis must hold: not those of few rows, which would make all others flat."""
    points = [point for each in shown for point in each["points"] if point["low"] is not None]
    many = max((point["rows"] for point in points), default=0) / 4
    return [limit for point in points if point["rows"] >= many for limit in (point["low"], point["high"])]


def _moments(first: float, last: float, days: bool) -> list[float]:
    steps = (86_400, 2 * 86_400, 7 * 86_400) if days else (60, 300, 600, 1800, 3600, 7200, 4 * 3600, 6 * 3600)
    step = next((each for each in steps if (last - first) / each <= 6), steps[-1])
    start = -(-first // step) * step
    found = [start + index * step for index in range(int((last - start) // step) + 1)]
    return found or [first]
