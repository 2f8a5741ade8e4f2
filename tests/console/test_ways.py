"""One decision as tables: its stages, and each row's members."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("nicegui", reason="The extra 'console' is not installed")

from quorate.console.evidence.table import Cell
from quorate.console.policies.ways import MOST, row_lines, shown_members, stage_lines, titles


def run(name: str, *rows: tuple[str, str | None, list[float | None]], reason: str | None = None) -> dict[str, Any]:
    return {
        "name": name, "reason": reason, "row_status": [row[0] for row in rows], "skipped": [row[1] for row in rows],
        "outputs": [row[2] for row in rows],
    }  # fmt: skip


LATE = "member_timeout"
NONE: list[float | None] = [None, None]
DECISION: dict[str, Any] = {
    "rows": 3, "served": "steps", "output_kind": "scores", "classes": ["no", "yes"], "withheld": [1],
    "answer": [[0.1, 0.9], [0.4, 0.6], [0.3, 0.7]], "coverage": None,
    "stages": [
        {"members": ["y"], "rows": 3, "stopped": 0, "no_time": 0},
        {"members": ["x", "z"], "rows": 1, "stopped": 1, "no_time": 1},
    ],
    "members": [
        run("w", *[("skipped", "not_in_strategy", NONE)] * 3),
        run("x", ("skipped", "stopped", NONE), ("skipped", "no_time", NONE), ("ok", None, [0.2, 0.8])),
        run("y", ("ok", None, [0.1, 0.9]), ("ok", None, [0.4, 0.6]), ("ok", None, [0.4, 0.6])),
        run("z", ("skipped", "stopped", NONE), ("skipped", None, NONE), ("failed", None, NONE), reason=LATE),
    ],
}  # fmt: skip


def texts(cells: Any) -> list[str]:
    return [cell.text if isinstance(cell, Cell) else cell for cell in cells]


def test_stages_count_rows_by_what_became_of_them() -> None:
    assert [texts(line.cells) for line in stage_lines(DECISION["stages"])] == [
        ["1", "y", "3", "0", "0"],
        ["2", "x and z", "1", "1", "1"],
    ]


def test_each_row_says_who_was_asked_and_why_others_were_not() -> None:
    members = shown_members(DECISION)
    assert titles(DECISION, members) == ["1 · y", "2 · x", "2 · z"]
    lines = row_lines(DECISION, members)
    assert [texts(line.cells) for line in lines] == [
        ["0", "yes (90 %)", "yes (90 %)", "not needed", "not needed"],
        ["1", "yes (60 %)", "yes (60 %)", "no time", "not asked"],
        ["2", "yes (70 %)", "yes (60 %)", "yes (80 %)", "too slow"],
    ]
    notes = [line.cells[1].note for line in lines if isinstance(line.cells[1], Cell)]
    assert notes == ["", "withheld", ""]


def test_sets_are_beside_the_answer_and_outputs_need_not_be_on_record() -> None:
    promised = {"asked": 0.9, "rows": [{"set": ["yes"], "interval": None, "abstained": False, "reason": None}] * 3}
    bare = [{**one, "outputs": [[], [], []]} for one in DECISION["members"]]
    found = DECISION | {"coverage": promised, "members": bare, "stages": DECISION["stages"][:1]}
    members = shown_members(found)
    assert titles(found, members) == ["y", "x", "z"]
    first = row_lines(found, members)[0].cells
    assert isinstance(first[1], Cell)
    assert isinstance(first[2], Cell)
    assert first[1].note == "The truth is yes in 90.0 % of such answers."
    assert (first[2].text, first[2].note) == ("answered", "its output was not recorded")


def test_of_many_rows_the_first_are_shown() -> None:
    one = {key: value * 100 if isinstance(value, list) else value for key, value in DECISION["members"][2].items()}
    found = DECISION | {"rows": 300, "members": [one], "answer": DECISION["answer"] * 100}
    assert len(row_lines(found, shown_members(found))) == MOST
    unanswered = DECISION | {"answer": None}
    assert texts(row_lines(unanswered, [])[0].cells) == ["0", "–"]
