"""Taking a subject's records out of files: segments of the journal and of captured inputs, and columns.

A file is written anew beside itself, brought to the disk, read back, and renamed over the old one: killed at any
moment, one of the two is there, whole. Sequences, checksums and the file's time stay right; everything that is not the
subject's stays as it is, bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from quorate.codecs import capture as capture_codec
from quorate.codecs import columnar, parquet
from quorate.codecs import decision as decision_codec
from quorate.codecs.journal import Record, RecordKind, encode_header, encode_record, scan
from quorate.core.erasing import anonymous, blanked, is_erased, mark
from quorate.core.types import Scalar
from quorate.errors import JournalError

TEMPORARY = ".tmp-"

Match = Callable[[str, str, dict[str, Scalar], str | None], bool]
"""Whether a record of that decision, endpoint, context and unit is the subject's."""


@dataclass(slots=True)
class Taken:
    """What a file holds of a subject: ``ids`` to be taken out now, ``before`` those that this erasure has taken out.

    ``damaged`` bytes hold no record and could not be looked through, ``unreadable`` records are of a newer release.
    """

    ids: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    damaged: int = 0
    unreadable: int = 0


def erase_segment(path: Path, match: Match, token: str, *, dry_run: bool) -> Taken:
    """Take a subject's decisions or captured inputs out of a segment that nobody writes to any more.

    Where it has to be written anew, damaged bytes are left out. :class:`JournalError` if what was written is not what
    should have been, and ``OSError``; the segment is as it was then.
    """
    taken = Taken()
    found = scan(path)
    kept: list[tuple[int, int, bytes]] = []
    for record in found:
        payload = record.payload
        try:
            payload = _payload(record, match, token, taken)
        except (JournalError, msgspec.MsgspecError):
            taken.unreadable += 1
        kept.append((record.kind, record.sequence, payload))
    taken.damaged = sum(damage.length for damage in found.damage)
    if dry_run or not taken.ids or found.header is None:
        return taken
    salt = found.header.salt
    data = encode_header(found.header) + b"".join(encode_record(*each, salt) for each in kept)
    with _replacing(path) as temporary:
        _write(temporary, data)
        written = scan(temporary)
        if [(r.kind, r.sequence, r.payload) for r in written] != kept or written.damage or written.tail:
            raise JournalError(f"{path.name} was not written as it should be; it stays as it was.")
    return taken


def erase_columns(path: Path, match: Match, token: str, *, dry_run: bool) -> Taken:
    """Take a subject's decisions out of a compacted file; raises as :func:`erase_segment`."""
    taken = Taken()
    for id_, endpoint, context, unit, capture in columnar.read_subjects(path):
        if capture == mark(token):
            taken.before.append(id_)
        elif not is_erased(capture) and match(id_, endpoint, context, unit):
            taken.ids.append(id_)
    wanted = set(taken.ids)
    if dry_run or not wanted:
        return taken
    table = _blanked(columnar.read_table(path), wanted, token)
    with _replacing(path) as temporary:
        with temporary.open("wb") as file:
            columnar.write(file, table)
            file.flush()
            os.fsync(file.fileno())
        parquet.verify(temporary, table)
    return taken


def _blanked(table: Any, ids: Collection[str], token: str) -> Any:
    """A table in which the decisions of ``ids`` are as :func:`~quorate.core.erasing.blanked` leaves them."""
    pa = import_module("pyarrow")
    rows = [id_ in ids for id_ in table["id"].to_pylist()]
    empty: dict[str, Any] = {"context": "{}", "input_digest": b"", "capture": mark(token)}
    gone = ("context_packed", "facts", "feature_width", "request_id", "idempotency_key", "traceparent")
    for name in (*empty, *gone, "unit"):
        at = table.schema.get_field_index(name)
        if at < 0:
            continue
        old = table[name].to_pylist()
        new = [empty.get(name) if row else value for row, value in zip(rows, old, strict=True)]
        if name == "unit":
            new = [anonymous(token) if row and value else value for row, value in zip(rows, old, strict=True)]
        table = table.set_column(at, table.schema.field(at), pa.array(new, table.schema.field(at).type))
    at = table.schema.get_field_index("features")
    if at >= 0:
        table = table.set_column(at, table.schema.field(at), columnar.emptied(table["features"], rows))
    return table


def _payload(record: Record, match: Match, token: str, taken: Taken) -> bytes:
    if record.kind == RecordKind.DECISION:
        head = decision_codec.summary(record.payload)
        context: dict[str, Scalar] = msgspec.msgpack.decode(head.context)
        unit: str | None = msgspec.msgpack.decode(head.unit)
        mine = match(head.id, head.endpoint, context, unit)
        if context and not mine:
            return record.payload
        decision = decision_codec.decode(record.payload)
        if decision.capture == mark(token):  # this erasure has been here
            taken.before.append(head.id)
        elif mine and not is_erased(decision.capture):
            taken.ids.append(head.id)
            return decision_codec.encode(blanked(decision, token))
    if record.kind == RecordKind.CAPTURE:
        capture = capture_codec.decode(record.payload)
        if capture.erased == token:
            taken.before.append(capture.id)
        elif capture.erased is None and match(capture.id, capture.endpoint, dict(capture.context), capture.unit):
            taken.ids.append(capture.id)
            unit = None if capture.unit is None else anonymous(token)
            return capture_codec.encode(capture._replace(inputs={}, context={}, unit=unit, erased=token))
    return record.payload


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A place for the new file, which takes the old one's name and time at the end of the block."""
    stat = path.stat()
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        yield temporary
        os.utime(temporary, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # retention goes by the newest record's time
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
