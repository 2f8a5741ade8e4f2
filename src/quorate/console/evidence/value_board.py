"""What answers are worth: what is declared, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.console.elements import Node
from quorate.console.evidence.table import Column, Line, Table, spans
from quorate.console.evidence.time_board import mean_cell
from quorate.console.evidence.wording import number


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
                Line(name, [name, mean_cell(mean, number, place), f"{1000 * mean['mean']:,.0f}"])
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
