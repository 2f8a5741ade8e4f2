"""Shipping: finished journal files are copied elsewhere, each once, with retries that slow down.

That a segment was shipped is remembered in ``<boot>-<first>.shipped`` beside it, so it survives restarts and goes with
the segment. A kill between copying and remembering copies it again, which replaces the same bytes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from quorate.clock import Clock
from quorate.codecs.lookup import INDEX, OUTCOMES, Segment
from quorate.codecs.snapshot import ShipSettings
from quorate.control.journal.retention import SHIPPED
from quorate.control.journal.targets import Target, label, target_of
from quorate.errors import JournalError
from quorate.registry.files import settle, settle_folder

log = logging.getLogger("quorate.control")

LONGEST_WAIT_S = 300.0
ASIDE_S = 3600.0


class _Mark(msgspec.Struct, frozen=True):
    """Which files of a segment are where; ``file`` is the number of the one with the decisions, 0 where that was not
    noted: an erasure writes it anew, and then it is shipped again."""

    target: str
    files: tuple[str, ...]
    at: float
    file: int = 0


@dataclass(slots=True)
class ShipCounts:
    """What shipping did: files and bytes copied, failures; ``error`` is the newest one, None after a success."""

    files: int = 0
    size: int = 0
    failures: int = 0
    error: str | None = None


def files_of(segment: Segment) -> list[Path]:
    """The files of a segment that are shipped."""
    beside = [segment.beside(suffix) for suffix in (OUTCOMES, INDEX)] if segment.compacted else []
    return [segment.path, *(path for path in beside if path.exists())]


def shipped(segment: Segment, settings: ShipSettings) -> bool:
    """Whether the segment, as it is now, was shipped to this target."""
    try:
        mark = msgspec.json.decode(segment.beside(SHIPPED).read_bytes(), type=_Mark)
        same = mark.file in (0, segment.path.stat().st_ino)
    except (FileNotFoundError, msgspec.MsgspecError):
        return False
    return same and mark.target == label(settings) and {path.name for path in files_of(segment)} <= set(mark.files)


def copies(segment: Segment) -> tuple[str, tuple[str, ...]] | None:
    """Where a segment was shipped to, and as which files; None if it was not."""
    try:
        mark = msgspec.json.decode(segment.beside(SHIPPED).read_bytes(), type=_Mark)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return mark.target, tuple(f"{segment.slot}/{name}" for name in mark.files)


class Shipper:
    """Ships to one target; after a failure it waits, twice as long each time, at most 5 minutes.

    A file that failed ``attempts`` times in a row is set aside for an hour, so that it does not keep others.
    """

    def __init__(self, settings: ShipSettings, clock: Clock, *, target: Target | None = None) -> None:
        self.counts = ShipCounts()
        self.settings = settings
        self._clock = clock
        self._target = target or target_of(settings)
        self._done: dict[Path, int] = {}
        self._failed: dict[Path, int] = {}
        self._aside: dict[Path, float] = {}
        self._row = 0
        self._not_before = 0.0

    @property
    def aside(self) -> int:
        """How many segments are set aside now."""
        return sum(until > self._clock.monotonic() for until in self._aside.values())

    def run(self, segments: Iterable[Segment]) -> int:
        """Ship those of the segments that were not yet, in the order given, until one fails; how many were shipped."""
        count = 0
        for segment in segments:
            now = self._clock.monotonic()
            if now < self._not_before:
                break
            number = _number(segment.path)
            if self._done.get(segment.path) == number or self._aside.get(segment.path, now) > now:
                continue
            if not shipped(segment, self.settings):
                try:
                    self._ship(segment)
                except FileNotFoundError:
                    continue  # deleted or compacted meanwhile
                except (JournalError, OSError) as error:
                    self._fail(segment, error)
                    break
                count += 1
            if number is not None:
                self._done[segment.path] = number
        return count

    def _ship(self, segment: Segment) -> None:
        paths, size = files_of(segment), 0
        number = _number(segment.path) or 0  # of what is about to be copied: it may be replaced meanwhile
        for path in paths:
            self._target.put(path, f"{segment.slot}/{path.name}")
            size += path.stat().st_size
        mark = _Mark(label(self.settings), tuple(path.name for path in paths), self._clock.now(), number)
        target = segment.beside(SHIPPED)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(mark))
            settle(file)
        temporary.replace(target)
        settle_folder(target.parent)
        self.counts.files += len(paths)
        self.counts.size += size
        self.counts.error = None
        self._row = 0
        self._failed.pop(segment.path, None)
        self._aside.pop(segment.path, None)

    def _fail(self, segment: Segment, error: Exception) -> None:
        path = segment.path
        self.counts.failures += 1
        self.counts.error = str(error)
        self._row += 1
        failed = self._failed[path] = self._failed.get(path, 0) + 1
        wait = min(LONGEST_WAIT_S, 2.0 ** min(self._row - 1, 10))
        now = self._clock.monotonic()
        if failed >= self.settings.attempts:
            self._aside[path] = now + ASIDE_S
            self._failed[path] = 0
            wait = 0.0 if self._row < 2 * self.settings.attempts else wait
            log.error("%s could not be shipped %d times and is set aside for an hour: %s", path.name, failed, error)
        else:
            log.warning("%s could not be shipped; again in %g s: %s", path.name, wait, error)
        self._not_before = now + wait


def _number(path: Path) -> int | None:
    """What tells a file from another of the same name."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
