"""Batches what is already waiting: requests that want the same unit at the same time share one run of it.

A lone request never waits for company. On the event loop the runs of one turn are joined; in threads and member
processes what arrives during a run makes up the next one. How much is joined follows the measured cost: as many rows
as make a row notably cheaper, and no more than the lane should be held for.

A run that fails is halved until the item that spoils it is alone. An item whose request has left, or whose deadline
has come, is not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from quorate.clock import Clock
from quorate.core.types import FloatArray, OutputSpec
from quorate.errors import MemberError, MemberTimeout
from quorate.serving.batch import Batch, Part
from quorate.serving.cost import INLINE_MS, Curve
from quorate.serving.feed import Feed, Prepare, joined, prepare_all
from quorate.serving.lanes import ThreadLane
from quorate.serving.line import Line
from quorate.serving.units import HostUnit, InProcessUnit

MAX_ROWS = 1024
"""Rows of different requests that are joined at most."""
HOLD_MS = 20.0
"""How long a joined run may hold a thread or a member process, where a single item does not take longer."""


class NotRun(MemberError):
    """There was no room for the run: no fault of the member's."""


class NotStarted(NotRun):
    """The deadline came while the item waited in line."""

    code = MemberTimeout.code


class Work:
    """One request's wish of one unit; ``future`` gets its :class:`Part`, or the error.

    ``started`` is None in line. ``prompt`` work runs in one of the next turns of the loop, or is told it is too late.
    """

    __slots__ = ("bulk", "fault_after", "feed", "future", "owner", "prompt", "rows", "started", "until")

    def __init__(
        self, feed: Feed, future: asyncio.Future[Part], *, until: float, fault_after: float, owner: str, bulk: bool
    ) -> None:
        self.feed = feed
        self.future = future
        self.rows = feed.rows
        self.until = until
        self.fault_after = fault_after
        self.owner = owner
        self.bulk = bulk
        self.started: float | None = None
        self.prompt = False


Results = list[tuple[Work, Part | Exception]]
OnRun = Callable[[int, int, float], None]


class _Run(NamedTuple):
    """A run under way; it does not count any more once it is ``overdue`` (monotonic seconds)."""

    works: list[Work]
    overdue: float


class Batcher:
    """The line of one unit, and what runs it; belongs to the event loop. ``on_run(requests, rows, ms)`` counts.

    At most ``width`` runs are under way in threads or in the member's process; one that is overdue does not count.
    """

    def __init__(
        self,
        unit: InProcessUnit | HostUnit,
        prepare: Prepare,
        output: OutputSpec,
        *,
        clock: Clock,
        lane: ThreadLane,
        on_run: OnRun,
        width: int = 1,
    ) -> None:
        self.unit = unit
        self.curve = Curve(unit.cost)
        self._prepare = prepare
        self._output = output
        self._clock = clock
        self._lane = lane
        self._on_run = on_run
        self._width = width
        self._inline: Line[Work] = Line()
        self._line: Line[Work] = Line()
        self._scheduled = False
        self._runs: dict[asyncio.Task[None], _Run] = {}

    @property
    def backlog_ms(self) -> float:
        """How long what is in line will take, as far as is known."""
        waiting = self._inline.rows + self._line.rows
        return self.curve.cost.of(waiting) if waiting else 0.0

    def prompt(self, rows: int) -> bool:
        """Whether so many rows run on the event loop."""
        return isinstance(self.unit, InProcessUnit) and self.curve.inline(rows)

    def submit(self, feed: Feed, *, until: float, fault_after: float, owner: str, bulk: bool) -> Work:
        """Put a request in line; wait for the work's future."""
        loop = asyncio.get_running_loop()
        work = Work(feed, loop.create_future(), until=until, fault_after=fault_after, owner=owner, bulk=bulk)
        if self.prompt(feed.rows):
            work.prompt = True
            self._inline.put(work)
            if not self._scheduled:
                self._scheduled = True
                loop.call_soon(self._turn)
        else:
            self._line.put(work)
            self._pump()
        return work

    def _take(self, line: Line[Work], limit: int) -> list[Work]:
        """The next works that are still wanted."""
        works = []
        now = self._clock.monotonic()
        for work in line.take(limit):
            if work.future.done():
                continue
            if work.until <= now:
                work.future.set_exception(NotStarted("It had not been started at the deadline."))
                continue
            work.started = now
            works.append(work)
        return works

    # --- on the event loop ---

    def _turn(self) -> None:
        """Run what this turn of the loop brought, as far as the loop should be held; the rest next turn."""
        assert isinstance(self.unit, InProcessUnit)  # noqa: S101 - others are never put in line here
        works = self._take(self._inline, self.curve.cost.rows_within(INLINE_MS))
        if self._inline.count:
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._scheduled = False
        if works:
            self._deliver(_compute(works, self.unit, self._attempt, self._prepare))

    def _attempt(self, works: Sequence[Work]) -> Batch:
        unit = self.unit
        assert isinstance(unit, InProcessUnit)  # noqa: S101
        started = self._clock.monotonic()
        values = unit.run(joined([work.feed for work in works], unit.feed))
        return self._batch(values, works, started)

    def _batch(self, values: FloatArray, works: Sequence[Work], started: float) -> Batch:
        elapsed = (self._clock.monotonic() - started) * 1000
        return Batch(values, self._output, started, elapsed)

    # --- in threads and processes ---

    def _pump(self) -> None:
        """Start the next run if there is room for one."""
        while self._line.count and self._busy() < self._width:
            works = self._take(self._line, self._most())
            if works:
                self._start(works)

    def _busy(self) -> int:
        if not self._runs:
            return 0
        now = self._clock.monotonic()
        return sum(run.overdue > now for run in self._runs.values())

    def _most(self) -> int:
        """Rows that are worth joining."""
        cost = self.curve.cost
        return max(1, min(MAX_ROWS, cost.enough_rows, cost.rows_within(max(HOLD_MS, cost.of(1)))))

    def _start(self, works: list[Work]) -> None:
        limit = max(work.fault_after for work in works)
        unit = self.unit
        run: Awaitable[Results]
        if isinstance(unit, HostUnit):
            run = self._in_process(works, unit)
        else:
            in_process = unit
            try:
                run = self._lane.submit(lambda: _compute(works, in_process, self._attempt, self._prepare), limit=limit)
            except MemberError as error:  # the lane is full, which is no member's fault
                self._deliver([(work, NotRun(error.message)) for work in works])
                return
        task = asyncio.ensure_future(self._finish(works, run))
        self._runs[task] = _Run(works, self._clock.monotonic() + limit)
        task.add_done_callback(self._done)

    async def _finish(self, works: list[Work], run: Awaitable[Results]) -> None:
        try:
            results = await run
        except Exception as error:  # neither the member's nor a client's: ours, and every item's
            results = [(work, error) for work in works]
        self._deliver(results)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._runs[task]
        self._pump()

    def left(self) -> None:
        """A request no longer waits: a run that nobody waits for is withdrawn where that is possible."""
        if isinstance(self.unit, HostUnit):
            for task, run in self._runs.items():
                if all(work.future.done() for work in run.works):
                    task.cancel()

    async def _in_process(self, works: list[Work], unit: HostUnit) -> Results:
        results, ready = _prepared(works, self._prepare)
        return results + (await self._attempt_in_process(ready, unit) if ready else [])

    async def _attempt_in_process(self, works: Sequence[Work], unit: HostUnit) -> Results:
        started = self._clock.monotonic()
        try:
            values = await unit.run(joined([work.feed for work in works], unit.feed))
            return _parts(works, self._batch(values, works, started))
        except Exception as error:
            if len(works) == 1:
                return [(works[0], error)]
        middle = len(works) // 2
        return [
            *await self._attempt_in_process(works[:middle], unit),
            *await self._attempt_in_process(works[middle:], unit),
        ]

    # --- what came of it ---

    def _deliver(self, results: Results) -> None:
        shared: dict[Batch, int] = {}
        for work, result in results:
            future = work.future
            if isinstance(result, Part):
                shared[result.batch] = shared.get(result.batch, 0) + 1
                if not future.done():
                    future.set_result(result)
            elif not future.done():
                future.set_exception(result)
        for batch, requests in shared.items():
            rows = len(batch.values)
            self.curve.observe(rows, batch.elapsed)
            self._on_run(requests, rows, batch.elapsed)


def _prepared(works: Sequence[Work], prepare: Prepare) -> tuple[Results, list[Work]]:
    """Prepare the inputs; those that were refused, and those that can run."""
    prepare_all([work.feed for work in works], prepare)
    refused: Results = []
    ready = []
    for work in works:
        if work.feed.refused is not None:
            refused.append((work, work.feed.refused))
        else:
            ready.append(work)
    return refused, ready


def _compute(
    works: Sequence[Work], unit: InProcessUnit, attempt: Callable[[Sequence[Work]], Batch], prepare: Prepare
) -> Results:
    """Prepare and run works in this thread."""
    results, ready = _prepared(works, prepare)
    return results + (_run(ready, attempt) if ready else [])


def _run(works: Sequence[Work], attempt: Callable[[Sequence[Work]], Batch]) -> Results:
    try:
        return _parts(works, attempt(works))
    except Exception as error:
        if len(works) == 1:
            return [(works[0], error)]
    middle = len(works) // 2
    return _run(works[:middle], attempt) + _run(works[middle:], attempt)


def _parts(works: Sequence[Work], batch: Batch) -> Results:
    if len(works) == 1:
        return [(works[0], Part(batch, 0, len(batch.values)))]
    results: Results = []
    start = 0
    for work in works:
        stop = start + work.rows
        results.append((work, Part(batch, start, stop)))
        start = stop
    return results
