"""The board of coverage: how often the truth was in the sets and intervals that were promised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.evidence.table import Cell, Column, Line, Table


class CoverageBoard:
    """Hidden where no strategy of the endpoint is calibrated."""

    def __init__(self) -> None:
        with Node("section", "card wide", aria_labelledby="coverage-title", hidden=True) as self._card:
            Node("h2", "", "Coverage of sets and intervals", id="coverage-title")
            columns = [
                Column("Strategy"),
                *(Column(t, "figure") for t in ("Asked", "Covered", "Rows", "Size", "Aimed at")),
            ]
            self._table = Table("Coverage", columns, empty="No truth is known yet of an answer with a set.")
            Node(
                "p",
                "quiet note",
                "Covered is the share of rows whose truth was in the set, with its 95 % interval; size is the mean "
                "number of labels, or the mean width. An adaptive strategy aims at what makes the coverage come out.",
            )

    def show(self, found: Mapping[str, Any] | None) -> None:
        """Fill it from the report of coverage; None where that is not shown now."""
        strategies = [] if found is None else found["strategies"]
        self._card.put(hidden=not strategies)
        self._table.show(
            [
                Line(f"{strategy['strategy']} {each['asked']}", _cells(strategy, each))
                for strategy in strategies
                for each in strategy["promises"]
            ]
        )


def _cells(strategy: Mapping[str, Any], promise: Mapping[str, Any]) -> list[Cell | str]:
    between = f"{words.percent(promise['low'])} to {words.percent(promise['high'])}"
    return [
        strategy["strategy"],
        words.percent(promise["asked"]),
        Cell(words.percent(promise["coverage"]), between),
        f"{promise['rows']:,}",
        words.DASH if promise["size"] is None else f"{promise['size']:.3g}",
        _aimed(strategy["adaptive"], promise["asked"]),
    ]


def _aimed(adaptive: Mapping[str, Any] | None, asked: float) -> str:
    """The level that an adaptive strategy aims at, of the coverages that it keeps one for."""
    levels = [] if adaptive is None else adaptive["levels"]
    mine = [each["level"] for each in levels if abs(each["asked"] - asked) < 1e-9]
    return words.percent(mine[0]) if mine else words.DASH
