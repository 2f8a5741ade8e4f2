"""The journal of one worker: a record is acknowledged only when the kernel has it (``durability: process``).

The event loop never touches the disk. :meth:`Journal.append` hands a record to a daemon thread, which writes all
that came together in one ``write`` and acknowledges it in one call back into the loop. A segment in which a write
failed is given up, never repaired: the bytes a reader has seen stay as they are, and no torn record has another
behind it. While the disk is full, failing or stalled the journal is *blocked*; it recovers by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from quorate.clock import Clock
from quorate.codecs.journal import MAX_RECORD, OVERHEAD, RecordKind
from quorate.codecs.snapshot import JournalSettings
from quorate.errors import JournalError, Overloaded, TooLarge
from quorate.ids import IdSource
from quorate.serving.segments import Entry, SegmentFile, SegmentWriter


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


class Journal:
    """The journal of one slot, opened for a new boot; owned by one event loop.

    ``folder`` is the root of all slots' journals. Making one creates the boot's first segment, durably; ``start``
    must be called in the loop before the first ``append``. ``on_error`` is called in the loop when the journal
    becomes blocked. ``create`` makes segment files.
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
folder / str(slot), slot, settings, clock, create, self._acknowledge_soon, self._state_soon
        )
        self.ids = IdSource(slot, self._writer.boot, clock)
        self._waiting: deque[Entry] = deque()
        self._pending = 0
        self._last = -1
        self._stalled = self._failing = self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch: asyncio.TimerHandle | None = None

    @property
    def boot(self) -> int:
        """How many times this slot was started before."""
        return self.ids.boot

    def start(self) -> None:
        """Start the writer thread and the stall watch on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._writer.start()
        self._check()

    def accepts(self) -> bool:
        """Whether a record appended now would be written: not blocked, and room in memory."""
        return not self._blocked and self._pending < self._settings.pending_bytes

    def append(
        self, payload: bytes, kind: RecordKind = RecordKind.DECISION, *, on_full: str = "drop"
    ) -> asyncio.Future[None] | None:
        """Hand a record to the writer; wait for the future (if any) before answering.

        A decision must be appended right after its id was taken from ``ids``, without an ``await`` between.
        Where the record cannot be kept, ``on_full`` decides: ``drop`` counts it and lets the answer go,
        ``shed`` raises :class:`Overloaded`, here or through the future. The record of a request that was shed may
        still be found in the journal: it was being written when the disk stalled.
        """
        sequence = self.ids.last if kind is RecordKind.DECISION else self.ids.take().sequence
        if sequence <= self._last:
            raise ValueError("a decision must be appended right after its id was taken, each once and in order")
        self._last = sequence
        if self._loop is None:
            raise JournalError("The journal was not started; call start() in the event loop first.")
        size = OVERHEAD + len(payload)
        if size > MAX_RECORD:
            raise TooLarge(f"A decision may have {MAX_RECORD} bytes; got {size}. Send fewer rows per request.")
        full = self._pending > 0 and self._pending + size > self._settings.pending_bytes
        if full or self._blocked:
            return self._refuse(on_full)
        future = None if self._settings.durability == "none" else self._loop.create_future()
        entry = Entry(kind, sequence, payload, future, on_full)
        self._pending += size
        self._waiting.append(entry)
        self._writer.queue.put(entry)
        return future

    async def close(self, timeout: float = 5.0) -> bool:
        """Write what is pending and seal the segment; False if that took longer than ``timeout`` seconds."""
        if self._loop is None or self._closed:
            return True
        self._closed = True
        done = self._loop.create_future()
        self._writer.stop(lambda: done.done() or done.set_result(None))
        try:
            async with asyncio.timeout(timeout):
                await done
        except TimeoutError:
            self._release(JournalError("The journal could not be written before the worker stopped."))
            return False
        finally:
            if self._watch is not None:
                self._watch.cancel()
        return True

    @property
    def _blocked(self) -> bool:
        return self._stalled or self._failing or self._closed

    def _refuse(self, on_full: str) -> None:
        if on_full == "shed":
            self.counters.shed += 1
            raise _overloaded()
        self.counters.dropped += 1

    # --- called by the writer thread ----------------------------------------------------------------

    def _acknowledge_soon(self, batch: list[Entry], good: int, size: int) -> None:
        self._soon(self._acknowledge, batch, good, size)

    def _state_soon(self, error: BaseException | None) -> None:
        self._soon(self._state, error)

    def _soon(self, callback: Callable[..., None], *args: object) -> None:
        assert self._loop is not None  # noqa: S101 - the thread runs only after start()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *args)

    # --- in the loop ----------------------------------------------------------------------------------

    def _acknowledge(self, batch: list[Entry], good: int, size: int) -> None:
        """``good`` first records of the oldest ``batch`` are in the kernel, ``size`` bytes; the others are lost."""
        counters = self.counters
        counters.batches += 1
        counters.appended += good
        counters.written_bytes += size
        self._stalled = False
        for index, entry in enumerate(batch):
            self._waiting.popleft()
            self._pending -= OVERHEAD + len(entry.payload)
            future = entry.future
            if index < good:
                if future is not None and not future.done():
                    future.set_result(None)
            elif not entry.cancelled:
                self._lose(entry)

    def _lose(self, entry: Entry) -> None:
        """A record will not be written: count it and let its answer go, or fail it."""
        if entry.on_full == "shed" and entry.future is not None:
            self.counters.shed += 1
            if not entry.future.done():
                entry.future.set_exception(_overloaded())
        else:
            self.counters.dropped += 1
            if entry.future is not None and not entry.future.done():
                entry.future.set_result(None)

    def _state(self, error: BaseException | None) -> None:
        self._failing = error is not None
        if error is not None:
            self.counters.errors += 1
            self._on_error(error)

    def _check(self) -> None:
        """Notice, by a timer, a write that has not come back for ``stall_ms``."""
        assert self._loop is not None  # noqa: S101 - set by start()
        stall = self._settings.stall_ms / 1000
        since = self._writer.busy_since
        if since is not None and not self._stalled and self._clock.monotonic() - since >= stall:
            self._stalled = True
            self.counters.stalls += 1
            error = JournalError(f"Writing the journal has taken longer than {self._settings.stall_ms:g} ms.")
            self._release(error)
        self._watch = self._loop.call_later(stall / 4, self._check)

    def _release(self, error: JournalError) -> None:
        """Nobody waits for a stalled disk: let the answers of ``drop`` go, fail those of ``shed``."""
        self._on_error(error)
        for entry in self._waiting:
            if entry.future is None or entry.future.done():
                continue
            if entry.on_full == "shed":
                entry.cancelled = True
                self._lose(entry)
            else:
                self.counters.late += 1
                entry.future.set_result(None)


def _overloaded() -> Overloaded:
    return Overloaded("The decision cannot be recorded now: the journal's disk is full, failing or stalled; retry later.")
