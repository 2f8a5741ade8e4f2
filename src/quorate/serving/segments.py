"""The thread that writes a worker's segments: everything that waits is one batch, one ``write``, one acknowledgement."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from quorate.clock import Clock
from quorate.codecs.journal import HEADER_SIZE, Header, RecordKind, encode_header, encode_record, parse_name, segment_name
from quorate.codecs.snapshot import JournalSettings

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class SegmentFile:
    """A new segment on disk; the only place where the journal touches a file."""

    def __init__(self, path: Path) -> None:
        """Create it; ``FileExistsError`` if there is one of that name."""
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)

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


class Entry:
    """One record on its way; ``future`` is None when nobody waits, ``cancelled`` when it need not be written."""

    __slots__ = ("cancelled", "future", "kind", "on_full", "payload", "sequence")

    def __init__(
        self, kind: int, sequence: int, payload: bytes, future: asyncio.Future[None] | None, on_full: str
    ) -> None:
        self.kind = kind
        self.sequence = sequence
        self.payload = payload
        self.future = future
        self.on_full = on_full
        self.cancelled = False


class SegmentWriter:
    """Owns the segments of one boot; making it creates the first one, which reserves the boot number.

    ``acknowledge(batch, good, size)`` and ``report(error or None)`` are called in the thread: the first ``good``
    records of a batch are written (and synced, with ``durability: power``); writing fails, or works again.
    ``busy_since`` is when the file operation under way began (monotonic seconds).
    """

    def __init__(
        self,
        folder: Path,
        slot: int,
        settings: JournalSettings,
        clock: Clock,
        create: Callable[[Path], SegmentFile],
        acknowledge: Callable[[list[Entry], int, int], None],
        report: Callable[[BaseException | None], None],
    ) -> None:
        self.queue: SimpleQueue[Entry | None] = SimpleQueue()
        self.busy_since: float | None = None
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._create = create
        self._acknowledge = acknowledge
        self._report = report
        self._stopped: Callable[[], None] = lambda: None
        self._slot = slot
        self._salt = int.from_bytes(os.urandom(4), "little")
        self._power = settings.durability == "power"
        self._last = -1  # sequence of the newest record taken from the queue
        self._size = 0
        self._empty = True  # the segment has no record yet
        self._file: SegmentFile | None = None
        self._open_boot()

    def start(self) -> None:
        """Start the thread; as a daemon, so that a stalled disk cannot keep the process from exiting."""
        Thread(target=self._run, name="journal", daemon=True).start()

    def stop(self, stopped: Callable[[], None]) -> None:
        """End after what is queued now; ``stopped`` is called in the thread when the segment is sealed and closed."""
        self._stopped = stopped
        self.queue.put(None)

    def _open_boot(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        names = filter(None, (parse_name(name) for name in os.listdir(self._folder)))  # noqa: PTH208 - names only
        self.boot = max((boot for boot, _ in names), default=-1) + 1
        while True:
            try:
                self._open()
                break
            except FileExistsError:  # another process opened the slot at the same time
                self.boot += 1

    def _run(self) -> None:
        retry = self._settings.stall_ms / 4000
        running = True
        while running:
            batch, running = self._take(retry if self._file is None else None)
            self.busy_since = self._clock.monotonic()
            if self._file is None:
                self._recover()
            if batch:
                self._keep(batch)
            self.busy_since = None
        self.busy_since = self._clock.monotonic()
        with suppress(OSError):
            self._finish()
        self.busy_since = None
        self._stopped()

    def _take(self, timeout: float | None) -> tuple[list[Entry], bool]:
        """Everything that is queued, after waiting for the first of it; and whether to go on."""
        batch: list[Entry] = []
        queue = self.queue
        try:
            entry = queue.get(timeout=timeout)
            while entry is not None:
                batch.append(entry)
                entry = queue.get_nowait()
            return batch, False
        except Empty:
            return batch, True

    def _keep(self, batch: list[Entry]) -> None:
        """Write a batch, and say how much of it is kept; rotate before where it does not fit the segment."""
        salt = self._salt
        parts = [b"" if e.cancelled else encode_record(e.kind, e.sequence, e.payload, salt) for e in batch]
        data = b"".join(parts)
        if self._file is not None and not self._empty and self._size + len(data) > self._settings.segment_bytes:
            self._rotate()
        before, good = self._size, 0
        if self._file is not None:
            try:
                self._put(self._file, data)
                if self._power:
                    self._file.sync()
                good = len(batch)
            except OSError as error:
                whole = sum(end <= self._size - before for end in accumulate(map(len, parts)))
                good = 0 if self._power else whole
                self._empty = self._empty and not whole
                self._give_up(error)
            else:
                self._empty = False
        self._last = batch[-1].sequence
        self._acknowledge(batch, good, self._size - before)

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
            self._put(file, encode_header(Header(self._slot, self.boot, first, created, self._salt)))
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
            self._put(file, encode_record(RecordKind.SEAL, self._last + 1, b"", self._salt))
            if self._power:
                file.sync()
        finally:
            file.close()

    def _rotate(self) -> None:
        try:
            self._finish()
            self._open()
        except OSError as error:
            self._report(error)

    def _give_up(self, error: OSError) -> None:
        """Never write to this segment again: a torn record may be its end. Without any record it is deleted,
        except for the first, which holds the boot number."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                if self._empty and file.path.name != segment_name(self.boot, 0):
                    file.remove()
                else:
                    file.close()
        self._report(error)

    def _recover(self) -> None:
        with suppress(OSError):
            self._open()
            self._report(None)
