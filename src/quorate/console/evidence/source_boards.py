"""How complete outcomes are, whose they are, and which were contested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.evidence.table import Cell, Column, Line, Table
from quorate.console.evidence.wording import lasting, limits, named, number

SOON = "Nothing is known yet. Tell what was true with POST /v1/outcomes, on “Try it”, or import a file below."


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
        with Node("section", "card wide", aria_labelledby="contested-title"):
            Node("h2", "", "Corrected and contradicted", id="contested-title")
            columns = [Column("Decision"), Column("What was told", "text"), Column("Counts")]
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
