"""The board of coverage in words."""

from typing import Any

import pytest

from quorate.console.parts.coverage import _cells
from quorate.console.words import DASH

PROMISE: dict[str, Any] = {"asked": 0.9, "rows": 1700, "coverage": 0.912, "low": 0.897, "high": 0.925, "size": 1.234}


@pytest.mark.parametrize(
    ("adaptive", "aimed"),
    [
        (None, DASH),
        ({"levels": []}, DASH),
        ({"levels": [{"asked": 0.95, "level": 0.96}, {"asked": 1 - 0.1, "level": 0.931}]}, "93.1 %"),
    ],
)
def test_a_row_says_what_was_asked_and_what_came_of_it(adaptive: Any, aimed: str) -> None:
    cells = _cells({"strategy": "mean", "adaptive": adaptive}, PROMISE)
    name, asked, covered, rows, size, level = cells
    assert (name, asked, rows, size, level) == ("mean", "90.0 %", "1,700", "1.23", aimed)
    assert not isinstance(covered, str)
    assert (covered.text, covered.note) == ("91.2 %", "89.7 % to 92.5 %")


def test_without_bounded_intervals_there_is_no_size() -> None:
    assert _cells({"strategy": "mean", "adaptive": None}, {**PROMISE, "size": None})[4] == DASH
