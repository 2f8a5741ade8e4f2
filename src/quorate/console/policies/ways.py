"""The way that a decision took: its stages, and row by row who was asked, what they said, and why others were not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.evidence.table import Cell, Column, Line, Table

MOST = 50
"""Rows that are shown."""

STAGES = (
    Column("Stage"),
    Column("Members"),
    Column("Rows that asked", "figure"),
    Column("Not needed", "figure"),
    Column("No time", "figure"),
)


def show_way(found: Mapping[str, Any]) -> None:
    """Make the tables of a decision, as the control port describes it."""
    if len(found["stages"]) > 1:
        Node("h3", "", "Stages")
        Table("Stages of the decision", STAGES).show(stage_lines(found["stages"]))
    members = shown_members(found)
    if not members or not found["rows"]:
        return
    Node("h3", "", "Row by row" if found["rows"] > 1 else "Who was asked")
    columns = [Column(title) for title in ("Row", "Answer", *titles(found, members))]
    Table("Rows of the decision", columns).show(row_lines(found, members))
    if found["rows"] > MOST:
        Node(
            "p", "quiet note", f"The first {MOST} of {found['rows']:,} rows; the control port and the command tell all."
        )
    others = [run["name"] for run in found["members"] if run not in members]
    if others:
        Node("p", "quiet note", f"{found['served']} does not ask {words.listed(others)}.")


def stage_lines(stages: Sequence[Mapping[str, Any]]) -> list[Line]:
    """A line a stage: how many rows asked it, and why the others did not."""
    return [
        Line(
            str(number),
            [
                str(number),
                words.listed(stage["members"]),
                *(f"{stage[what]:,}" for what in ("rows", "stopped", "no_time")),
            ],
        )
        for number, stage in enumerate(stages, start=1)
    ]


def shown_members(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The members that the strategy could have asked, in the order of its stages."""
    mine = [run for run in found["members"] if set(run["skipped"]) != {"not_in_strategy"}]
    order = {name: number for number, stage in enumerate(found["stages"]) for name in stage["members"]}
    return sorted(mine, key=lambda run: order.get(run["name"], len(order)))


def titles(found: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> list[str]:
    """The members' names, with the number of their stage where there are several."""
    if len(found["stages"]) < 2:
        return [run["name"] for run in members]
    stage = {name: number for number, each in enumerate(found["stages"], start=1) for name in each["members"]}
    return [f"{stage[run['name']]} · {run['name']}" if run["name"] in stage else run["name"] for run in members]


def row_lines(found: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> list[Line]:
    """A line a row: the answer, and each member's part in it."""
    lines = []
    for row in range(min(found["rows"], MOST)):
        lines.append(Line(str(row), [str(row), _answer(found, row), *(_part(found, run, row) for run in members)]))
    return lines


def _answer(found: Mapping[str, Any], row: int) -> Cell:
    said = words.DASH if found["answer"] is None else _said(found, found["answer"][row])
    notes = ["withheld"] if row in found["withheld"] else []
    promised = (found.get("coverage") or {}).get("rows")
    if promised is not None:
        mine = promised[row]
        notes.append(words.promise(mine["set"], mine["interval"], found["coverage"]["asked"]))
    return Cell(said, "; ".join(notes))


def _part(found: Mapping[str, Any], run: Mapping[str, Any], row: int) -> Cell:
    status, why = run["row_status"][row], run["skipped"][row]
    if status == "skipped":
        return Cell(words.SKIPPED.get(why, "not asked"), classes="unasked")
    if status == "failed":
        return Cell(words.reason(run["reason"]), classes="bad")
    if not run["outputs"][row]:
        return Cell("answered", "its output was not recorded")
    return Cell(_said(found, run["outputs"][row]))


def _said(found: Mapping[str, Any], numbers: Sequence[float | None]) -> str:
    if not numbers or any(value is None for value in numbers):
        return words.DASH
    if found["output_kind"] == "values":
        return " · ".join(words.number(value) for value in numbers)
    best = max(range(len(numbers)), key=lambda index: numbers[index] or 0.0)
    return f"{found['classes'][best]} ({words.percent(numbers[best], 0)})"
