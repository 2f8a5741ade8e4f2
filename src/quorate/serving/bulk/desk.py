"""The batch endpoint without a transport: a body comes in as pieces, the answer leaves as pieces."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorate.codecs import batch as rows_codec
from quorate.codecs.batch import ARROW, NDJSON, PARQUET, RowWriter
from quorate.core.types import Signature
from quorate.errors import MemberError, NotReady, Overloaded, QuorateError, UnsupportedMediaType
from quorate.serving import abstaining
from quorate.serving.bulk.feed import Feed
from quorate.serving.bulk.meters import BulkMeters
from quorate.serving.bulk.ndjson import NdjsonSource
from quorate.serving.bulk.parts import Part, Source
from quorate.serving.bulk.scorer import Row, Scorer, Wish
from quorate.serving.bulk.tables import ArrowSource, ParquetSource, load_arrow, need_arrow
from quorate.serving.forms import query_options
from quorate.serving.inputs import Options
from quorate.serving.lanes import ThreadLane
from quorate.serving.plane import Plane
from quorate.web.limits import ClientDisconnected
from quorate.web.problem import INTERNAL_DETAIL

log = logging.getLogger("quorate.serving")

Headers = list[tuple[bytes, bytes]]

AT_ONCE = 2
"""Micro-batches under way: so many of one batch, and so many of all batches of a worker."""

STREAMS = 64
"""Batches of a worker at a time; each holds about a mebibyte of input and as much of its answer."""

THREADS = 2
HEAVY_BYTES = 64 * 1024
HEAVY_ROWS = 64

_DEFAULT = {NDJSON: NDJSON, ARROW: ARROW, PARQUET: ARROW}
_NAMES = {"application/ndjson": NDJSON, "application/jsonl": NDJSON, "application/x-jsonlines": NDJSON}
_NAMES |= {"application/x-parquet": PARQUET}


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A batch as a transport understood it; ``source`` is its body."""

    endpoint: str
    source: AsyncIterator[bytes]
    media_type: str
    query: bytes = b""
    accept: bytes | None = None
    encoding: bytes | None = None
    request_id: str = ""
    traceparent: str | None = None


class BulkDesk:
    """Scores batches for one worker; ``spool`` is where Parquet files lie while they are read.

    ``ready`` is asked again and again: a worker that drains ends its batches early, and says so in the summary.
    """

    def __init__(self, plane: Plane, *, spool: Path | None = None, ready: Callable[[], bool] = lambda: True) -> None:
        self._plane = plane
        self._spool = spool
        self._ready = ready
        self._meters = BulkMeters(plane.meters.counters)
        self._rng = random.Random()
        self._turn: asyncio.Semaphore | None = None
        self._lane: ThreadLane | None = None
        self._streams = 0

    async def score(self, request: BatchRequest) -> tuple[Headers, AsyncIterator[bytes]]:
        """Read what must be known before an answer can begin; then the headers, and the answer to iterate over.

        Close the iterator (``aclose``) when nobody takes more: scoring stops. Raises client errors about the request
        as a whole; later ones end the answer with a summary that says ``complete: false``.
        """
        form = _NAMES.get(request.media_type, request.media_type)
        if form not in _DEFAULT:
            raise UnsupportedMediaType(
                f"'{request.media_type[:64]}' is not read here; expected {NDJSON}, {ARROW} or {PARQUET}.",
                path="Content-Type",
            )
        answer = _accepted(request.accept, form)
        for name in {form, answer} - {NDJSON}:
            need_arrow(name)
        if {form, answer} != {NDJSON}:
            await self._in_thread(load_arrow)
        options, context = query_options(request.query)
        signature = self._signature(request.endpoint, form, options, context)
        if self._streams >= STREAMS:
            raise Overloaded(f"This worker has {STREAMS} batches under way already; retry later.", retry_after=5.0)
        wish = Wish(
            request.endpoint,
            options.strategy,
            options.max_ms,
            options.min_confidence,
            context,
            request.request_id,
            request.traceparent,
        )
        limits = self._plane.generation.limits
        feed = Feed(request.source, total=limits.batch_bytes, encoding=request.encoding)
        self._count(1)
        try:
            source: Source
            if form == NDJSON:
                source = NdjsonSource(feed, limits)
            elif form == ARROW:
                source = await ArrowSource.open(feed, signature, limits, self._in_thread)
            else:
                source = await ParquetSource.open(feed, signature, limits, self._in_thread, self._spool)
        except BaseException:
            self._count(-1)
            await feed.close()
            raise
        writer = rows_codec.writer(answer)
        return [(b"content-type", answer.encode())], self._answer(feed, source, wish, writer)

    def _signature(self, name: str, form: str, options: Options, context: Mapping[str, Any]) -> Signature:
        """What rows are read as; of a front, what all its endpoints take, which lines of NDJSON need not be."""
        with self._plane.pinned():
            front = self._plane.generation.fronts.get(name)
            if front is None:
                endpoint = self._plane.endpoint(name)
                if options.strategy is not None:
                    endpoint.choose(options.strategy, context, lambda: 0.0)
                if options.min_confidence is not None:
                    abstaining.check(endpoint)
                return endpoint.pool.route.signature
            if front.signature is None and form != NDJSON:
                raise UnsupportedMediaType(
                    f"'{name}' is a front over endpoints of different inputs or outputs, so its rows are not one "
                    f"table; send them as {NDJSON}.",
                    path="Content-Type",
                )
            return front.pool.route.signature

    def _count(self, step: int) -> None:
        self._streams += step
        self._meters.streams.set(self._streams)

    async def _answer(self, feed: Feed, source: Source, wish: Wish, writer: RowWriter) -> AsyncIterator[bytes]:
        """The answer's bytes; at most ``AT_ONCE`` micro-batches are ahead of whoever takes them."""
        scorer = Scorer(
            self._plane,
            wish,
            turn=self._semaphore(),
            aside=self._aside,
            retried=lambda: self._meters.retried(wish.endpoint),
            rng=self._rng,
        )
        answered = failed = 0
        result, ending = "left", None
        parts = _Ahead(source, scorer, self._ready)
        try:
            try:
                while (rows := await parts.next()) is not None:
                    bad = sum("error" in row for row in rows)
                    answered, failed = answered + len(rows) - bad, failed + bad
                    self._meters.rows(wish.endpoint, len(rows) - bad, bad)
                    if data := await self._written(writer, rows):
                        yield data
                result = "complete"
            except QuorateError as error:
                result, ending = "broken", _described(error)
            except ClientDisconnected:
                raise
            except Exception:
                log.exception("A batch of %s failed (%s)", wish.endpoint, wish.request_id)
                result, ending = "broken", {"code": "internal", "detail": INTERNAL_DETAIL}
            summary: dict[str, Any] = {"rows": answered + failed, "answered": answered, "failed": failed}
            summary["complete"] = ending is None
            if ending is not None:
                summary["error"] = ending
            if source.ignored:
                summary["ignored"] = list(source.ignored)
            yield writer.end(summary)
        finally:
            self._meters.ended(wish.endpoint, result)
            self._count(-1)
            await parts.close()
            await feed.close()
            source.close()

    async def _written(self, writer: RowWriter, rows: Sequence[Row]) -> bytes:
        if len(rows) <= HEAVY_ROWS or isinstance(writer, rows_codec.NdjsonWriter):
            return writer.rows(rows)
        written: bytes = await self._in_thread(lambda: writer.rows(rows))
        return written

    def _semaphore(self) -> asyncio.Semaphore:
        if self._turn is None:
            self._turn = asyncio.Semaphore(AT_ONCE)
        return self._turn

    async def _aside(self, size: int, function: Callable[[], Any]) -> Any:
        return await self._in_thread(function) if size > HEAVY_BYTES else function()

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        if self._lane is None:  # made at the first use: most workers never see a batch
            self._lane = ThreadLane(THREADS, clock=self._plane.clock, name="bulk")
        try:
            work = self._lane.submit(function)
        except MemberError as error:
            raise Overloaded(error.message) from None
        return await work


class _Ahead:
    """Parts being scored, in order; a new one begins only when somebody asks for the next."""

    def __init__(self, source: Source, scorer: Scorer, ready: Callable[[], bool]) -> None:
        self._source = source
        self._scorer = scorer
        self._ready = ready
        self._taken: deque[Part] = deque()
        self._tasks: deque[asyncio.Task[list[Row]]] = deque()
        self._reading: asyncio.Task[Sequence[Part] | None] | None = None
        self._ended = False
        self._error: Exception | None = None

    async def next(self) -> list[Row] | None:
        """The rows of the next part; None at the end. What broke the source is raised after the rows before it."""
        while True:
            while self._taken and len(self._tasks) < AT_ONCE:
                self._tasks.append(asyncio.create_task(self._scorer.score(self._taken.popleft())))
            if not self._ended and self._reading is None and len(self._tasks) < AT_ONCE:
                if not self._ready():
                    raise NotReady("This worker is draining; send the rows that have no answer again.")
                self._reading = asyncio.create_task(self._source.take(self._scorer.rows_per_call))
            waiting: list[asyncio.Task[Any]] = [*list(self._tasks)[:1], *([self._reading] if self._reading else [])]
            if not waiting:
                if self._error is not None:
                    raise self._error
                return None
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._reading is not None and self._reading.done():
                self._took(self._reading)
                self._reading = None
            elif self._tasks and self._tasks[0].done():
                return self._tasks.popleft().result()

    def _took(self, reading: asyncio.Task[Sequence[Part] | None]) -> None:
        try:
            parts = reading.result()
        except Exception as error:
            self._ended, self._error = True, error
            return
        if parts is None:
            self._ended = True
        else:
            self._taken.extend(parts)

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = [*self._tasks, *([self._reading] if self._reading else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _accepted(accept: bytes | None, form: str) -> str:
    """The media type of the answer: the first that is accepted of those there are, else the input's own."""
    wanted = [part.partition(b";")[0].strip().lower().decode("latin-1") for part in (accept or b"*/*").split(b",")]
    for name in wanted:
        found = _NAMES.get(name, name)
        if found in _DEFAULT:
            return found
        if found in ("*/*", "application/*", "application/json", ""):
            return _DEFAULT[form]
    raise UnsupportedMediaType(
        f"'{', '.join(wanted)[:64]}' cannot be written here; accept {NDJSON}, {ARROW} or {PARQUET}.", path="Accept"
    )


def _described(error: QuorateError) -> dict[str, str]:
    found = {"code": error.code, "detail": error.message}
    return found if error.path is None else found | {"path": error.path}
