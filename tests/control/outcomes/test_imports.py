"""Where rows of outcomes come from: queries and files."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from quorate.control.outcomes.imports import opened, sql_rows
from quorate.errors import ConfigError
from quorate.web.outcome_rows import Row


def test_rows_of_a_query(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (d TEXT, label TEXT, n INTEGER)")
        database.executemany(
            "INSERT INTO t VALUES (?, ?, ?)", [(f"d{i}", None if i == 1 else "x", i) for i in range(2500)]
        )
    rows = list(sql_rows(f"sqlite:///{path}", "SELECT d AS id, label AS truth, n FROM t ORDER BY n"))
    assert len(rows) == 2500
    assert rows[:2] == [Row(1, {"id": "d0", "truth": "x", "n": 0}), Row(2, {"id": "d1", "n": 1})]
    with pytest.raises(ConfigError, match="no such table"):
        list(sql_rows(f"sqlite:///{path}", "SELECT * FROM missing"))
    with pytest.raises(ConfigError, match="cannot be run"):
        list(sql_rows(f"sqlite:///{path}", "UPDATE t SET n = 1"))
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(DISTINCT n) FROM t").fetchone() == (2500,)
    for url in ("nonsense", "unknown://x"):
        with pytest.raises(ConfigError, match="--database"):
            list(sql_rows(url, "SELECT 1"))


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"), opened(str(tmp_path / "none.csv")):
        pass
    (tmp_path / "one.csv").write_bytes(b"a\nb")
    with opened(str(tmp_path / "one.csv")) as lines:
        assert list(lines) == [b"a\n", b"b"]
