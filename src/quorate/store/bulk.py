"""Many rows at once, past SQLAlchemy's compiler: half of the time of an insert would go into its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

MANY = 500  # values in one IN (…)


def marks(connection: sa.Connection, count: int) -> str:
    """Placeholders for so many values of the connection's driver: ``?, ?, ?``."""
    return ", ".join([_mark(connection)] * count)


def upsert(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Sequence[Any]], *, add: Iterable[str] = ()
) -> None:
    """Insert rows, values in the order of the table's columns; one with the same primary key is replaced.

    The columns in ``add`` are added to the values that are there instead.
    """
    if not rows:
        return
    quote = connection.dialect.identifier_preparer.quote
    added, keys = set(add), table.primary_key.columns.keys()
    columns = [column.name for column in table.c]
    name = quote(table.name)
    changes = [
        f"{quote(column)} = " + (f"{name}.{quote(column)} + " if column in added else "") + f"excluded.{quote(column)}"
        for column in columns
        if column not in keys
    ]
    connection.exec_driver_sql(
        f"INSERT INTO {name} ({', '.join(map(quote, columns))}) VALUES ({marks(connection, len(columns))}) "  # noqa: S608 - names are ours
        f"ON CONFLICT ({', '.join(map(quote, keys))}) DO UPDATE SET {', '.join(changes)}",
        [tuple(row) for row in rows],
    )


def select_in(
    connection: sa.Connection, what: str, table: sa.Table, column: str, values: Sequence[str], where: str = ""
) -> Iterator[sa.Row[Any]]:
    """Rows of ``SELECT what FROM table WHERE column IN (values)``, also by ``where``, in no order."""
    quote = connection.dialect.identifier_preparer.quote
    for start in range(0, len(values), MANY):
        some = tuple(values[start : start + MANY])
        yield from connection.exec_driver_sql(
            f"SELECT {what} FROM {quote(table.name)} WHERE {where}{quote(column)} IN ({marks(connection, len(some))})",  # noqa: S608 - names are ours
            some,
        )


def _mark(connection: sa.Connection) -> str:
    return {"qmark": "?", "format": "%s", "pyformat": "%s"}[connection.dialect.paramstyle]
