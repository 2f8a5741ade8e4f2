"""Parquet files of ours: written with checksums, verified bit for bit, read with one kind of error. Needs the extra
``arrow``.

The metadata key ``quorate.format`` of the schema is the format's version.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quorate.errors import JournalError

FORMAT = 3  # 1 had no facts, 2 no features
READS = (1, 2, 3)
ROW_GROUP = 4096
_KEY = b"quorate.format"


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("pyarrow") is not None


@functools.cache
def arrow() -> tuple[Any, Any]:
    """``pyarrow`` and ``pyarrow.parquet``; :class:`JournalError` where the extra is missing."""
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise JournalError(
            "Compacted journal files are Parquet, which needs the extra 'arrow'; run: pip install 'quorate[arrow]'."
        ) from error
    return pyarrow, parquet


def table(types: Mapping[str, Any], columns: Mapping[str, Any], origin: Mapping[str, int]) -> Any:
    """Columns of some types as a table; ``origin`` says which segment they are from (slot, boot …)."""
    pa, _ = arrow()
    metadata = {f"quorate.{key}".encode(): str(value).encode() for key, value in origin.items()}
    try:
        arrays = [
            columns[name] if isinstance(columns[name], pa.Array) else pa.array(columns[name], kind)
            for name, kind in types.items()
        ]
        schema = pa.schema(list(types.items()), {_KEY: str(FORMAT).encode()} | metadata)
        return pa.Table.from_arrays(arrays, schema=schema)
    except (pa.ArrowException, OverflowError) as error:
        raise JournalError(f"Records cannot be written as columns: {error}.") from error


def write(file: BinaryIO, rows: Any, texts: Sequence[str], encodings: Mapping[str, str]) -> None:
    """Write a table as a file with checksums, ``texts`` with dictionaries; :class:`JournalError` if it cannot be."""
    pa, parquet = arrow()
    try:
        parquet.write_table(
            rows,
            file,
            row_group_size=ROW_GROUP,
            compression="zstd",
            use_dictionary=list(texts),
            column_encoding=dict(encodings),
            write_page_checksum=True,
        )
    except pa.ArrowException as error:
        raise JournalError(f"Records cannot be written as columns: {error}.") from error


def verify(path: Path, rows: Any) -> None:
    """Raise :class:`JournalError` unless the file holds the table, bit for bit."""
    with opened(path) as file:
        found = file.read()
    if found.schema != rows.schema or found.num_rows != rows.num_rows:
        raise JournalError(f"{path.name} was not written as it should be.")
    for name in rows.column_names:
        if not found[name].equals(rows[name]) and _bits(found[name]) != _bits(rows[name]):
            raise JournalError(f"{path.name} was not written as it should be: column '{name}' differs.")


@contextmanager
def opened(path: Path, texts: Sequence[str] = ()) -> Iterator[Any]:
    """The file as a ``pyarrow.parquet.ParquetFile``, checksums verified; columns ``texts`` are read as dictionaries.

    :class:`JournalError` for a format this release does not read, and for what pyarrow says while it is open.
    """
    _, parquet = arrow()
    reading = {"page_checksum_verification": True, "read_dictionary": list(texts)}
    with understood(path), path.open("rb") as raw, parquet.ParquetFile(raw, **reading) as file:
        found = (file.schema_arrow.metadata or {}).get(_KEY, b"none").decode()
        if found not in map(str, READS):
            raise JournalError(f"{path.name} has format {found}; this release reads {READS}. Upgrade Quorate.")
        yield file


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """What pyarrow says against a file becomes :class:`JournalError`."""
    pa, _ = arrow()
    try:
        yield
    except pa.ArrowException as error:
        raise JournalError(f"{path} cannot be read: {error}.") from error


def lists(arrays: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> Any:
    """Arrays as one list column, without a Python object per number."""
    pa, _ = arrow()
    offsets = np.zeros(len(arrays) + 1, np.int32)
    np.cumsum([array.size for array in arrays], out=offsets[1:])
    flat = [np.ascontiguousarray(array, dtype).reshape(-1) for array in arrays]
    values = np.concatenate(flat) if flat else np.zeros(0, dtype)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def slices(column: Any) -> list[NDArray[Any]]:
    """The lists of a column, as read-only arrays."""
    whole = _whole(column)
    ends = whole.offsets.to_numpy()
    values = whole.values.to_numpy(zero_copy_only=False)
    return [values[start:end] for start, end in pairwise(ends.tolist())]


def _bits(column: Any) -> tuple[bytes, ...]:
    """A column's content without the rule that NaN is unequal to itself."""
    pa, _ = arrow()
    whole = _whole(column)
    if pa.types.is_list(whole.type):
        starts = whole.offsets.to_numpy()
        inner = whole.values.slice(int(starts[0]), int(starts[-1] - starts[0]))
        return (np.diff(starts).tobytes(), whole.is_valid().to_numpy(zero_copy_only=False).tobytes(), *_bits(inner))
    values = whole.to_numpy(zero_copy_only=False)
    if values.dtype.hasobject:
        return (repr(whole.to_pylist()).encode(),)
    return (values.tobytes(), whole.is_valid().to_numpy(zero_copy_only=False).tobytes())


def _whole(column: Any) -> Any:
    """A column, or an array, as one array."""
    pa, _ = arrow()
    if not isinstance(column, pa.ChunkedArray):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
