"""The write-ahead log is turned on also where another connection is in the way for a moment."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from quorate.sqlite import write_ahead


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=0.05, isolation_level=None, check_same_thread=False)


@pytest.mark.parametrize("hold", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_it_waits_for_another_writer(tmp_path: Path, hold: str) -> None:
    with closing(_connect(tmp_path / "x.db")) as other, closing(_connect(tmp_path / "x.db")) as connection:
        other.execute(hold)
        timer = threading.Timer(0.15, other.execute, ["COMMIT"])
        timer.start()
        write_ahead(connection, 10.0)
        timer.join()
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_it_gives_up_when_the_time_is_over(tmp_path: Path) -> None:
    with closing(_connect(tmp_path / "x.db")) as other, closing(_connect(tmp_path / "x.db")) as connection:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            write_ahead(connection, 0.02)


def test_what_is_no_database_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database" * 100)
    with closing(_connect(tmp_path / "x.db")) as connection, pytest.raises(sqlite3.DatabaseError):
        write_ahead(connection, 60.0)
