"""Rows of a batch's answer, as NDJSON lines, an Arrow stream or a Parquet file, piece by piece; then a summary.

A row is ``{"row", "id"?, "endpoint"?, "prediction", "decision", "decision_row", "revision", "strategy"?, "degraded"?}``
or ``{"row", "id"?, "error": {"code", "detail", "path"?}}``. Tables have one column for each of these, flattened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

Row = dict[str, Any]

NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
FORMATS = {"ndjson": NDJSON, "arrow": ARROW, "parquet": PARQUET}
"""Format -> media type."""

SUMMARY = "quorate.summary"
"""Where tables carry the summary: metadata of an Arrow stream's last, empty batch, or of the Parquet file."""

GROUP_ROWS = 10_000

_encoder = msgspec.json.Encoder()


class RowWriter(Protocol):
    """Writes an answer; each call returns the bytes that are complete."""

    def rows(self, rows: Sequence[Row]) -> bytes:
        """Some rows, in order."""

    def end(self, summary: Mapping[str, Any]) -> bytes:
        """What comes after the last row."""


class NdjsonWriter:
    """One row a line, the summary last: ``{"summary": {…}}``."""

    def rows(self, rows: Sequence[Row]) -> bytes:
        """See :class:`RowWriter`."""
        return _encoder.encode_lines(rows)

    def end(self, summary: Mapping[str, Any]) -> bytes:
        """See :class:`RowWriter`."""
        return _encoder.encode_lines([{"summary": summary}])


class ArrowWriter:
    """An Arrow stream, one record batch a call."""

    def __init__(self) -> None:
        import pyarrow as pa

        self._sink = _Sink()
        self._stream = pa.ipc.new_stream(self._sink, schema())

    def rows(self, rows: Sequence[Row]) -> bytes:
        """See :class:`RowWriter`."""
        if rows:
            self._stream.write_batch(table(rows))
        return self._sink.drain()

    def end(self, summary: Mapping[str, Any]) -> bytes:
        """See :class:`RowWriter`."""
        self._stream.write_batch(table([]), custom_metadata={SUMMARY: _encoder.encode(summary)})
        self._stream.close()
        return self._sink.drain()


class ParquetWriter:
    """A Parquet file; row groups of ``GROUP_ROWS`` rows are held until they are full."""

    def __init__(self) -> None:
        from pyarrow import parquet

        self._sink = _Sink()
        self._file = parquet.ParquetWriter(self._sink, schema())
        self._held: list[Row] = []

    def rows(self, rows: Sequence[Row]) -> bytes:
        """See :class:`RowWriter`."""
        self._held += rows
        if len(self._held) >= GROUP_ROWS:
            self._file.write_batch(table(self._held))
            self._held = []
        return self._sink.drain()

    def end(self, summary: Mapping[str, Any]) -> bytes:
        """See :class:`RowWriter`."""
        if self._held:
            self._file.write_batch(table(self._held))
        self._file.add_key_value_metadata({SUMMARY: _encoder.encode(summary).decode()})
        self._file.close()
        return self._sink.drain()


def writer(media_type: str) -> RowWriter:
    """The writer of a media type."""
    kinds: dict[str, type[RowWriter]] = {NDJSON: NdjsonWriter, ARROW: ArrowWriter, PARQUET: ParquetWriter}
    return kinds[media_type]()


def schema() -> Any:
    """The columns of an answer as a table; what does not apply to an endpoint is null."""
    import pyarrow as pa

    named = pa.map_(pa.string(), pa.float64())
    return pa.schema(
        [
            pa.field("row", pa.int64(), nullable=False),
            ("id", pa.string()),
            ("label", pa.string()),
            ("confidence", pa.float64()),
            ("probabilities", named),
            ("value", pa.float64()),
            ("values", named),
            ("decision", pa.string()),
            ("decision_row", pa.int32()),
            ("revision", pa.int32()),
            ("strategy", pa.string()),
            ("degraded", pa.bool_()),
            ("error_code", pa.string()),
            ("error", pa.string()),
            ("error_path", pa.string()),
            ("endpoint", pa.string()),
            ("abstained", pa.bool_()),
            ("reason", pa.string()),
            ("members", pa.list_(pa.string())),
        ]
    )


def table(rows: Sequence[Row]) -> Any:
    """Rows as a record batch of :func:`schema`."""
    import pyarrow as pa

    return pa.RecordBatch.from_pylist([_flat(row) for row in rows], schema=schema())


def _flat(row: Row) -> Row:
    flat = {**row, **row.get("prediction", {})}
    if flat.get("id") is not None:
        flat["id"] = str(flat["id"])
    for name in ("probabilities", "values"):
        if name in flat:
            flat[name] = list(flat[name].items())
    error = row.get("error")
    if error is not None:
        flat |= {"error": error["detail"], "error_code": error["code"], "error_path": error.get("path")}
    return flat


class _Sink:
    """A file that is read while it is written."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def drain(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False
