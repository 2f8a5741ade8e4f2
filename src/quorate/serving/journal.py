"""The journal of one worker: a record is acknowledged only when the kernel has it (``durability: process``).

The event loop never touches the disk. A record goes into a ring in memory that outlives the worker, and is acknowledged
at once; what has gathered there a daemon thread writes as one batch. Where there is no ring, or no room in it, records
are acknowledged when that thread has written them. A stalled disk holds nobody up: the journal is then *blocked*, as it
is while the disk is full or failing, and recovers by itself; what the ring holds is written then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from quorate.clock import Clock
from quorate.codecs.journal import MAX_RECORD, OVERHEAD, Header, RecordKind
from quorate.codecs.snapshot import JournalSettings
from quorate.errors import JournalError, Overloaded, TooLarge
from quorate.ids import IdSource
from quorate.serving.entry import Entry, JournalCounters, Kept
from quorate.serving.ring import RING_BYTES, Ring, open_ring
from quorate.serving.segments import Batch, SegmentFile, SegmentWriter

GATHER_S = 0.005
"""How long records gather for which nobody waits: under load their thread is woken two hundred times a second."""


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
        self._ring: Ring | None = None
        if settings.durability == "process":
            header = Header(slot, self._writer.boot, 0, int(clock.now() * 1e9), self._writer.salt)
            self._ring = open_ring(settings.ring, folder / str(slot), header)
        if self._ring is not None:
            self.ids.skip(1)  # the segment of that sequence always stays; one for what is owed needs another name
        self._queue: list[Entry] = []  # not yet handed to the writer
        self._flight: list[Entry] = []  # the batch being written
        self._scheduled: asyncio.Handle | None = None
        self._soonest = False  # it is for the next turn
        self._sealing = False
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
        entry = Entry(kind, first, (payload,), size, None, on_full)
        future = None
        if self._settings.durability != "none" and not self._kept_by_ring(entry):
            future = entry.promise = self._loop.create_future()
        self._enqueue(entry)
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
        waits = False
        if payloads:
            entry = Entry(kind, first, payloads, size, None, on_full, True)
            waits = self._settings.durability != "none" and not self._kept_by_ring(entry)
            if waits:
                entry.promise = promise
            self._enqueue(entry, at_once=waits)
        if not waits:
            promise.set_result(len(payloads))

    def _kept_by_ring(self, entry: Entry) -> bool:
        if self._ring is None or entry.size > RING_BYTES:
            return False
        framed = entry.frame(self._writer.salt)
        if not self._ring.put(framed):
            return False
        entry.framed = framed
        return True

    def seal(self) -> None:
        """Have the open segment ended, so that it may be compacted or rewritten; what comes goes into another."""
        if not self._closed:
            self._sealing = True
            self._flush()

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
            for handle in (self._watch, self._scheduled):
                if handle is not None:
                    handle.cancel()
            if self._ring is not None:
                self._ring.close()
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

    def _enqueue(self, entry: Entry, *, at_once: bool = False) -> None:
        self._queue.append(entry)
        self._pending += entry.size
        if at_once:
            self._flush()
        elif not self._flight:
            self._schedule(soon=entry.promise is not None)

    def _schedule(self, *, soon: bool) -> None:
        """Have the queue written in the next turn, or when more has gathered."""
        if self._scheduled is not None and (self._soonest or not soon):
            return
        if self._scheduled is not None:
            self._scheduled.cancel()
        loop, self._soonest = self._loop, soon
        self._scheduled = loop.call_soon(self._flush) if soon else loop.call_later(GATHER_S, self._flush)

    def _flush(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        if self._flight or self._failing:
            return
        if self._queue:
            self._flight, self._queue = self._queue, []
            newest = self._flight[-1]
            self._writer.put(Batch(self._flight, newest.first + len(newest.payloads) - 1))
        if self._sealing:
            self._sealing = False
            self._writer.seal()
            if self._ring is not None:
                self._ring.wipe()

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
                self._done(entry)
        else:
            self._failing = True
            counters.errors += 1
            unsure, self._queue = batch + self._queue, []
            for entry in unsure:
                kept = min(good, len(entry.payloads))
                good -= kept
                if entry.framed is None:
                    self._lose(entry, kept)
                elif kept == len(entry.payloads):
                    self._done(entry)
                else:
                    entry.after(kept, self._writer.salt)
                    self._queue.append(entry)
            self._pending = sum(entry.size for entry in self._queue)
            self._on_error(error)
        if self._closed or self._sealing or any(entry.promise is not None for entry in self._queue):
            self._flush()
        elif self._queue and not self._failing:
            self._schedule(soon=False)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _done(self, entry: Entry) -> None:
        """The disk has all its records."""
        self._pending -= entry.size
        if entry.framed is not None and self._ring is not None:
            self._ring.free()
        entry.done()

    def _recovered(self) -> None:
        self._failing = False
        self._flush()

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

    def _lose(self, entry: Entry, kept: int = 0) -> None:
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
