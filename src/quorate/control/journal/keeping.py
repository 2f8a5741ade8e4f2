"""What control does with the journals besides reading them: compact, ship, delete; and what is known of that."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import msgspec

from quorate.clock import Clock
from quorate.codecs import parquet, ring, snapshot
from quorate.codecs.journal import HEADER_SIZE, scan
from quorate.codecs.lookup import INDEX, JournalReader, Segment
from quorate.codecs.sidecar import Sidecar
from quorate.codecs.snapshot import JournalSettings
from quorate.control.alone import alone, keep_doing
from quorate.control.journal import compact, retention
from quorate.control.journal.compact import Attempt
from quorate.control.journal.compacting import CompactProcess
from quorate.control.journal.pins import pins
from quorate.control.journal.retention import Pruned, prune, stored
from quorate.control.journal.ship import Shipper, shipped
from quorate.errors import NotReady, QuorateError
from quorate.home import Home
from quorate.store import ledger, lessons
from quorate.store.database import Database
from quorate.store.ledger import Place, Progress

log = logging.getLogger("quorate.control")

PRUNE_EVERY_S = 30.0
RETRY_S = 60.0
SHIP_EVERY_S = 2.0

Count = Callable[[str, int], None]
"""Counts journal files by what became of them: compacted, left, deleted, shipped, ship_failed."""


def keep_shipping(home: Home, keeper: Keeper, stop: threading.Event, *, every_s: float = SHIP_EVERY_S) -> None:
    """Ship what gets finished until ``stop`` is set; errors are logged."""
    stop.wait(every_s)
    keep_doing(home, "ship", {"Journal files cannot be shipped": keeper.ship}, stop, every_s=every_s)


class Kept(msgspec.Struct):
    """What was done with the journals of a project since its beginning; in ``journal/kept.json``.

    ``before`` and ``after`` are bytes of segments that were compacted; ``held`` files were too old or too much at the
    last look and are pinned or not shipped; ``aside`` could not be shipped for now; ``left`` are segments that are not
    compacted, and why.
    """

    compacted: int = 0
    decisions: int = 0
    before: int = 0
    after: int = 0
    deleted: int = 0
    deleted_bytes: int = 0
    held: int = 0
    shipped: int = 0
    ship_failures: int = 0
    ship_error: str | None = None
    aside: int = 0
    left: dict[str, str] = {}

    @classmethod
    def read(cls, home: Home) -> Kept:
        """As it was saved last; nothing where it cannot be read."""
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode((home.journal / "kept.json").read_bytes(), type=cls)
        return cls()

    def save(self, home: Home) -> None:
        """Write it down; what a crash loses of it is a count, never a record."""
        temporary = home.journal / f".kept.{os.getpid()}"
        temporary.write_bytes(msgspec.json.encode(self))
        temporary.replace(home.journal / "kept.json")


def ship_lock(home: Home) -> AbstractContextManager[bool]:
    """Try to be the one that ships while the block runs; yields False where another process is."""
    return alone(home, "ship")


class Keeper:
    """Keeps the journals of one project.

    :meth:`tidy` needs the ingest lock, :meth:`ship` the ship lock; the two may run in different threads. With a
    ``process`` it has that compact and does not wait for it.
    """

    def __init__(
        self,
        home: Home,
        database: Database,
        clock: Clock,
        *,
        count: Count = lambda _event, _count: None,
        process: CompactProcess | None = None,
    ) -> None:
        self.kept = Kept.read(home)
        self.kept.left = {}  # this release may know better
        self._home = home
        self._database = database
        self._clock = clock
        self._count = count
        self._process = process
        self._reader = JournalReader(home.journal)
        self._small = compact.SMALL
        self._finished: set[Path] = set()
        self._told = False
        self._swept = False
        self._shipper: Shipper | None = None
        self._lock = threading.Lock()
        self._compact_at = self._prune_at = clock.monotonic()

    def settings(self) -> JournalSettings:
        """What the applied configuration says; the defaults where nothing was applied yet."""
        try:
            return snapshot.read(self._home.snapshot).journal
        except NotReady:
            return JournalSettings()

    def tidy(self, *, most: int = 4, at_once: bool = False) -> None:
        """Compact at most so many segments; then, twice a minute or ``at_once``, delete what is no longer kept."""
        now = self._clock.monotonic()
        settings = self.settings()
        self._rescue()
        files = self._reader.files()
        if not self._swept:
            for folder in {segment.path.parent for segment in files}:
                compact.sweep(folder)
                retention.sweep(folder)
            self._swept = True
        if self._process is not None:
            busy = self._process.busy
            for segment, outcome in self._process.finished():
                self._note(segment, outcome)
            if busy and not self._process.busy and self._process.failed:
                self._compact_at = now + RETRY_S
                log.error("The process that compacts journal segments ended before its time; trying again in a minute.")
        self._learn(files)
        if settings.compact and self._can_compact(files) and (at_once or now >= self._compact_at):
            waiting = [segment for segment in files if self._to_compact(segment, settings)][:most]
            if self._process is None or at_once:
                for segment in waiting:
                    self._note(segment, compact.attempt(segment))
            elif waiting and not self._process.busy:
                self._process.start(waiting)
            files = self._reader.files() if waiting else files
        bounded = settings.keep_days is not None or settings.keep_bytes is not None
        if bounded and (at_once or now >= self._prune_at):
            self._prune_at = now + PRUNE_EVERY_S
            self._prune(files, settings)

    def _rescue(self) -> None:
        """Bring to the disk what killed workers left in their rings; a slot's next worker does so too, if it comes."""
        for folder in self._reader.folders():
            try:
                ring.rescue(folder, self._clock.now())
            except (OSError, QuorateError) as error:
                log.error("The ring of a killed worker cannot be brought to the disk; trying again: %s", error)

    @property
    def compacting(self) -> bool:
        """Whether its process may be rewriting files now."""
        return self._process is not None and self._process.busy

    def compactable(self) -> int:
        """How many segments wait to be compacted now."""
        settings, files = self.settings(), self._reader.files()
        self._learn(files)
        return sum(self._to_compact(segment, settings) for segment in files)

    def ship(self) -> int:
        """Ship what is finished and was not shipped yet; how many segments were."""
        settings = self.settings()
        if settings.ship is None:
            self._shipper = None
            return 0
        if self._shipper is None or self._shipper.settings != settings.ship:
            self._shipper = Shipper(settings.ship, self._clock)
        files = self._reader.files()
        self._learn(files)
        final = [each.segment for each in stored(files) if self._final(each.segment, settings)]
        counts = self._shipper.counts
        before = (counts.files, counts.failures)
        done = self._shipper.run(final)
        now = (counts.files, counts.failures)
        if now != before:
            self._count("shipped", now[0] - before[0])
            self._count("ship_failed", now[1] - before[1])
            with self._lock:
                self.kept.shipped += now[0] - before[0]
                self.kept.ship_failures += now[1] - before[1]
                self.kept.ship_error, self.kept.aside = counts.error, self._shipper.aside
                self.kept.save(self._home)
        return done

    def _learn(self, files: list[Segment]) -> None:
        """Find out which segments are complete and ingested; that never changes back."""
        self._finished &= {segment.path for segment in files}
        unknown = [each for each in files if not each.compacted and each.path not in self._finished]
        if not unknown:
            return
        with self._database.read() as connection:
            known = ledger.progress(connection)
        for segment in unknown:
            done: Progress | None = known.get(Place(segment.slot, segment.boot, segment.first))
            with suppress(OSError, QuorateError):
                if compact.finished(segment, done):
                    self._finished.add(segment.path)

    def _deletable(self, segment: Segment) -> bool:
        return segment.compacted or segment.path in self._finished

    def _to_compact(self, segment: Segment, settings: JournalSettings) -> bool:
        if segment.compacted or not settings.compact or segment.path not in self._finished:
            return False
        return self._name(segment) not in self.kept.left and _size(segment.path) >= self._small

    def _final(self, segment: Segment, settings: JournalSettings) -> bool:
        """Whether the segment's files stay as they are until they are deleted."""
        waits = parquet.available() and self._to_compact(segment, settings)
        return self._deletable(segment) and not waits

    def _can_compact(self, files: list[Segment]) -> bool:
        if parquet.available():
            return True
        if not self._told and any(path in self._finished for path in (segment.path for segment in files)):
            self._told = True
            log.warning(
                "Finished journal segments are kept as they are: compaction needs the extra 'arrow' "
                "(pip install 'quorate[arrow]'); journal.compact: false ends this notice."
            )
        return False

    def _note(self, segment: Segment, outcome: Attempt) -> None:
        """Remember what came of compacting a segment."""
        made = outcome.made
        if made is not None:
            self._count("compacted", 1)
            with self._lock:
                self.kept.compacted += 1
                self.kept.decisions += made.decisions
                self.kept.before += made.before
                self.kept.after += made.after
                self.kept.save(self._home)
        elif outcome.again:
            self._compact_at = self._clock.monotonic() + RETRY_S
            log.error("%s cannot be compacted now: %s", segment.path, outcome.error)
        elif outcome.error is not None:
            log.error("%s cannot be compacted and stays as it is: %s", segment.path, outcome.error)
            self._count("left", 1)
            with self._lock:
                self.kept.left[self._name(segment)] = outcome.error
                self.kept.save(self._home)

    def _prune(self, files: list[Segment], settings: JournalSettings) -> None:
        now = self._clock.now()
        held_by = pins(self._home, now)
        ship = settings.ship
        done: Pruned = prune(
            stored(files),
            settings,
            now,
            pinned_from=min((pin.since for pin in held_by), default=None),
            deletable=self._deletable,
            shipped=lambda segment: ship is not None and shipped(segment, ship),
        )
        if done.files:
            log.info("Deleted %d journal files (%d bytes) that are no longer kept.", done.files, done.size)
            self._count("deleted", done.files)
            self._forget_lessons()
        if done.held and not self.kept.held:
            log.warning("%d journal files should be deleted but are pinned or not shipped yet.", done.held)
        if done.files or done.held != self.kept.held:
            with self._lock:
                self.kept.deleted += done.files
                self.kept.deleted_bytes += done.size
                self.kept.held = done.held
                self.kept.left = {
                    name: why for name, why in self.kept.left.items() if (self._home.journal / name).exists()
                }
                self.kept.save(self._home)

    def _forget_lessons(self) -> None:
        """Delete what only decisions needed that are gone by now."""
        slots: dict[int, Segment] = {}
        for segment in self._reader.files():
            slots.setdefault(segment.slot, segment)
        begun = [_begun(segment) for segment in slots.values()]
        if None not in begun:
            oldest = min((each for each in begun if each is not None), default=self._clock.now())
            with self._database.begin() as connection:
                lessons.prune(connection, oldest)

    def _name(self, segment: Segment) -> str:
        return f"{segment.slot}/{segment.path.name}"


def _begun(segment: Segment) -> float | None:
    """When the first decisions of a file were made, at the earliest, Unix seconds; None where that is not known."""
    with suppress(OSError, QuorateError):
        if segment.compacted:
            return Sidecar(segment.beside(INDEX).read_bytes()).oldest
        with segment.path.open("rb") as file:
            header = scan(file.read(HEADER_SIZE)).header
        return None if header is None else header.created / 1e9
    return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
