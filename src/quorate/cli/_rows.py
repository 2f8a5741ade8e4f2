"""Rows of tables from CSV and JSON files, read as an endpoint's signature wants them."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from quorate.cli._output import note
from quorate.cli._picture_files import STDIN, shown, walk
from quorate.client import EndpointInfo, Tensor
from quorate.errors import InvalidInput

BATCH = 256
_TABLES = {".csv": "csv", ".tsv": "tsv", ".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_WORDS = {"true": True, "1": True, "false": False, "0": False}

Entry = tuple[str, Any]
"""A row's name as shown, and the row, or the error that it is."""


class Batch(list[Any]):
    """Rows of one request, and beside them all ``entries`` it stands for, those that cannot be sent included."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__(row for _, row in entries if not isinstance(row, InvalidInput))
        self.entries = entries


def batches(entries: Iterable[Entry], left_over: list[Entry]) -> Iterator[Batch]:
    """Batches with at least one row to send; entries at the end that have none go to ``left_over``."""
    held: list[Entry] = []
    good = 0
    for entry in entries:
        held.append(entry)
        good += not isinstance(entry[1], InvalidInput)
        if good and len(held) >= BATCH:
            yield Batch(held)
            held, good = [], 0
    if good:
        yield Batch(held)
    else:
        left_over.extend(held)


def rows(paths: Sequence[str], endpoint: EndpointInfo) -> Iterator[Entry]:
    """The rows of all files; of folders, those of the tables in them. A file that cannot be read is one bad entry."""
    for given in paths:
        path = Path(given)
        if given != STDIN and path.is_dir():
            found = [file for file in walk(path) if file.suffix.lower() in _TABLES]
            if not found:
                note(f"{shown(path)}: there is no CSV or JSON file in this folder.")
            for file in found:
                yield from _guarded(file, shown(file), endpoint)
        else:
            yield from _guarded(None if given == STDIN else path, given if given == STDIN else shown(path), endpoint)


def is_read(file: Path, paths: Sequence[str]) -> bool:
    """Would :func:`rows` take a file of that name, there or not yet, for one of the folders' tables?"""
    whole = file.resolve()
    folders = (Path(given).resolve() for given in paths if given != STDIN and Path(given).is_dir())
    return file.suffix.lower() in _TABLES and any(whole.is_relative_to(folder) for folder in folders)


def _guarded(file: Path | None, name: str, endpoint: EndpointInfo) -> Iterator[Entry]:
    try:
        with _opened(file) as stream:
            yield from _read(stream, name, file, endpoint)
    except InvalidInput as error:
        yield name, error
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        why = getattr(error, "strerror", None) or str(error)
        yield name, InvalidInput(f"'{name}' cannot be read: {why}.", path=name)


@contextmanager
def _opened(file: Path | None) -> Iterator[TextIO]:
    if file is None:
        yield io.TextIOWrapper(io.BytesIO(sys.stdin.buffer.read()), encoding="utf-8-sig", newline="")
    else:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            yield stream


def _read(stream: TextIO, name: str, file: Path | None, endpoint: EndpointInfo) -> Iterator[Entry]:
    kind = _TABLES.get("" if file is None else file.suffix.lower())
    text = "" if kind in ("csv", "tsv") else stream.read()
    if kind is None:
        kind = _kind(text)
    if kind == "json":
        yield from _json(text, name)
    elif kind == "ndjson":
        yield from _lines(text, name)
    else:
        table = io.StringIO(text, newline="") if text else stream
        yield from _csv(csv.reader(table, strict=True, delimiter="\t" if kind == "tsv" else ","), name, endpoint)


def _kind(text: str) -> str:
    """What is in a text without a name: it is looked at, because there is nothing else to tell by."""
    if text.lstrip()[:1] not in ("[", "{"):
        return "csv"
    try:
        found = json.loads(text)
    except ValueError:
        return "ndjson"
    return "json" if isinstance(found, list) or "instances" in found else "ndjson"


def _json(text: str, name: str) -> Iterator[Entry]:
    found = json.loads(text)
    if isinstance(found, dict):
        found = found.get("instances")
    if not isinstance(found, list):
        raise InvalidInput(f"'{name}' is not a list of rows, nor an object with such a list as 'instances'.", path=name)
    yield from ((f"{name}[{index}]", row) for index, row in enumerate(found))


def _lines(text: str, name: str) -> Iterator[Entry]:
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: JSON's text may hold other separators
        if line.strip():
            try:
                row: Any = json.loads(line)
            except ValueError as error:
                row = InvalidInput(f"Line {number} is not JSON: {error}.", path=name)
            yield f"{name}:{number}", row


def _csv(reader: Any, name: str, endpoint: EndpointInfo) -> Iterator[Entry]:
    first = next((cells for cells in reader if cells), None)
    if first is None:
        raise InvalidInput(f"'{name}' is empty; rows were expected.", path=name)
    if len(endpoint.inputs) == 1 and len(endpoint.inputs[0].shape) > 1:
        (tensor,) = endpoint.inputs
        if len(tensor.shape) > 2:
            raise InvalidInput(
                f"A row of endpoint '{endpoint.name}' has the shape {list(tensor.shape[1:])}; send JSON.", path=name
            )
        if not _is_head(first):
            yield f"{name}:{reader.line_num}", _numbers(first, tensor)
        for cells in filter(None, reader):
            yield f"{name}:{reader.line_num}", _numbers(cells, tensor)
        return
    _check_columns(first, name, endpoint)
    wanted = {tensor.name: tensor for tensor in endpoint.inputs}
    columns = [wanted.get(column.strip()) for column in first]
    for cells in filter(None, reader):
        yield f"{name}:{reader.line_num}", _record(cells, columns)


def _check_columns(first: Sequence[str], name: str, endpoint: EndpointInfo) -> None:
    given = [column.strip() for column in first]
    known = [tensor.name for tensor in endpoint.inputs]
    missing = [column for column in known if column not in given]
    if missing:
        raise InvalidInput(
            f"'{name}' has no column {_some(missing)}; endpoint '{endpoint.name}' takes {_some(known)}, and the first "
            f"line is {_some(given)}.",
            path=name,
        )
    twice = sorted({column for column in given if given.count(column) > 1 and column in known})
    if twice:
        raise InvalidInput(f"'{name}' has the column {_some(twice)} twice.", path=name)
    others = [column for column in given if column not in known]
    if others:
        note(f"{name}: the endpoint has no input {_some(others)}; left out.")


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"'{name[:40]}'" for name in names[:10]) + (", …" if len(names) > 10 else "")


def _record(cells: Sequence[str], columns: Sequence[Tensor | None]) -> Any:
    if len(cells) != len(columns):
        return InvalidInput(f"The row has {len(cells)} cells, the first line {len(columns)}.", path="row")
    try:
        return {c.name: _cell(cell, c) for cell, c in zip(cells, columns, strict=True) if c is not None}
    except InvalidInput as error:
        return error


def _numbers(cells: Sequence[str], tensor: Tensor) -> Any:
    width = tensor.shape[1]
    if width not in (-1, len(cells)):
        return InvalidInput(f"The row has {len(cells)} cells; the endpoint takes {width}.", path="row")
    try:
        return [_cell(cell, tensor) for cell in cells]
    except InvalidInput as error:
        return error


def _cell(cell: str, tensor: Tensor) -> Any:
    text = cell.strip()
    if not text:
        return None
    kind = tensor.datatype
    if kind == "BYTES":
        return cell
    if kind == "BOOL":
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        raise InvalidInput(f"'{text[:40]}' in column '{tensor.name}' is neither true nor false.", path=tensor.name)
    try:
        number = int(text) if "INT" in kind else float(text)
        right = math.isfinite(number)
    except (ValueError, OverflowError):
        right = False
    if not right:
        what = "whole number" if "INT" in kind else "number"
        raise InvalidInput(f"'{text[:40]}' in column '{tensor.name}' is not a {what}.", path=tensor.name)
    return number


def _is_head(cells: Sequence[str]) -> bool:
    """Are these names? A single number, NaN included, makes it a row, be it a bad one: no row is lost in silence."""
    filled = [cell for cell in cells if cell.strip()]
    return bool(filled) and not any(map(_is_number, filled))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
