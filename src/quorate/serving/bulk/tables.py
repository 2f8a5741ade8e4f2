"""Arrow streams and Parquet files as sources of parts; needs the extra ``arrow``."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from quorate.codecs.snapshot import Limits
from quorate.core.types import Scalar, Signature
from quorate.errors import MalformedRequest, Overloaded, QuorateError, TooLarge, UnsupportedMediaType
from quorate.serving.bulk.columns import Columns, rows_of
from quorate.serving.bulk.feed import Feed
from quorate.serving.bulk.messages import BATCH, DICTIONARY, SCHEMA, MessageReader
from quorate.serving.bulk.parts import Id, Part
from quorate.serving.inputs import InputReader
from quorate.serving.sight import Seen, Sight

T = TypeVar("T")
Aside = Callable[[Callable[[], T]], Awaitable[T]]
"""Does something in a thread."""

PARQUET_ROWS = 4096
HELD_PARQUET = 8


def need_arrow(media_type: str) -> None:
    """:class:`UnsupportedMediaType` where the extra is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UnsupportedMediaType(
            f"'{media_type}' is read and written only where the extra 'arrow' is installed; send application/x-ndjson, "
            "or pip install 'quorate[arrow]' on the server.",
            path="Content-Type",
        )


class _NoPandas:
    """An importer that has no pandas."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not wanted here", name=name)


def load_arrow() -> None:
    """Import pyarrow, and keep it from importing pandas, which it would do once, only to recognise data frames."""
    if "pyarrow" in sys.modules:
        return
    sys.meta_path.insert(0, _NoPandas)
    try:
        import pyarrow

        pyarrow.array([0])
    finally:
        sys.meta_path.remove(_NoPandas)


class TablePart:
    """Rows of a record batch; see :class:`~quorate.serving.bulk.parts.Part`."""

    def __init__(self, first: int, batch: Any, columns: Columns) -> None:
        self.first = first
        self.count = batch.num_rows
        self.size = batch.nbytes
        self.context: Mapping[str, Scalar] = {}
        self.faults: Mapping[int, QuorateError] = {}
        self._batch = batch
        self._columns = columns
        self._ids = columns.ids(batch)

    @property
    def signature(self) -> Signature:
        """What its columns are read as."""
        signature: Signature = self._columns.signature
        return signature

    def id(self, index: int) -> Id:
        """See :class:`~quorate.serving.bulk.parts.Part`."""
        return None if self._ids is None else self._ids[index]

    def raw(self, indices: Sequence[int], reader: InputReader, limits: Limits) -> dict[str, Any]:
        """See :class:`~quorate.serving.bulk.parts.Part`."""
        columns = self._columns
        if reader.signature != columns.signature:  # the endpoint moved on to a revision that takes something else
            columns = Columns(reader.signature, self._batch.schema)
        return columns.raw(rows_of(self._batch, indices), reader)

    def digest(self, indices: Sequence[int]) -> bytes:
        """SHA-256 of these rows as an Arrow record batch."""
        return hashlib.sha256(rows_of(self._batch, indices).serialize()).digest()

    def seen(self, index: int, arrived: float, limits: Limits) -> Seen:
        """See :class:`~quorate.serving.bulk.parts.Part`; all endpoints of the front take the same columns."""
        size = self.size // self.count
        kind = self._columns.signature.input_kind
        return Seen(kind, 1, size, arrived, self.context, _RowSight(self, index, limits))


class _RowSight(Sight):
    """One row of a part."""

    def __init__(self, part: TablePart, index: int, limits: Limits) -> None:
        super().__init__(limits)
        self._part = part
        self._index = index

    @property
    def picture(self) -> Any:
        """See :class:`~quorate.serving.sight.Sight`."""
        raw = self.raw(self._part.signature)
        return None if raw is None or "image" not in raw else raw["image"][0]

    def _as(self, signature: Signature) -> Mapping[str, Any] | None:
        return self._part.raw([self._index], InputReader(signature), self._limits)


class _Table:
    """What both sources share: record batches handed on in parts of so many rows."""

    def __init__(self, columns: Columns) -> None:
        self.ignored: Sequence[str] = columns.ignored
        self._columns = columns
        self._batch: Any = None
        self._at = 0
        self._number = 0

    async def take(self, rows: int) -> Sequence[Part] | None:
        """See :class:`~quorate.serving.bulk.parts.Source`."""
        while self._batch is None or self._at >= self._batch.num_rows:
            self._batch, self._at = await self._next(), 0
            if self._batch is None:
                return None
        part = TablePart(self._number, self._batch.slice(self._at, rows), self._columns)
        self._at += part.count
        self._number += part.count
        return [part]

    async def _next(self) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        """See :class:`~quorate.serving.bulk.parts.Source`."""


class ArrowSource(_Table):
    """Reads an Arrow stream; :meth:`open` reads its schema."""

    def __init__(self, columns: Columns, messages: MessageReader, schema: bytes, limit: int, aside: Aside[Any]) -> None:
        super().__init__(columns)
        self._messages = messages
        self._schema = schema
        self._limit = limit
        self._aside = aside
        self._dictionaries: dict[int | None, list[bytes]] = {}

    @classmethod
    async def open(cls, feed: Feed, signature: Signature, limits: Limits, aside: Aside[Any]) -> ArrowSource:
        """Read the schema; :class:`MalformedRequest` if there is none, :class:`InvalidInput` for wrong columns."""
        import pyarrow as pa

        messages = MessageReader(feed, limits.body_bytes)
        first = await messages.next()
        if first is None or first.kind != SCHEMA:
            raise MalformedRequest("The body is not an Arrow stream: it does not begin with a schema.", path="body")
        try:
            columns = Columns(signature, pa.ipc.read_schema(pa.py_buffer(first.data)))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(error) from None
        return cls(columns, messages, first.data, limits.body_bytes, aside)

    async def _next(self) -> Any:
        while True:
            message = await self._messages.next()
            if message is None:
                return None
            if message.kind == BATCH:
                return await self._decoded(message.data)
            if message.kind != DICTIONARY:
                raise MalformedRequest(
                    f"The body is not an Arrow stream of record batches: it has a message of kind {message.kind}.",
                    path="body",
                )
            before = self._dictionaries.get(message.dictionary, []) if message.delta else []
            self._dictionaries[message.dictionary] = [*before, message.data]
            if sum(len(data) for some in self._dictionaries.values() for data in some) > self._limit:
                raise TooLarge(
                    f"The dictionaries have more than {self._limit} bytes (limits.body_bytes); send plain columns.",
                    path="body",
                )

    async def _decoded(self, data: bytes) -> Any:
        import pyarrow as pa

        known = [one for some in self._dictionaries.values() for one in some]

        def decode() -> Any:
            batch = pa.ipc.open_stream(pa.py_buffer(b"".join([self._schema, *known, data]))).read_next_batch()
            batch.validate(full=True)  # offsets of a stranger may point anywhere
            return batch

        try:
            return await self._aside(decode)
        except (pa.ArrowException, OSError, ValueError, StopIteration) as error:
            raise _unreadable(error) from None


class ParquetSource(_Table):
    """Reads a Parquet file, which must be there as a whole first: its index is at its end."""

    def __init__(self, columns: Columns, batches: Any, aside: Aside[Any], spool: Any) -> None:
        super().__init__(columns)
        self._batches = batches
        self._aside = aside
        self._spool = spool

    @classmethod
    async def open(
        cls, feed: Feed, signature: Signature, limits: Limits, aside: Aside[Any], folder: Path | None
    ) -> ParquetSource:
        """Spool the body to a file without a name in ``folder``; :class:`TooLarge` beyond ``limits.spool_bytes``."""
        import pyarrow as pa

        spool = await aside(partial(tempfile.TemporaryFile, dir=folder))
        try:
            await _spooled(feed, spool, limits, aside)
            columns, batches = await aside(lambda: cls._opened(spool, signature, limits))
        except (pa.ArrowException, OSError, ValueError) as error:
            spool.close()
            raise _unreadable(error, "a Parquet file") from None
        except BaseException:
            spool.close()
            raise
        return cls(columns, batches, aside, spool)

    @staticmethod
    def _opened(spool: Any, signature: Signature, limits: Limits) -> tuple[Columns, Any]:
        from pyarrow import parquet

        spool.seek(0)
        file = parquet.ParquetFile(spool, buffer_size=1 << 20, pre_buffer=False, memory_map=False)
        columns = Columns(signature, file.schema_arrow)
        wanted = [name for name in file.schema_arrow.names if name not in columns.ignored]
        _check_groups(file.metadata, limits)
        return columns, file.iter_batches(batch_size=PARQUET_ROWS, columns=wanted, use_threads=False)

    def close(self) -> None:
        """Give the file's space back."""
        self._spool.close()

    async def _next(self) -> Any:
        import pyarrow as pa

        def decode() -> Any:
            batch = next(self._batches, None)
            if batch is not None:
                batch.validate(full=True)
            return batch

        try:
            return await self._aside(decode)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(error, "a Parquet file") from None


async def _spooled(feed: Feed, spool: Any, limits: Limits, aside: Aside[Any]) -> None:
    size = 0
    while (piece := await feed.get()) is not None:
        size += len(piece)
        if size > limits.spool_bytes:
            raise TooLarge(
                f"The Parquet file has more than {limits.spool_bytes} bytes (limits.spool_bytes); send it in "
                "parts, as an Arrow stream, or raise the limit.",
                path="body",
            )
        try:
            await aside(partial(spool.write, piece))
        except OSError as error:
            raise Overloaded(
                f"The Parquet file cannot be kept while it is read: {error.strerror}; retry later."
            ) from None


def _check_groups(metadata: Any, limits: Limits) -> None:
    """Columns are unpacked page by page, but a writer may have made one page of a whole group."""
    most = HELD_PARQUET * limits.body_bytes
    for i in range(metadata.num_row_groups):
        if metadata.row_group(i).total_byte_size > most:
            raise TooLarge(
                f"Row group {i} of the Parquet file has more than {most} bytes ({HELD_PARQUET} times "
                "limits.body_bytes); write smaller row groups.",
                path="body",
            )


def _unreadable(error: BaseException, what: str = "an Arrow stream") -> MalformedRequest:
    return MalformedRequest(f"The body is not {what}: {' '.join(str(error).split())[:200]}.", path="body")
