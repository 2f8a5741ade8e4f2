"""The thread that writes a worker's segments: one batch at a time, one ``write`` and one acknowledgement for each.

Records are framed and checksummed here too, so that the event loop does not spend its time on it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple, Protocol

from quorate.clock import Clock
from quorate.codecs import ring
from quorate.codecs.journal import (
    OVERHEAD,
    Header,
    RecordKind,
    encode_header,
    encode_record,
    frame,
    parse_stem,
    segment_name,
)
from quorate.codecs.snapshot import JournalSettings
from quorate.errors import JournalError

log = logging.getLogger("quorate.serving")

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class SegmentFile:
    """A new segment on disk; the only place where the journal touches a file."""

    def __init__(self, path: Path) -> None:
        """Create it; ``FileExistsError`` if there is one of that name."""
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        # Whoever can lock a segment that has a header knows that nobody will write to it again.
        with suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, data: memoryview) -> int:
        """Write a prefix of ``data``; its length."""
        return os.write(self._fd, data)

    def sync(self) -> None:
        """Wait until what was written would survive a power cut."""
        _sync(self._fd)

    def sync_name(self) -> None:
        """Wait until the file's name in its folder would survive a power cut."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def remove(self) -> None:
        """Close and delete the file."""
        os.close(self._fd)
        self.path.unlink()


class Records(Protocol):
    """Payloads of one kind with consecutive sequences, from ``first`` on."""

    @property
    def kind(self) -> int: ...

    @property
    def first(self) -> int: ...

    @property
    def payloads(self) -> Sequence[bytes]: ...

    @property
    def framed(self) -> bytes | None:
        """All of them as the segment holds them, where they are kept in a ring until it does."""


class Batch(NamedTuple):
    """Records to be written together; ``last`` is the newest one's sequence."""

    records: Sequence[Records]
    last: int

    def encode(self, salt: int) -> bytes:
        """All records, as the segment holds them."""
        parts: list[bytes] = []
        for each in self.records:
            if each.framed is not None:
                parts.append(each.framed)
            else:
                frame(each.kind, each.first, each.payloads, salt, parts)
        return b"".join(parts)

    def ends(self) -> list[int]:
        """Where in the encoded bytes each record ends."""
        return list(accumulate(OVERHEAD + len(payload) for each in self.records for payload in each.payloads))

    def owed(self, good: int) -> int | None:
        """The first sequence that will come again: in a ring, and not among the first ``good`` records."""
        for each in self.records:
            if each.framed is not None and good < len(each.payloads):
                return each.first + max(good, 0)
            good -= len(each.payloads)
        return None


SEAL = Batch((), -1)
"""Not to be written: the segment is to be ended."""


class SegmentWriter:
    """Owns the segments of one boot; making it creates the first one, which reserves the boot number.

    Called in the thread: ``acknowledge(good, size, error)`` when a batch is done, whose first ``good`` records are
    kept (written; with ``durability: power`` also synced); ``recovered()`` when writing works again after an error.
    ``busy_since`` is when the file operation under way began (monotonic seconds). A segment in which a write failed
    is given up, never repaired. With ``begin``, a boot and a sequence, it begins there instead of with a boot of its
    own.
    """

    def __init__(
        self,
        folder: Path,
        slot: int,
        settings: JournalSettings,
        clock: Clock,
        create: Callable[[Path], SegmentFile],
        acknowledge: Callable[[int, int, OSError | None], None],
        recovered: Callable[[], None],
        *,
        begin: tuple[int, int] | None = None,
    ) -> None:
        self.salt = int.from_bytes(os.urandom(4), "little")
        self.busy_since: float | None = None
        self._folder = folder
        self._slot = slot
        self._settings = settings
        self._clock = clock
        self._create = create
        self._acknowledge = acknowledge
        self._recovered = recovered
        self._queue: SimpleQueue[Batch | None] = SimpleQueue()
        self._stopped: Callable[[], None] = lambda: None
        self._power = settings.durability == "power"
        self._last = -1  # sequence of the newest record that came, written or not
        self._size = 0
        self._empty = True  # the segment has no record yet
        self._file: SegmentFile | None = None
        if begin is None:
            self._begin_boot()
        else:
            self.boot, self._last = begin[0], begin[1] - 1
            self._folder.mkdir(parents=True, exist_ok=True)
            self._open()

    def start(self) -> None:
        """Start the thread; as a daemon, so that a stalled disk cannot keep the process from exiting."""
        Thread(target=self._run, name="journal", daemon=True).start()

    def put(self, batch: Batch) -> None:
        """Have a batch written after those before it."""
        self._queue.put(batch)

    def seal(self) -> None:
        """Have the segment ended after what is queued now, and another one begun."""
        self._queue.put(SEAL)

    def stop(self, stopped: Callable[[], None]) -> None:
        """End after what is queued now; ``stopped`` is called in the thread when the segment is sealed and closed."""
        self._stopped = stopped
        self._queue.put(None)

    def _begin_boot(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            ring.rescue(self._folder, self._clock.now())
        except (OSError, JournalError) as error:  # control tries again
            log.error("What a killed worker left in its ring is not on the disk yet: %s", error)
        # Whatever became of a segment (compacted, deleted with a mark in its place), its boot is never begun again.
        found = [parse_stem(path.name) for path in self._folder.iterdir()]
        self.boot = max((name[0] for name in found if name), default=-1) + 1
        while True:
            try:
                return self._open()
            except FileExistsError:  # another process opened the slot at the same time
                self.boot += 1

    def _run(self) -> None:
        while True:
            try:
                # Without a segment, try for a new one every so often.
                batch = self._queue.get(timeout=None if self._file else self._settings.stall_ms / 4000)
            except Empty:
                batch = Batch((), self._last)
            self.busy_since = self._clock.monotonic()
            if batch is None:
                break
            if batch is SEAL and self._file is not None and not self._empty:
                with suppress(OSError):
                    self._finish()
            if self._file is None:
                self._recover()
            if batch.records:
                self._keep(batch)
            self.busy_since = None
        with suppress(OSError):
            self._finish()
        self._stopped()

    def _keep(self, batch: Batch) -> None:
        """Write a batch, after a new segment was begun where it does not fit; acknowledge what is kept of it."""
        before, error = self._size, None
        data = batch.encode(self.salt)
        good, size = sum(len(each.payloads) for each in batch.records), len(data)
        last = batch.last
        try:
            if not self._empty and self._size + size > self._settings.segment_bytes:
                self._finish()
                self._open()
                before = self._size
            if self._file is None:
                raise OSError(errno.EIO, "there is no segment to write to")
            self._put(self._file, data)
            if self._power:
                self._file.sync()
        except OSError as caught:
            error = caught
            ends = batch.ends()
            whole = bisect_right(ends, self._size - before)
            good = 0 if self._power else whole
            size = ends[good - 1] if good else 0
            self._empty = self._empty and not whole
            self._give_up()
            owed = batch.owed(good)
            last = last if owed is None else owed - 1
        self._empty = self._empty and not good
        self._last = last
        self._acknowledge(good, size, error)

    def _put(self, file: SegmentFile, data: bytes) -> None:
        left = memoryview(data)
        while left:
            written = file.write(left)
            if written == 0:
                raise OSError(errno.EIO, "the segment takes no more bytes")
            self._size += written
            left = left[written:]

    def _open(self) -> None:
        """Begin the next segment, named after the sequence that follows the newest record."""
        first = self._last + 1
        file = self._create(self._folder / segment_name(self.boot, first))
        self._size, self._empty = 0, True
        try:
            created = int(self._clock.now() * 1e9)
            self._put(file, encode_header(Header(self._slot, self.boot, first, created, self.salt)))
            if self._power or first == 0:
                file.sync()
                file.sync_name()
        except OSError:
            file.remove()
            raise
        self._file = file

    def _finish(self) -> None:
        """Declare the segment complete and close it."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            self._put(file, encode_record(RecordKind.SEAL, self._last + 1, b"", self.salt))
            if self._power:
                file.sync()
        finally:
            file.close()

    def _give_up(self) -> None:
        """Never write to this segment again, since its end may be torn. One without any record is deleted; not the
        first, which holds the boot number."""
        file, self._file = self._file, None
        if file is None:
            return
        with suppress(OSError):
            if self._empty and file.path.name != segment_name(self.boot, 0):
                file.remove()
            else:
                file.close()

    def _recover(self) -> None:
        with suppress(OSError):
            self._open()
            self._recovered()
