"""Compaction: segments that are complete and ingested become Parquet files; killed at any moment, nothing is lost.

The columns, the index and the outcomes of a segment are written under temporary names, brought to the disk and read
back; then they are renamed, the decisions' file last, and only then the segment is deleted. Until it is gone, the
segment is what counts; what a kill leaves behind is swept up or written again.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from quorate.codecs import columnar, parquet, sidecar
from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.journal import HEADER_SIZE, RecordKind, scan
from quorate.codecs.lookup import COMPACTED, INDEX, OUTCOMES, Segment
from quorate.codecs.ring import link_of
from quorate.control.journal.uncollected import uncollected
from quorate.core.types import Decision, Outcome
from quorate.errors import JournalError, QuorateError
from quorate.registry.files import settle, settle_folder
from quorate.store.ledger import Progress

SMALL = 64 * 1024
"""Segments below this many bytes stay as they are: the columns of a few records take more."""
TEMPORARY = ".tmp-"


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of one segment: its records, and bytes before and after (index and outcomes included)."""

    decisions: int
    outcomes: int
    before: int
    after: int


def finished(segment: Segment, done: Progress | None) -> bool:
    """Whether the segment will never grow again and all of it that can be read was ingested."""
    if done is None or _created(segment.path) != done.created:  # of another journal in this place
        return False
    if done.sealed:
        return True
    waits = link_of(segment.path.parent, segment.boot).is_symlink()  # for what its worker left in its ring
    return unlocked(segment.path) and not waits and not any(True for _ in scan(segment.path, done.offset))


def _created(path: Path) -> int | None:
    with path.open("rb") as file:
        header = scan(file.read(HEADER_SIZE)).header
    return None if header is None else header.created


def unlocked(path: Path) -> bool:
    """Whether no process has the segment open for writing; a worker locks it before it writes the header."""
    try:
        with path.open("rb") as file:
            if len(file.read(HEADER_SIZE)) < HEADER_SIZE:
                return False
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of compacting a segment: what was made of it, or else ``error``, after which it is tried ``again`` or
    stays as it is; neither where it was gone."""

    made: Compacted | None = None
    error: str | None = None
    again: bool = False


def attempt(segment: Segment) -> Attempt:
    """Compact a segment and say what came of it; never raises what :func:`compact` is expected to."""
    try:
        return Attempt(compact(segment))
    except FileNotFoundError:
        return Attempt()
    except OSError as error:  # as a rule, the disk is full: what is deleted now may help
        return Attempt(error=str(error), again=True)
    except QuorateError as error:
        return Attempt(error=str(error))


def compact(segment: Segment) -> Compacted:
    """Turn a finished segment into columns; only who holds the ingest lock may.

    Raises :class:`JournalError` for a segment that is damaged or holds records this release cannot read, which stays
    as it is, and ``OSError``.
    """
    with uncollected():
        return _compact(segment)


def _compact(segment: Segment) -> Compacted:
    decisions, outcomes = _records(segment)
    origin = {"slot": segment.slot, "boot": segment.boot, "first": segment.first}
    tables = {OUTCOMES: columnar.outcomes_table(outcomes, origin)} if outcomes else {}
    tables[COMPACTED] = columnar.decisions_table(decisions, origin)
    index = sidecar.encode(decisions, segment.slot, segment.boot)
    stat, folder = segment.path.stat(), segment.path.parent
    targets = [segment.beside(suffix) for suffix in (INDEX, *tables)]  # the decisions' file is the last
    made = [folder / f"{TEMPORARY}{target.name}" for target in targets]
    try:
        with made[0].open("wb") as file:
            file.write(index)
            settle(file)
        for path, table in zip(made[1:], tables.values(), strict=True):
            with path.open("wb") as file:
                columnar.write(file, table)
                settle(file)
            parquet.verify(path, table)
        os.utime(made[-1], ns=(stat.st_atime_ns, stat.st_mtime_ns))  # retention goes by the newest record's time
        after = sum(path.stat().st_size for path in made)
        for path, target in zip(made, targets, strict=True):
            path.replace(target)
        settle_folder(folder)
        segment.path.unlink()
        settle_folder(folder)
    finally:
        for path in made:
            path.unlink(missing_ok=True)
    return Compacted(len(decisions), len(outcomes), stat.st_size, after)


def _records(segment: Segment) -> tuple[list[tuple[int, Decision]], list[tuple[int, Outcome]]]:
    """Everything a segment holds, with sequences."""
    decisions: list[tuple[int, Decision]] = []
    outcomes: list[tuple[int, Outcome]] = []
    found = scan(segment.path)
    for record in found:
        if record.kind == RecordKind.DECISION:
            decisions.append((record.sequence, decision_codec.decode(record.payload)))
        elif record.kind == RecordKind.OUTCOME:
            outcomes.append((record.sequence, outcome_codec.decode(record.payload)))
    if found.damage:
        lost = sum(damage.length for damage in found.damage)
        raise JournalError(f"{lost} bytes of it are damaged, so it is left as it is.")
    return decisions, outcomes


def sweep(folder: Path) -> None:
    """Delete what killed compactions left in a slot's folder; only who holds the ingest lock may."""
    for path in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            path.unlink()
