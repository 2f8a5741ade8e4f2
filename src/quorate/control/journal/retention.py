"""Retention: what is too old or too much is deleted, oldest first; never what is not ingested, pinned or open.

A file's age is that of its newest record. The newest file of a slot leaves an empty ``.gone`` behind, so that its boot
is never begun again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from quorate.codecs.journal import parse_stem
from quorate.codecs.lookup import INDEX, OUTCOMES, Segment
from quorate.codecs.snapshot import JournalSettings
from quorate.registry.files import settle_folder

DAY = 86_400.0
GONE = ".gone"
SHIPPED = ".shipped"


class Stored(NamedTuple):
    """A segment's files together: their bytes, and when the newest record came (Unix seconds)."""

    segment: Segment
    size: int
    newest: float


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted, and how many files should have been but are ``held`` (pinned, or not shipped yet)."""

    files: int = 0
    size: int = 0
    held: int = 0


def stored(segments: Collection[Segment]) -> list[Stored]:
    """The segments with their sizes, oldest first; those that vanish meanwhile are left out."""
    found = []
    for segment in segments:
        try:
            stat = segment.path.stat()
        except FileNotFoundError:
            continue
        size = stat.st_size + sum(_size(segment.beside(suffix)) for suffix in (OUTCOMES, INDEX))
        found.append(Stored(segment, size, stat.st_mtime))
    return sorted(found, key=lambda each: (each.newest, each.segment))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def prune(
    files: Sequence[Stored],
    settings: JournalSettings,
    now: float,
    *,
    pinned_from: float | None,
    deletable: Callable[[Segment], bool],
    shipped: Callable[[Segment], bool],
) -> Pruned:
    """Delete what the settings no longer keep; only who holds the ingest lock may.

    ``files`` are all there are, oldest first; ``deletable`` says of one that it is complete and ingested,
    ``pinned_from`` is the earliest time from which decisions are needed. A file that is held does not keep newer ones.
    """
    total, count, size, held = sum(each.size for each in files), 0, 0, 0
    for each in files:
        old = settings.keep_days is not None and each.newest < now - settings.keep_days * DAY
        much = settings.keep_bytes is not None and total > settings.keep_bytes
        if not (old or much) or not deletable(each.segment):
            continue
        pinned = pinned_from is not None and each.newest >= pinned_from
        if pinned or (settings.keep_until_shipped and not shipped(each.segment)):
            held += 1
            continue
        delete(each.segment)
        total -= each.size
        count += 1
        size += each.size
    return Pruned(count, size, held)


def delete(segment: Segment) -> None:
    """Delete a segment's files; its boot stays used."""
    folder = segment.path.parent
    stems = [found for path in folder.iterdir() if (found := parse_stem(path.name)) is not None]
    if (segment.boot, segment.first) == max(stems):
        segment.beside(GONE).touch()
        settle_folder(folder)
    segment.path.unlink(missing_ok=True)
    for suffix in (OUTCOMES, INDEX, SHIPPED):
        segment.beside(suffix).unlink(missing_ok=True)
    settle_folder(folder)


def sweep(folder: Path) -> None:
    """Delete what killed deletions left in a slot's folder: files beside a segment that is gone, and older marks."""
    paths = {path for path in folder.iterdir() if parse_stem(path.name) is not None}
    stems = [found for path in paths if (found := parse_stem(path.name)) is not None]
    whole = {path.name.partition(".")[0] for path in paths if path.name.partition(".")[2] in ("qj", "parquet")}
    for path in paths:
        stem, dot, suffix = path.name.partition(".")
        beside = dot + suffix in (OUTCOMES, INDEX, SHIPPED) and stem not in whole
        mark = dot + suffix == GONE and parse_stem(path.name) != max(stems)
        if (beside and stem not in whole) or mark:
            path.unlink(missing_ok=True)
