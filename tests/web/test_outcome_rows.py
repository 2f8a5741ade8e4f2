"""Rows of files and queries as outcomes; what is none has its line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from quorate.errors import ConfigError, InvalidInput
from quorate.web.outcome_rows import Columns, Row, Wrong, csv_rows, ndjson_rows, outcomes, unix_seconds

ALL = Columns(row="row", truth="truth", rewards={"revenue": "eur"}, source_column="source", at="at", source="shop")


def told(rows: Any, columns: Columns = ALL) -> list[Any]:
    return [(each.line, each.detail) if isinstance(each, Wrong) else each for each in outcomes(rows, columns)]


def test_csv_rows_have_the_line_they_end_on() -> None:
    text = 'id,truth,note\r\na,yes,"two\nlines"\n\nb,,x\nc,no\nd,"no"x,y\n\xff,é,z\n'
    lines = text.encode("latin-1").splitlines(keepends=True)
    found = list(csv_rows(lines))
    assert found[0] == Row(3, {"id": "a", "truth": "yes", "note": "two\nlines"})
    assert found[1] == Row(5, {"id": "b", "note": "x"})  # an empty cell is no value
    assert found[2] == Wrong(6, "It has 2 cells, and the header 3.")
    assert isinstance(found[3], Wrong)
    assert found[3].line == 7
    assert found[4] == Wrong(8, "It is not UTF-8.")
    assert list(csv_rows([b"\xef\xbb\xbfid;truth\n", b"a;7\n"], ";")) == [Row(2, {"id": "a", "truth": "7"})]
    assert list(csv_rows([])) == []
    with pytest.raises(ConfigError, match="names a column twice"):
        list(csv_rows([b"id,id\n"]))


def test_ndjson_rows() -> None:
    lines = [b'{"id": "a", "truth": 7}\n', b"\n", b"[1]\n", b"{\n", b'{"id": "\xff"}\n', b'{"id": "b"}']
    found = list(ndjson_rows(lines))
    assert found[0] == Row(1, {"id": "a", "truth": 7})
    assert found[1] == Wrong(3, "Expected an object; got list.")
    assert [each.line for each in found] == [1, 3, 4, 5, 6]
    assert found[-1] == Row(6, {"id": "b"})


def test_a_row_is_one_outcome_or_two() -> None:
    at = "2026-01-31T12:00:00Z"
    rows = [
        Row(2, {"id": "a", "row": "1", "truth": "7", "eur": "2.5", "source": "expert", "at": at}),
        Row(3, {"id": "b", "eur": 3}),
        Row(4, {"id": "c", "truth": 7}),
    ]
    seconds = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
    common = {"id": "a", "source": "expert", "row": 1, "at": seconds}
    assert told(rows) == [
        (2, {**common, "truth": "7"}),
        (2, {**common, "rewards": {"revenue": 2.5}}),
        (3, {"id": "b", "source": "shop", "rewards": {"revenue": 3.0}}),
        (4, {"id": "c", "source": "shop", "truth": 7.0}),
    ]
    assert told(rows[2:], Columns(truth="truth", kind="label"))[0][1]["truth"] == "7"
    numbers = [Row(1, {"id": "a", "truth": "7.5"}), Row(2, {"id": "a", "truth": "seven"})]
    assert told(numbers, Columns(truth="truth", kind="number")) == [
        (1, {"id": "a", "source": "user", "truth": 7.5}),
        (2, "'truth' is a finite number; got 'seven'."),
    ]


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        ({"truth": "7"}, "There is no 'id' in it."),
        ({"id": "a"}, "It has no value in truth or eur."),
        ({"id": "a", "eur": "nan"}, "'eur' is a finite number; got 'nan'."),
        ({"id": "a", "eur": "1e999"}, "'eur' is a finite number; got '1e999'."),
        ({"id": "a", "eur": True}, "'eur' is a finite number; got 'True'."),
        ({"id": "a", "truth": "x", "row": "0.5"}, "'row' is a whole number; got '0.5'."),
        (
            {"id": "a", "truth": "x", "at": "soon"},
            "'at' is a time in Unix seconds or as 2026-01-31T12:00:00Z; got 'soon'.",
        ),
    ],
)
def test_what_is_no_outcome_says_why(values: dict[str, Any], detail: str) -> None:
    assert told([Row(9, values), Wrong(10, "other")]) == [(9, detail), (10, "other")]


def test_times_are_understood() -> None:
    assert unix_seconds(5, "at") == unix_seconds("5", "at") == 5.0
    expected = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
    for said in ("2026-01-31T12:00:00Z", "2026-01-31 12:00", "2026-01-31T13:00+01:00", datetime(2026, 1, 31, 12)):
        assert unix_seconds(said, "at") == expected
    with pytest.raises(InvalidInput):
        unix_seconds("", "at")
