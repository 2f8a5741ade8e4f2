"""Tables, JSON and progress."""

from __future__ import annotations

import json

import pytest

from quorate.cli._output import print_json, print_table, progress


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a", 1, None, True), ("longer", 1234.5678, 2.0, False)]
    print_table(("name", "value", "other", "good"), rows, title="Things")
    assert capsys.readouterr().out.splitlines() == [
        "Things",
        "name    value  other  good",
        "------  -----  -----  ----",
        "a           1      -  yes",
        "longer   1235      2  no",
    ]


def test_an_empty_table_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [])
    assert capsys.readouterr().out == "name\n----\n"


def test_json_has_raw_values(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        ("name", "value"), iter([("a", 1234.5678), ("b", None), ("c", float("nan"))]), json=True, title="Things"
    )
    assert json.loads(capsys.readouterr().out) == [
        {"name": "a", "value": 1234.5678},
        {"name": "b", "value": None},
        {"name": "c", "value": None},
    ]
    print_json({"x": ("ü",)})
    assert capsys.readouterr().out == '{\n  "x": [\n    "ü"\n  ]\n}\n'


def test_a_row_of_the_wrong_length_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="zip"):
        print_table(("a", "b"), [(1,)], json=True)


def test_progress_without_a_terminal_is_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Training", 2) as done:
        done("one")
        done("two")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Training 1/2: one\nTraining 2/2: two\n"
