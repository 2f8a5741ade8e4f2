"""The journal of one worker: a record is acknowledged only when the kernel has it (``durability: process``).

The event loop never touches the disk. A group of records, or the single ones that were appended in one turn of the
loop, become one batch, which a daemon thread writes; while it is being written the next batch gathers. So a stalled
disk holds nobody up: the journal is then *blocked*, as it is while the disk is full or failing, and recovers by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from quorate.clock import Clock
from quorate.codecs.journal import MAX_RECORD, OVERHEAD, RecordKind
from quorate.codecs.snapshot import JournalSettings
from quorate.errors import JournalError, Overloaded, TooLarge
from quorate.ids import IdSource
from quorate.serving.segments import Batch, SegmentFile, SegmentWriter


@dataclass(slots=True)
class JournalCounters:
    """What became of records: ``dropped`` were answered and are lost, ``late`` were answered before they were
    written (a stall; those lost after all count as ``dropped`` too), ``shed`` were refused or failed with
    :class:`Overloaded`."""

    appended: int = 0
    written_bytes: int = 0
    batches: int = 0
    dropped: int = 0
    late: int = 0
    shed: int = 0
    stalls: int = 0
    errors: int = 0


class Kept(Protocol):
    """Whoever waits for records to be kept; a future is one. It must not raise."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, kept: int, /) -> None:
        """How many of the records, from the first on, may be answered."""

    def set_exception(self, error: Exception, /) -> None:
        """The one record was shed."""


class _Entry:
    """Records that were appended together; ``promise`` is None when nobody waits for them.

    That of ``many`` is told the number of the first records that are kept; the other kind is a future of one record:
    it fails when that is shed, and tells whether it is kept.
    """

    __slots__ = ("first", "kind", "many", "on_full", "payloads", "promise", "size")

    def __init__(
        self,
        kind: int,
        first: int,
        payloads: Sequence[bytes],
        size: int,
        promise: Kept | None,
        on_full: str,
        many: bool = False,
    ) -> None:
        self.kind = kind
        self.first = first
        self.payloads = payloads
        self.size = size  # bytes in the segment
        self.promise = promise
        self.on_full = on_full
        self.many = many

    def done(self) -> None:
        """All its records are kept, or their answers may go anyway."""
        promise = self.promise
        if promise is not None and not promise.done():
            promise.set_result(len(self.payloads) if self.many else True)


class Journal:
    """The journal of one slot, opened for a new boot; owned by one event loop.

    ``folder`` is the root of all slots' journals. Making one creates the boot's first segment, durably;
    :meth:`start` must be called in the loop before the first :meth:`append`. ``on_error`` is called in the loop
    when the journal becomes blocked. ``create`` makes segment files.
    """

    def __init__(
        self,
        folder: Path,
        slot: int,
        settings: JournalSettings,
        clock: Clock,
        on_error: Callable[[BaseException], None],
        *,
        create: Callable[[Path], SegmentFile] = SegmentFile,
    ) -> None:
        self.counters = JournalCounters()
        self._settings = settings
        self._clock = clock
        self._on_error = on_error
        self._writer = SegmentWriter(
            folder / str(slot), slot, settings, clock, create, self._written_soon, self._recovered_soon
        )
        self.ids = IdSource(slot, self._writer.boot, clock)
        self._queue: list[_Entry] = []  # not yet handed to the writer
        self._flight: list[_Entry] = []  # the batch being written
        self._scheduled = False
        self._pending = 0  # bytes in both
        self._last = -1
        self._stalled = self._failing = False
        self._closed = True
        self._drained: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop
        self._watch: asyncio.TimerHandle | None = None

    @property
    def boot(self) -> int:
        """How many times this slot was started before."""
        return self.ids.boot

    @property
    def pending_bytes(self) -> int:
        """Bytes of records that were appended and are not yet written."""
        return self._pending

    @property
    def lag(self) -> float:
        """Seconds that the disk operation under way has taken so far; 0 when there is none."""
        since = self._writer.busy_since
        return 0.0 if since is None else max(0.0, self._clock.monotonic() - since)

    def start(self) -> None:
        """Start the writer thread and the stall watch on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._writer.start()
        self._closed = False
        self._check()

    def accepts(self) -> bool:
        """Whether a record appended now would be written: started, not blocked, and room in memory."""
        return not self._blocked and self._pending < self._settings.pending_bytes

    def append(
        self, payload: bytes, kind: RecordKind = RecordKind.DECISION, *, on_full: str = "drop"
    ) -> asyncio.Future[bool] | None:
        """Hand a record to the writer; wait for the future (if any) before answering: False means it was dropped.

        A decision must be appended right after its id was taken from ``ids``, without an ``await`` between.
        Where the record cannot be kept, ``on_full`` decides: ``drop`` counts it and lets the answer go,
        ``shed`` raises :class:`Overloaded`, here or through the future. The record of a request that was shed may
        still be found in the journal: it was being written when the disk stalled. :class:`TooLarge` for a record
        that no segment may hold.
        """
        first = self._sequences(kind, 1)
        size = OVERHEAD + len(payload)
        if size > MAX_RECORD:
            raise _too_large(size)
        # A record larger than the whole bound is let in when nothing else is pending: it could never be kept otherwise.
        if self._blocked or (self._pending and self._pending + size > self._settings.pending_bytes):
            if on_full == "shed":
                self.counters.shed += 1
                raise _overloaded()
            self.counters.dropped += 1
            return None
        future = None if self._settings.durability == "none" else self._loop.create_future()
        self._enqueue(_Entry(kind, first, (payload,), size, future, on_full))
        return future

    def append_many(
        self, payloads: Sequence[bytes], kind: RecordKind = RecordKind.DECISION, *, on_full: str = "drop"
    ) -> asyncio.Future[int]:
        """As :meth:`append_group`, told by a future."""
        future: asyncio.Future[int] = self._loop.create_future()
        self.append_group(payloads, future, kind, on_full=on_full)
        return future

    def append_group(
        self,
        payloads: Sequence[bytes],
        promise: Kept,
        kind: RecordKind = RecordKind.DECISION,
        *,
        on_full: str = "drop",
    ) -> None:
        """Hand several records to the writer at once; ``promise`` is told how many of them may be answered, at once
        where that is known, else when they are written.

        The payloads of decisions are those of the ids taken last, all of them in order, without an ``await`` between;
        ``ids.take_many`` takes them together. It is told a number ``kept``. With ``shed`` the first ``kept`` records
        are in the journal and the others were shed. With ``drop`` all may be answered, but those after the first
        ``kept`` were dropped (records that a stalled disk takes later count as kept until they turn out to be lost).
        Counters count records. :class:`TooLarge`, and nothing appended, when they make more than ``MAX_RECORD`` bytes
        together: hand records so large over one by one.
        """
        count = len(payloads)
        first = self._sequences(kind, count)
        size = OVERHEAD * count + sum(map(len, payloads))
        if size > MAX_RECORD:
            raise _too_large(size)
        if self._blocked or self._pending + size > self._settings.pending_bytes:
            payloads, size = self._admit(payloads)
            if on_full == "shed":
                self.counters.shed += count - len(payloads)
            else:
                self.counters.dropped += count - len(payloads)
        waits = self._settings.durability != "none" and bool(payloads)
        if payloads:
            self._enqueue(_Entry(kind, first, payloads, size, promise if waits else None, on_full, True), at_once=True)
        if not waits:
            promise.set_result(len(payloads))

    def seal(self) -> None:
        """Have the open segment ended, so that it may be compacted or rewritten; what comes goes into another."""
        if not self._closed:
            self._writer.seal()

    async def close(self, timeout: float = 5.0) -> bool:
        """Write what is pending and seal the segment; False if that took longer than ``timeout`` seconds."""
        if self._closed:
            return True
        self._closed = True
        stopped = self._loop.create_future()
        try:
            async with asyncio.timeout(timeout):
                while self._queue or self._flight:
                    self._drained = self._loop.create_future()
                    self._flush()
                    await self._drained
                self._writer.stop(lambda: self._soon(stopped.set_result, None))
                await stopped
        except TimeoutError:
            self._release()
            return False
        finally:
            if self._watch is not None:
                self._watch.cancel()
        return True

    @property
    def _blocked(self) -> bool:
        return self._stalled or self._failing or self._closed

    def _sequences(self, kind: RecordKind, count: int) -> int:
        """The first sequence of ``count`` records; outcomes take theirs here, decisions have taken it as their id."""
        ids = self.ids
        if kind is not RecordKind.DECISION:
            ids.skip(count)
        first = ids.last - count + 1
        if first <= self._last:
            raise ValueError("a decision must be appended right after its id was taken, each once and in order")
        self._last = ids.last
        return first

    def _admit(self, payloads: Sequence[bytes]) -> tuple[Sequence[bytes], int]:
        """The first of the records that memory has room for, and their size; one if nothing else is pending."""
        size = 0
        for index, payload in enumerate(payloads):
            more = size + OVERHEAD + len(payload)
            held = self._pending + size
            if self._blocked or (held and self._pending + more > self._settings.pending_bytes):
                return payloads[:index], size
            size = more
        return payloads, size

    def _enqueue(self, entry: _Entry, *, at_once: bool = False) -> None:
        self._queue.append(entry)
        self._pending += entry.size
        if at_once:
            self._flush()
        elif not self._scheduled and not self._flight:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._flight or not self._queue:
            return
        self._flight, self._queue = self._queue, []
        newest = self._flight[-1]
        self._writer.put(Batch(self._flight, newest.first + len(newest.payloads) - 1))

    # --- from the writer's thread into the loop -------------------------------------------------------

    def _soon(self, callback: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *args)

    def _written_soon(self, good: int, size: int, error: OSError | None) -> None:
        self._soon(self._written, good, size, error)

    def _recovered_soon(self) -> None:
        self._soon(self._recovered)

    def _written(self, good: int, size: int, error: OSError | None) -> None:
        """The first ``good`` records of the batch, ``size`` bytes, are kept; the others are lost."""
        batch, self._flight = self._flight, []
        self._stalled = False
        counters = self.counters
        counters.batches += 1
        counters.appended += good
        counters.written_bytes += size
        if error is None:
            for entry in batch:
                self._pending -= entry.size
                entry.done()
        else:
            self._failing = True
            counters.errors += 1
            lost, self._queue = batch + self._queue, []
            self._pending = 0
            for entry in lost:
                kept = min(good, len(entry.payloads))
                good -= kept
                self._lose(entry, kept)
            self._on_error(error)
        self._flush()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _recovered(self) -> None:
        self._failing = False

    # --- when the disk does not keep up ---------------------------------------------------------------

    def _check(self) -> None:
        """Notice, by a timer, a write that has not come back for ``stall_ms``."""
        stall = self._settings.stall_ms / 1000
        if not self._blocked and self.lag >= stall:
            self._stalled = True
            self.counters.stalls += 1
            self._release()
            self._on_error(JournalError(f"Writing the journal takes longer than {self._settings.stall_ms:g} ms."))
        self._watch = self._loop.call_later(stall / 4, self._check)

    def _release(self) -> None:
        """Nobody waits for a stalled disk: the answers of ``drop`` go, their records follow; those of ``shed`` fail."""
        queue, self._queue = self._queue, []
        for entry in self._flight + queue:
            if entry.promise is None:
                continue
            if entry.on_full == "shed":
                self._lose(entry)
            elif not entry.promise.done():
                self.counters.late += len(entry.payloads)
                entry.done()
        self._queue = [entry for entry in queue if entry.on_full != "shed" or entry.promise is None]
        self._pending = sum(entry.size for entry in self._flight + self._queue)

    def _lose(self, entry: _Entry, kept: int = 0) -> None:
        """All but the first ``kept`` records will not be written: fail their answers or, to ``drop``, let them go;
        count each once."""
        promise = entry.promise
        lost = len(entry.payloads) - kept
        waiting = promise is not None and not promise.done()
        if entry.on_full != "shed" or promise is None:
            self.counters.dropped += lost
        elif waiting:
            self.counters.shed += lost
        if promise is None or not waiting:
            return
        if entry.many:
            promise.set_result(kept)
        elif lost and entry.on_full == "shed":
            promise.set_exception(_overloaded())
        else:
            promise.set_result(not lost)


def _overloaded() -> Overloaded:
    return Overloaded(
        "The decision cannot be recorded now: the journal's disk is full, failing or stalled; retry later."
    )


def _too_large(size: int) -> TooLarge:
    return TooLarge(f"A journal record may have {MAX_RECORD} bytes; got {size}. Send fewer rows per request.")
