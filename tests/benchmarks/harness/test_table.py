"""The table and its JSON."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.harness.table import LIMIT, QUORATE, Row, render, save

ROWS = [
    Row("load", QUORATE, "answers", "1/s", (1000.0, 500.0, 2000.0), "0 not 200"),
    Row("load", "peer", "answers", "1/s", (1500.0, 1000.0, 4000.0)),
    Row("load", LIMIT, "answers", "1/s", (4000.0, 2000.0, 8000.0)),
    Row("size", QUORATE, "memory", "MB", (120.5,)),
    Row("size", LIMIT, "memory", "MB", (150.0,)),
]


def test_the_table_shows_values_and_ratios_of_each_workload() -> None:
    lines = [line.split() for line in render(ROWS).splitlines()]
    assert ["Quorate", "answers", "1,000", "500..2,000", "1/s", "0.25", "0", "not", "200"] in lines
    assert ["peer", "answers", "1,500", "1,000..4,000", "1/s", "2.00", "(1.50..2.00)", "0.50", "(0.38..0.50)"] in lines
    assert ["limit", "answers", "4,000", "2,000..8,000", "1/s", "4.00"] in lines
    assert ["Quorate", "memory", "120", "MB", "0.80"] in lines


def test_a_row_without_reference_has_no_ratio() -> None:
    text = render([Row("w", "peer", "x", "s", (2.0,)), Row("w", QUORATE, "y", "s", (1.0,))])
    assert ["peer", "x", "2", "s"] in [line.split() for line in text.splitlines()]


def test_a_reference_of_zero_gives_no_ratio() -> None:
    text = render([Row("w", "peer", "x", "s", (2.0, 3.0)), Row("w", QUORATE, "x", "s", (0.0, 1.0))])
    assert ["peer", "x", "2.5", "2..3", "s"] in [line.split() for line in text.splitlines()]


def test_the_json_has_a_row_for_every_row(tmp_path: Path) -> None:
    path = save(ROWS, "some", tmp_path / "deep")
    found = json.loads(path.read_text())
    assert path.name == "some.json"
    assert len(found) == len(ROWS)
    assert found[0] == {
        "workload": "load",
        "system": "Quorate",
        "metric": "answers",
        "value": 1000.0,
        "unit": "1/s",
        "runs": [1000.0, 500.0, 2000.0],
    }
