"""The journal of one worker: a record is acknowledged only when the kernel has it (``durability: process``).

The event loop never touches the disk. :meth:`Journal.append` hands a record to a daemon thread, which writes all
that came together in one ``write`` and acknowledges it in one call back into the loop. A segment in which a write
failed is given up, never repaired: the bytes a reader has seen stay as they are, and no torn record has another
behind it. While the disk is full, failing or stalled the journal is *blocked*; it recovers by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quorate.clock import Clock
from quorate.codecs.journal import MAX_RECORD, OVERHEAD, RecordKind
from quorate.codecs.snapshot import JournalSettings
from quorate.errors import TooLarge
from quorate.ids import IdSource
from quorate.serving.segments import SegmentFile, SegmentWriter


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


class _Entry:
    """One record that was appended; ``future`` is None when nobody waits for it."""

    __slots__ = ("future", "kind", "on_full", "payload", "sequence")

    def __init__(
        self, kind: int, sequence: int, payload: bytes, future: asyncio.Future[None] | None, on_full: str
    ) -> None:
        self.kind = kind
        self.sequence = sequence
        self.payload = payload
        self.future = future
        self.on_full = on_full


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
        self._pending = 0
        self._last = -1
        self._blocked = True
        self._failing = False
        self._loop: asyncio.AbstractEventLoop
        self._watch: asyncio.TimerHandle | None = None

    @property
    def boot(self) -> int:
        """How many times this slot was started before."""
        return self.ids.boot

    def start(self) -> None:
        """Start the writer thread and the stall watch on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._writer.start()
        self._blocked = False
        self._check()

    def accepts(self) -> bool:
        """Whether a record appended now would be written: started, not blocked, and room in memory."""
        return not self._blocked and self._pending < self._settings.pending_bytes

    def append(
        self, payload: bytes, kind: RecordKind = RecordKind.DECISION, *, on_full: str = "drop"
    ) -> asyncio.Future[None] | None:
        """Hand a record to the writer; wait for the future (if any) before answering.

        A decision must be appended right after its id was taken from ``ids``, without an ``await`` between.
        Where the record cannot be kept, ``on_full`` decides: ``drop`` counts it and lets the answer go,
        ``shed`` raises :class:`Overloaded`, here or through the future. The record of a request that was shed may
        still be found in the journal: it was being written when the disk stalled. :class:`TooLarge` for a record
        that no segment may hold.
        """
        sequence = self.ids.last if kind is RecordKind.DECISION else self.ids.take().sequence
        if sequence <= self._last:
            raise ValueError("a decision must be appended right after its id was taken, each once and in order")
        self._last = sequence
        size = OVERHEAD + len(payload)
        if size > MAX_RECORD:
            raise TooLarge(f"A journal record may have {MAX_RECORD} bytes; got {size}. Send fewer rows per request.")
        # One record larger than the whole bound is let in when nothing else is pending: it could never be kept otherwise.
        if self._blocked or (self._pending and self._pending + size > self._settings.pending_bytes):
            return self._refuse(on_full)
        future = None if self._settings.durability == "none" else self._loop.create_future()
        self._queue.append(_Entry(kind, sequence, payload, future, on_full))
        self._pending += size
        if not self._scheduled and not self._flight:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        return future

    async def close(self, timeout: float = 5.0) -> bool:
        """Write what is pending and seal the segment; False if that took longer than ``timeout`` seconds."""
        if self._watch is None:
            return True
        self._blocked = True
        try:
            async with asyncio.timeout(timeout):
                while self._queue or self._flight:
                    await asyncio.wait(...)
        except TimeoutError:
            ...
        return True

    def _refuse(self, on_full: str) -> None:
        if on_full == "shed":
            self.counters.shed += 1
            raise _overloaded()
        self.counters.dropped += 1
