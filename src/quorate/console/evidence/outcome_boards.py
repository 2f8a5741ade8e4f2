"""The boards of the page of outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.evidence.chart import Axis, Dot, Series, chart, fitting
from quorate.console.evidence.table import Cell, Column, Line, Table, spans
from quorate.console.evidence.wording import lasting, limits, named, number, shortly, value, when

SOON = "Nothing is known yet. Tell what was true with POST /v1/outcomes, on “Try it”, or import a file below."


class Picture:
    """A chart that is sent again only where it changed."""

    def __init__(self) -> None:
        self._html = ui.html("", sanitize=False).classes("chart-html")  # what is put in escapes what others wrote

    def show(self, html: str) -> None:
        """Show this."""
        if html != self._html.content:
            self._html.set_content(html)


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
                Line(name, [name, _mean(mean, text, place), f"{mean['rows']:,}"])
                for (name, mean), place in zip(known, places, strict=True)
            ]
        )
        self._note.say(
            f"A dot stands for {lasting(series['step_s'])} of decisions, by when they were made (UTC). "
            "Intervals are for one look; of the newest decisions only the fast outcomes are here."
            if shown
            else " "
        )


def _mean(mean: Mapping[str, Any], text: Callable[[float | None], str], place: Any) -> Cell:
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
    y = fitting(values, lambda v: f"{v:.0%}".replace("%", " %") if metric == "accuracy" else f"{v:.3g}",
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


class CompletenessBoard:
    """How many decisions have an outcome, of those that will, by metric."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="complete-title"):
            Node("h2", "", "How complete it is", id="complete-title")
            columns = [Column("Metric"), Column("Known so far"), Column("Expected in the end"), Column("Complete")]
            self._table = Table("Completeness", columns, empty=SOON)
            self._note = Node("p", "quiet note", " ")

    def show(self, found: Mapping[str, Any]) -> None:
        """Fill it from the report of outcomes."""
        lines = []
        for each in found["metrics"]:
            low, high, final = each["final_low"], each["final_high"], each["final_share"]
            rows = words.counted(each["known_rows"], "row")
            lines.append(
                Line(
                    each["metric"],
                    [
                        named(each["metric"]),
                        Cell(words.percent(each["share"]), rows),
                        Cell(words.percent(final), limits(low, high, words.percent)),
                        words.percent(each["completeness"]),
                    ],
                )
            )
        self._table.show(lines)
        expected = found["expected_within_s"]
        told = (
            f"An outcome is waited for {lasting(expected)} (expected_within_s)."
            if expected is not None
            else "How long outcomes are waited for is not declared (outcomes.expected_within_s); the age of the oldest "
            f"decision is taken, {lasting(found['horizon_s'])}."
        )
        lost = f" {_lost(found)}" if found["pending"] or found["gone"] else ""
        self._note.say(told + lost)


def _lost(found: Mapping[str, Any]) -> str:
    return (
        f"Of all endpoints, {words.counted(found['pending'], 'value')} wait for their decision and "
        f"{found['gone']:,} are about one that is no longer kept."
    )


class DelayBoard:
    """How late outcomes come: the Kaplan-Meier estimate, which allows for decisions that have none yet."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="delay-title"):
            Node("h2", "", "How late outcomes come", id="delay-title")
            self._none = Node("p", "quiet", SOON)
            self._picture = Picture()
            columns = [Column("Metric"), *(Column(title, "figure") for title in ("50 %", "90 %", "99 %", "seen 50 %"))]
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
    from math import log10

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


class ValueBoard:
    """What answers were worth: what is declared, and each strategy's mean."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="value-title"):
            Node("h2", "", "What answers are worth", id="value-title")
            self._none = Node("p", "quiet", " ")
            with Node("dl", "declared", hidden=True, data_testid="declared-value") as self._list:
                pass
            columns = [Column("Strategy"), Column("Mean of a row"), Column("1,000 rows", "figure")]
            self._table = Table("Business value", columns)
        self._declared: Mapping[str, Any] | None = None

    def show(self, declared: Mapping[str, Any] | None, report: Mapping[str, Any] | None) -> None:
        """Fill it from what is declared and the report; without one nothing of strategies may be seen."""
        if not declared:
            self._none.say(
                "No value is declared. With endpoints.NAME.value in quorate.yaml (correct, error, per_ms, rewards) "
                "every answer gets a business value, and strategies are compared by it."
            )
        self._none.put(hidden=bool(declared))
        self._list.put(hidden=not declared)
        if declared != self._declared:
            self._declared = declared
            self._list.clear()
            with self._list:
                for title, worth in worths(declared or {}):
                    with Node("div"):
                        Node("dt", "", title)
                        Node("dd", "", worth)
        found = [(each["strategy"], each["value"]) for each in report["strategies"]] if report and declared else []
        known = [(name, mean) for name, mean in found if mean is not None]
        places = spans([(mean["low"], mean["mean"], mean["high"]) for _, mean in known], zero=False)
        self._table.show(
            [
                Line(name, [name, _mean(mean, number, place), f"{1000 * mean['mean']:,.0f}"])
                for (name, mean), place in zip(known, places, strict=True)
            ]
        )


def worths(declared: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is declared, in words."""
    found = []
    for name, title in (
        ("correct", "a right answer"),
        ("error", "a wrong answer"),
        ("per_unit_error", "each unit of error"),
        ("per_ms", "each millisecond"),
        ("unanswered", "no answer"),
    ):
        if declared.get(name):
            found.append((title, f"{declared[name]:+g}"))
    for label, own in (declared.get("by_class") or {}).items():
        for name in ("correct", "error"):
            if own.get(name) is not None:
                found.append((f"{'right' if name == 'correct' else 'wrong'} where it is {label}", f"{own[name]:+g}"))
    for label, answers in (declared.get("confusion") or {}).items():
        found += [(f"“{answer}” where it is {label}", f"{worth:+g}") for answer, worth in answers.items()]
    absent = declared.get("absent") or {}
    for metric, weight in (declared.get("rewards") or {}).items():
        untold = f", {absent[metric]:g} where it is not told" if metric in absent else ""
        found.append((f"each unit of {metric}{untold}", f"{weight:+g}"))
    return found


class SourcesBoard:
    """Whose values there are, in the order in which they count."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="sources-title"):
            Node("h2", "", "Whose outcomes", id="sources-title")
            figures = (Column(title, "figure") for title in ("Counting", "Corrected", "Late", "Not fitting"))
            self._table = Table("Sources", [Column("Source"), *figures], empty=SOON)
            self._note = Node("p", "quiet note", " ")

    def show(self, found: Mapping[str, Any]) -> None:
        """Fill it from the report of outcomes."""
        order = list(found["precedence"])
        lines, overruled = [], 0
        for metric in found["metrics"]:
            sources = sorted(metric["sources"], key=lambda each: (_rank(each["source"], order), each["source"]))
            overruled += max(sum(each["joined"] for each in sources) - metric["known_rows"], 0)
            for each in sources:
                counts = [f"{each[name]:,}" for name in ("joined", "replaced", "late", "invalid")]
                head = Cell(each["source"], named(metric["metric"]))
                lines.append(Line(f"{metric['metric']} {each['source']}", [head, *counts]))
        self._table.show(lines)
        window = found["correction_s"]
        may = (
            f"A source may correct itself for {lasting(window)}"
            if window is not None
            else "A source may always correct itself"
        )
        said = f"{words.listed([*order, 'others'])} count in this order. {may}."
        if overruled:
            said += f" {words.counted(overruled, 'value')} did not decide, since a source that comes first has spoken."
        self._note.say(said)


def _rank(source: str, order: Sequence[str]) -> int:
    return order.index(source) if source in order else len(order)


class ContestedBoard:
    """The newest values that were corrected or contradicted."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="contested-title"):
            Node("h2", "", "Corrected and contradicted", id="contested-title")
            columns = [Column("Decision"), Column("What was told"), Column("Counts")]
            self._table = Table(
                "Contested", columns, empty="No value was corrected or contradicted, of those told last."
            )

    def show(self, found: Sequence[Mapping[str, Any]]) -> None:
        """List them."""
        self._table.show([contested(each) for each in found])


def contested(found: Mapping[str, Any]) -> Line:
    """A row of which several things were told."""
    told = "; ".join(f"{each['source']}: {_told(each['value'])}" for each in found["values"])
    counts = next((each for each in found["values"] if each["counts"]), None)
    late = any(each["state"] == "late" for each in found["values"])
    own = len({each["source"] for each in found["values"]}) == 1
    how = "corrected" if own else "the first of the order"
    row = f", row {found['row']}" if found["row"] else ""
    return Line(
        f"{found['decision']} {found['row']} {found['metric']}",
        [
            Cell(f"…{found['decision'][-12:]}", f"{named(found['metric'])}{row}", "code"),
            told,
            Cell(words.DASH) if counts is None else Cell(_told(counts["value"]), "one came too late" if late else how),
        ],
    )


def _told(said: str | float | None) -> str:
    return said if isinstance(said, str) else number(said)
