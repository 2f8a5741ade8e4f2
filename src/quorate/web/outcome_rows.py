"""Rows of CSV, NDJSON or a query as outcomes: mapped to what ``POST /v1/outcomes`` takes.

Everything is read as it is needed. A row that is no outcome is a :class:`Wrong` one with its line; what is sent is
judged by the server, by the same rules as any other outcome.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from quorate.errors import ConfigError, InvalidInput

Kind = Literal["auto", "label", "number"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the input, by column; ``line`` counts from 1 (rows of a query too)."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wrong:
    """A row that is no outcome, and why."""

    line: int
    detail: str


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold what. ``rewards`` is metric to column; None stands for a column that is not there.

    ``source`` is told where there is no column of that. ``kind`` says what truths are: ``auto`` keeps numbers of NDJSON
    and of queries, and takes text, all of CSV, for labels.
    """

    id: str = "id"
    row: str | None = None
    truth: str | None = None
    rewards: Mapping[str, str] = field(default_factory=dict)
    source_column: str | None = None
    source: str = "user"
    at: str | None = None
    kind: Kind = "auto"

    @property
    def wanted(self) -> list[str]:
        """The columns that must be there."""
        named = (self.id, self.row, self.truth, self.source_column, self.at)
        return [*(name for name in named if name is not None), *self.rewards.values()]


def ndjson_rows(lines: Iterable[bytes]) -> Iterator[Row | Wrong]:
    """One object a line; blank lines are none."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Wrong(number, f"It is not JSON in UTF-8: {error}.")
            continue
        if isinstance(found, dict):
            yield Row(number, found)
        else:
            yield Wrong(number, f"Expected an object; got {type(found).__name__}.")


def csv_rows(lines: Iterable[bytes], delimiter: str = ",") -> Iterator[Row | Wrong]:
    """Rows under a header; an empty cell is no value. A row has the line on which it ends."""
    broken: list[int] = []

    def text() -> Iterator[str]:
        for number, line in enumerate(lines, 1):
            decoded = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace")
            if "\ufffd" in decoded and b"\xef\xbf\xbd" not in line:
                broken.append(number)
            yield decoded

    reader = csv.reader(text(), delimiter=delimiter, strict=True)
    header = next(reader, [])
    if len(set(header)) < len(header):
        raise ConfigError("The CSV header names a column twice; name each once.", path="FILE")
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Wrong(reader.line_num, f"It is not CSV: {error}.")
            continue
        if broken:
            yield Wrong(broken.pop(), "It is not UTF-8.")
            broken.clear()
        elif cells and len(cells) != len(header):
            yield Wrong(reader.line_num, f"It has {len(cells)} cells, and the header {len(header)}.")
        elif cells:
            named = zip(header, cells, strict=True)
            yield Row(reader.line_num, {name: cell for name, cell in named if cell != ""})


def outcomes(rows: Iterable[Row | Wrong], columns: Columns) -> Iterator[tuple[int, dict[str, Any]] | Wrong]:
    """Each row as an outcome with its line. A row without truth and reward is wrong, as one is whose cells do not
    fit."""
    for row in rows:
        if isinstance(row, Wrong):
            yield row
            continue
        try:
            told = _told(row.values, columns)
        except InvalidInput as error:
            yield Wrong(row.line, error.message)
            continue
        yield from ((row.line, each) for each in told)


def _told(values: Mapping[str, Any], columns: Columns) -> list[dict[str, Any]]:
    """One outcome, or two where there are both a truth and rewards."""
    if columns.id not in values:
        raise InvalidInput(f"There is no '{columns.id}' in it.")
    common: dict[str, Any] = {"id": values[columns.id], "source": columns.source}
    if columns.row is not None and columns.row in values:
        common["row"] = _whole(values[columns.row], columns.row)
    if columns.source_column is not None and columns.source_column in values:
        common["source"] = values[columns.source_column]
    if columns.at is not None and columns.at in values:
        common["at"] = unix_seconds(values[columns.at], columns.at)
    found: list[dict[str, Any]] = []
    if columns.truth is not None and columns.truth in values:
        found.append(common | {"truth": _truth(values[columns.truth], columns)})
    rewards = {
        metric: _number(values[column], column) for metric, column in columns.rewards.items() if column in values
    }
    if rewards:
        found.append(common | {"rewards": rewards})
    if not found:
        named = [name for name in (columns.truth, *columns.rewards.values()) if name is not None]
        raise InvalidInput(f"It has no value in {' or '.join(named)}.")
    return found


def _truth(value: Any, columns: Columns) -> str | float:
    if columns.kind == "number":
        return _number(value, columns.truth or "")
    if columns.kind == "label" or isinstance(value, str):
        return str(value)
    return _number(value, columns.truth or "")


def _number(value: Any, column: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if math.isfinite(number):
        return number
    raise InvalidInput(f"'{column}' is a finite number; got {str(value)[:64]!r}.")


def _whole(value: Any, column: str) -> int:
    number = _number(value, column)
    if number != int(number):
        raise InvalidInput(f"'{column}' is a whole number; got {str(value)[:64]!r}.")
    return int(number)


def unix_seconds(value: Any, column: str) -> float:
    """A time as Unix seconds: a number of them, ISO 8601 text, or a date of a database; UTC where it names no zone."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    try:
        return _number(value, column)
    except InvalidInput:
        pass
    try:
        return unix_seconds(datetime.fromisoformat(str(value)), column)
    except ValueError:
        raise InvalidInput(
            f"'{column}' is a time in Unix seconds or as 2026-01-31T12:00:00Z; got {str(value)[:64]!r}."
        ) from None
