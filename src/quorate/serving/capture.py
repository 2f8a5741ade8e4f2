"""Capturing inputs: what a request sent is kept beside its decision, off the event loop, and never at its expense.

A captured input waits in bounded memory for a thread that redacts, encodes and writes it. Where there is no room, or
the disk fails, it is dropped and counted; the request never notices. Segments are those of the journal, below
``captures/<endpoint>/<slot>``, named by the boot and the sequence of the decisions they belong to.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from quorate.clock import Clock
from quorate.codecs import capture as codec
from quorate.codecs.capture import Capture, weigh
from quorate.codecs.journal import MAX_RECORD, OVERHEAD, RecordKind
from quorate.codecs.snapshot import JournalSettings
from quorate.core.capture import DROPPED, KEPT
from quorate.core.types import Decision
from quorate.errors import QuorateError
from quorate.ids import DecisionId
from quorate.serving.call import Call
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.segments import Batch, SegmentFile, SegmentWriter
from quorate.serving.treatment import Treatment

log = logging.getLogger("quorate.serving")

PENDING_BYTES = 32 * 1024 * 1024
"""Bytes of inputs that a worker holds for the disk at most."""
MOST_OPEN = 64
"""Endpoints whose segments are open at once; that of the one used least recently is closed."""
PAUSE_S = 1.0
"""How long nothing is taken after a write has failed."""
_AT_ONCE = 64
_NICE = 10

Count = Callable[[str, str, float], None]
"""Counts captured inputs of an endpoint by what became of them: kept, dropped, lost, unreadable."""


class _Offer(NamedTuple):
    """An input on its way to the thread."""

    capture: Capture
    raw: dict[str, object]
    treatment: Treatment
    max_pixels: int
    size: int


class _Written(NamedTuple):
    """One record, as segments want it."""

    kind: int
    first: int
    payloads: Sequence[bytes]
    framed: None = None


class CaptureDesk:
    """Takes the inputs of one worker's decisions; its methods belong to the event loop.

    ``boot`` is the journal's. ``pending_bytes`` bounds what waits. ``create`` makes segment files.
    """

    def __init__(
        self,
        folder: Path,
        slot: int,
        boot: int,
        settings: JournalSettings,
        clock: Clock,
        *,
        pending_bytes: int = PENDING_BYTES,
        create: Callable[[Path], SegmentFile] = SegmentFile,
    ) -> None:
        self._folder = folder
        self._place = (slot, boot)
        self._settings = settings
        self._clock = clock
        self._create = create
        self._limit = pending_bytes
        self._offered = 0  # bytes handed over: the loop's own count
        self._done = 0  # bytes the thread is through with: its own
        self._results: Counter[tuple[str, str]] = Counter()  # of each key one thread adds
        self._told: Counter[tuple[str, str]] = Counter()
        self._closed_until = 0.0
        self._queue: SimpleQueue[_Offer | None] = SimpleQueue()
        self._to_seal = threading.Event()
        self._open: OrderedDict[str, _Segments] = OrderedDict()
        self._thread: threading.Thread | None = None

    @property
    def pending_bytes(self) -> int:
        """Bytes of inputs that were taken and are not written yet."""
        return self._offered - self._done

    def take(self, endpoint: LoadedEndpoint, call: Call, decision: Decision, recorded: Decision) -> Decision:
        """Have a decision's input kept, if the endpoint's rule wants it; ``recorded`` with ``capture`` saying so.

        ``recorded`` is the decision as the journal is to have it: its context and unit are kept with the input.
        """
        treatment = endpoint.capture
        if treatment is None or not treatment.rule.wants(decision):
            return recorded
        size = max(call.size, weigh(call.raw))
        full = self.pending_bytes and self.pending_bytes + size > self._limit
        if full or self._clock.monotonic() < self._closed_until or size > MAX_RECORD - OVERHEAD:
            self._results[endpoint.name, DROPPED] += 1
            return recorded._replace(capture=DROPPED)
        capture = Capture(
            decision.id,
            decision.endpoint,
            decision.revision,
            decision.arrived,
            decision.rows,
            treatment.rule.sample,
            {},
            treatment.rule.only,
            recorded.context,
            recorded.unit,
            treatment.removed,
            treatment.hashed,
        )
        self._offered += size
        self._queue.put(_Offer(capture, dict(call.raw), treatment, endpoint.pool.max_pixels, size))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
            self._thread.start()
        return recorded._replace(capture=KEPT)

    def observe(self, count: Count) -> None:
        """Count what became of captured inputs since the last time."""
        for key, number in list(self._results.items()):
            if number > self._told[key]:
                count(*key, number - self._told[key])
                self._told[key] = number

    def seal(self) -> None:
        """Have every open segment ended, so that it may be rewritten; the next input begins another."""
        if self._thread is not None:
            self._to_seal.set()
            self._queue.put(None)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is pending and end the segments; False if that took longer than ``timeout`` seconds."""
        thread, self._closed_until = self._thread, float("inf")
        if thread is None:
            return True
        self._queue.put(None)
        thread.join(timeout)
        return not thread.is_alive()

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        with suppress(AttributeError, OSError):  # Linux has priorities for threads
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            first = self._queue.get()
            if first is None:
                if self._to_seal.is_set():
                    self._to_seal.clear()
                    self._end_all()
                    continue
                break
            offers, ending = self._gathered(first)
            self._write(offers)
            if ending:
                self._queue.put(None)  # again, after what came before it
        self._end_all()

    def _gathered(self, first: _Offer) -> tuple[list[_Offer], bool]:
        offers = [first]
        with suppress(Empty):
            while len(offers) < _AT_ONCE:
                more = self._queue.get_nowait()
                if more is None:
                    return offers, True
                offers.append(more)
        return offers, False

    def _end_all(self) -> None:
        while self._open:
            self._open.popitem()[1].end()

    def _write(self, offers: Sequence[_Offer]) -> None:
        groups: dict[str, list[_Written]] = {}
        for offer in offers:
            capture = offer.capture
            try:
                inputs = offer.treatment.apply(offer.raw, max_pixels=offer.max_pixels)
                payload = codec.encode(capture._replace(inputs=inputs))
            except QuorateError:
                self._results[capture.endpoint, "unreadable"] += 1
            except Exception:  # a bug of ours loses this input, not those that come after it
                self._results[capture.endpoint, "unreadable"] += 1
                log.exception("The input of decision %s cannot be kept", capture.id)
            else:
                record = _Written(RecordKind.CAPTURE, DecisionId.parse(capture.id).sequence, (payload,))
                groups.setdefault(capture.endpoint, []).append(record)
        for endpoint, records in groups.items():
            self._put(endpoint, records)
        self._done += sum(offer.size for offer in offers)

    def _put(self, endpoint: str, records: Sequence[_Written]) -> None:
        good, error = 0, None
        try:
            good, error = self._segments(endpoint, records[0].first).write(Batch(records, records[-1].first))
        except OSError as caught:  # no segment could be begun
            error = caught
        self._results[endpoint, KEPT] += good
        self._results[endpoint, "lost"] += len(records) - good
        if error is not None:
            self._closed_until = max(self._closed_until, self._clock.monotonic() + PAUSE_S)
            log.error(
                "Captured inputs of '%s' cannot be written, %d are lost: %s", endpoint, len(records) - good, error
            )

    def _segments(self, endpoint: str, first: int) -> _Segments:
        found = self._open.get(endpoint)
        if found is None:
            slot, boot = self._place
            folder = self._folder / endpoint / str(slot)
            found = _Segments(folder, slot, boot, first, self._settings, self._clock, self._create)
            self._open[endpoint] = found
        self._open.move_to_end(endpoint)
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)[1].end()
        return found


class _Segments(SegmentWriter):
    """The segments of one endpoint, written by the thread that calls."""

    def __init__(
        self,
        folder: Path,
        slot: int,
        boot: int,
        first: int,
        settings: JournalSettings,
        clock: Clock,
        create: Callable[[Path], SegmentFile],
    ) -> None:
        self._outcome: tuple[int, OSError | None] = (0, None)
        super().__init__(folder, slot, settings, clock, create, self._note, lambda: None, begin=(boot, first))

    def write(self, batch: Batch) -> tuple[int, OSError | None]:
        """Write a batch; how many of its records are kept, and what stopped the others."""
        if self._file is None:
            self._recover()
        self._keep(batch)
        return self._outcome

    def end(self) -> None:
        """Declare the open segment complete."""
        with suppress(OSError):
            self._finish()

    def _note(self, good: int, size: int, error: OSError | None) -> None:
        self._outcome = (good, error)
