"""What every SQLite file of Quorate needs that SQLite does not do by itself."""

from __future__ import annotations

import sqlite3
import time

_POLL_S = 0.005


def write_ahead(connection: sqlite3.Connection, wait_s: float) -> None:
    """Turn the file's write-ahead log on, waiting up to ``wait_s`` seconds for others; ``sqlite3.Error`` as raised.

    The switch needs the file alone, and there SQLite refuses at once where its busy timeout would have it wait: of two
    processes that open a new file together, one would fail.
    """
    until = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_POLL_S)
