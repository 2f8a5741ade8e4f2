"""A job's input, cut into pieces that are one request each; any piece can be the first."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from quorate.codecs.batch import ARROW, NDJSON
from quorate.errors import InvalidInput, MalformedRequest

PIECE_BYTES = 512 * 1024
"""Below what a worker reads ahead (1 MiB), so that sending never waits for an answer to be read."""

PIECE_ROWS = 4096
SUFFIXES = {".ndjson": "ndjson", ".jsonl": "ndjson", ".arrow": "arrow", ".arrows": "arrow", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a request; ``position`` is where the input goes on after it. ``fault`` is why its one row is not sent."""

    body: bytes
    media_type: str
    position: int
    fault: str | None = None


def pieces(file: Path, form: str, position: int, *, line_bytes: int) -> Iterator[Piece]:
    """The pieces of a file from a position on; :class:`MalformedRequest` where it is not what ``form`` says."""
    if form == "ndjson":
        with file.open("rb") as stream:
            yield from _lines(stream, position, line_bytes)
        return
    import pyarrow as pa

    try:
        yield from _tables(_batches(file, form), position)
    except (pa.ArrowException, OSError, ValueError, StopIteration) as error:
        why = " ".join(str(error).split())[:200]
        raise MalformedRequest(f"The input is not {form} after row {position}: {why}.", path="input") from None


def total_rows(file: Path, form: str) -> int | None:
    """How many rows there are, where that is known without reading all of it."""
    if form != "parquet":
        return None
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return int(parquet.ParquetFile(file).metadata.num_rows)
    except (pa.ArrowException, OSError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise MalformedRequest(f"The input is not a Parquet file: {why}.", path="input") from None


def format_of(path: str) -> str:
    """The format by a file's name; :class:`InvalidInput` where it does not tell."""
    found = SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        raise InvalidInput(
            f"The format of '{path[:100]}' is not to be told by its name; give input_format.", path="input_format"
        )
    return found


def _lines(stream: BinaryIO, position: int, line_bytes: int) -> Iterator[Piece]:
    stream.seek(position)
    held: list[bytes] = []
    size = 0
    while line := stream.readline(line_bytes + 1):
        if len(line) > line_bytes and not line.endswith(b"\n"):
            if held:
                yield Piece(b"".join(held), NDJSON, position)
                held, size = [], 0
            while line and not line.endswith(b"\n"):
                line = stream.readline(1 << 20)
            position = stream.tell()
            yield Piece(
                b"",
                NDJSON,
                position,
                f"The line has more than {line_bytes} bytes (limits.body_bytes); send less, or raise the limit.",
            )
            continue
        position = stream.tell()
        held.append(line)
        size += len(line)
        if size >= PIECE_BYTES or len(held) >= PIECE_ROWS:
            yield Piece(b"".join(held), NDJSON, position)
            held, size = [], 0
    if held:
        yield Piece(b"".join(held), NDJSON, position)


def _batches(file: Path, form: str) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    if form == "arrow":
        with pa.OSFile(str(file)) as source, pa.ipc.open_stream(source) as stream:
            yield from stream
    else:
        with parquet.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as table:
            yield from table.iter_batches(batch_size=PIECE_ROWS, use_threads=False)


def _tables(batches: Iterator[Any], position: int) -> Iterator[Piece]:
    """Record batches as Arrow streams of their own; ``position`` rows are passed over."""
    import pyarrow as pa

    row = 0
    for batch in batches:
        batch.validate(full=True)
        first = max(0, position - row)
        while first < batch.num_rows:
            a_row = max(1, batch.nbytes // max(1, batch.num_rows))
            part = batch.slice(first, max(1, min(PIECE_ROWS, PIECE_BYTES // a_row)))
            first += part.num_rows
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, part.schema) as writer:
                writer.write_batch(part)
            yield Piece(sink.getvalue(), ARROW, row + first)
        row += batch.num_rows
