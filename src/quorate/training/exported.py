"""Reading an exported data set back as one that :mod:`quorate.training` takes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.errors import ConfigError
from quorate.training.data import Dataset

_READS = (1,)


class Labelled(NamedTuple):
    """The rows of an exported data set that have a truth.

    ``weights`` ``[n]`` is one over the probability with which a row was captured; ``decisions`` ``[n]`` says where
    it came from, as ``id:row``.
    """

    data: Dataset
    weights: NDArray[np.float64]
    decisions: tuple[str, ...]


class _Input(msgspec.Struct):
    name: str
    kind: str
    dtype: str = ""
    shape: tuple[int, ...] = ()


class _Card(msgspec.Struct):
    endpoint: str
    format: str
    inputs: list[_Input]
    card_format: int


def read_exported(folder: str | Path) -> Labelled:
    """What ``quorate data export`` wrote, rows with a truth only; times are those of arrival.

    :class:`ConfigError` for a folder that is no data set, one of a newer release, or one without any truth.
    """
    root = Path(folder)
    try:
        card = msgspec.json.decode((root / "card.json").read_bytes(), type=_Card)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{root} is no exported data set: {error}.", path=str(root)) from None
    if card.card_format not in _READS:
        raise ConfigError(f"{root} has format {card.card_format}; this release reads {_READS}. Upgrade Quorate.")
    rows = [row for row in _rows(root, card) if row["truth"] is not None]
    if not rows:
        raise ConfigError(f"No row of {root} has a truth; export it again when outcomes are there.", path=str(root))
    raw: dict[str, Any] = {one.name: _column(root, one, [row[one.name] for row in rows]) for one in card.inputs}
    labels = np.array([str(row["truth"]) for row in rows])
    times = np.array([row["arrived"] for row in rows], np.float64)
    return Labelled(
        Dataset(card.endpoint, raw, labels, times=times),
        np.array([1.0 if row["weight"] is None else row["weight"] for row in rows], np.float64),
        tuple(f"{row['decision']}:{row['row']}" for row in rows),
    )


def _rows(root: Path, card: _Card) -> Iterator[dict[str, Any]]:
    if card.format == "csv":
        with (root / "data.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                yield _typed(row, card)
    elif card.format == "parquet":
        from pyarrow import parquet

        with parquet.ParquetFile(root / "data.parquet") as table:
            for batch in table.iter_batches():
                yield from batch.to_pylist()
    else:
        with (root / "data.ndjson").open("rb") as lines:
            yield from (msgspec.json.decode(line) for line in lines)


def _typed(row: dict[str, str], card: _Card) -> dict[str, Any]:
    """A row of a CSV file, where all is text."""
    typed: dict[str, Any] = {**row, "truth": row["truth"] or None, "arrived": float(row["arrived"])}
    typed["weight"] = float(row["weight"]) if row["weight"] else None
    for one in card.inputs:
        if one.kind == "numbers":
            text = row[one.name]
            typed[one.name] = msgspec.json.decode(text) if one.shape else _number(text, one.dtype)
    return typed


def _number(text: str, dtype: str) -> float | int | bool:
    kind = np.dtype(dtype).kind
    return text == "True" if kind == "b" else float(text or "nan") if kind == "f" else int(text)


def _column(root: Path, one: _Input, values: list[Any]) -> NDArray[Any] | list[bytes]:
    if one.kind == "image":
        return [(root / path).read_bytes() for path in values]
    if one.kind == "text":
        return np.array(values, object)
    return np.array(_filled(values), np.dtype(one.dtype))


def _filled(value: Any) -> Any:
    """Numbers in which JSON's null is NaN again."""
    if isinstance(value, list):
        return [_filled(one) for one in value]
    return np.nan if value is None else value
