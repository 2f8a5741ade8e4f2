"""Batches what is already waiting: requests that want the same unit at the same time share one run of it.

A lone request never waits for company. On the event loop the runs of one turn are joined; in threads and member
processes what arrives during a run makes up the next one. How much is joined follows the measured cost: as many rows
as make a row notably cheaper, and no more than the lane should be held for.

A run that fails is halved until the item that spoils it is alone. An item whose request has left, or whose deadline
has come, is not run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from quorate.clock import Clock
from quorate.core.types import FloatArray, OutputSpec
from quorate.errors import MemberError
from quorate.serving.batch import Batch, Part
from quorate.serving.cost import Cost, Curve
from quorate.serving.feed import Feed, Prepare, joined, prepare_all
from quorate.serving.lanes import ThreadLane
from quorate.serving.line import Line
from quorate.serving.units import HostUnit, InProcessUnit
from quorate.serving.work import Awaited, NotRun, NotStarted, Run, Work

log = logging.getLogger("quorate.serving")

MAX_ROWS = 1024
"""Rows of different requests that are joined at most."""
GRACE_S = 0.005
"""What runs on the event loop is so quick that a deadline which has just passed is no reason to refuse an answer."""
_RECENT = 0.1  # the weight of the newest measurement
RUN_MS = 2.0
"""How long one run may hold the event loop: of shorter ones there are more, and each has its own price."""
TURN_S = 0.005
"""How long the event loop runs what is in line before it reads again: less, and under load it would only read."""
HOLD_MS = 20.0
"""How long a joined run may hold a thread or a member process, where a single item does not take longer."""


Results = list[tuple[Work, Part | Exception]]
OnRun = Callable[[int, int, float], None]


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
        self._joins = unit.joins
        self._cap = unit.max_rows or MAX_ROWS
        self._inline: Line[Work] = Line()
        self._line: Line[Work] = Line()
        self._scheduled = False
        self._makes_way = False
        self._afterwards: list[Callable[[], None]] = []
        self._runs: dict[asyncio.Task[None], Run] = {}
        self._prepare_ms = 0.0  # a row, where that is done here
        self.cost = unit.cost
        """Of a run with the preparation of its rows."""
        self._most = 1  # rows that are worth joining, of which enough is known
        self._learn()

    def _learn(self) -> None:
        """What follows from the measurements so far; they change with every run, and are asked for more often."""
        measured = self.curve.cost
        cost = self.cost = Cost(measured.fixed_ms, measured.row_ms + self._prepare_ms)
        most = min(self._cap, cost.enough_rows, cost.rows_within(max(HOLD_MS, cost.of(1))), 2 * self.curve.largest)
        self._most = max(1, most)

    @property
    def backlog_ms(self) -> float:
        """How long what is in line will take, as far as is known."""
        waiting = self._inline.rows + self._line.rows
        if not waiting:
            return 0.0
        cost = self.cost
        runs = 1 + (waiting - 1) // self._most
        return (runs * cost.fixed_ms + waiting * cost.row_ms) / self._width

    def within_ms(self, rows: int) -> float:
        """How long so many rows take from now on, of which nineteen in twenty runs are quicker: with what is in line,
        and a run under way where there is no room beside it."""
        busy = self.cost.of(1) if self._runs and self._busy() >= self._width else 0.0
        return self.backlog_ms + busy + self.curve.p95(rows) + self._prepare_ms * rows

    def prompt(self, rows: int) -> bool:
        """Whether so many rows run on the event loop."""
        return isinstance(self.unit, InProcessUnit) and self.curve.inline(rows)

    def submit(self, feed: Feed, *, until: float, fault_after: float, owner: str, bulk: bool) -> Awaited:
        """Put a request in line; wait for the work's future."""
        future: asyncio.Future[Part] = asyncio.get_running_loop().create_future()
        work = Awaited(feed, future, until=until, fault_after=fault_after, owner=owner, bulk=bulk)
        if self.prompt(feed.rows):
            self.put(work)
        else:
            self._line.put(work)
            self.pump()
        return work

    def afterwards(self, follow_up: Callable[[], None]) -> None:
        """Have something done when all promises of the run that is being delivered are kept."""
        self._afterwards.append(follow_up)

    def put(self, work: Work) -> None:
        """Put in line what is :meth:`prompt`."""
        work.prompt = True
        self._inline.put(work)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def make_way(self) -> None:
        """Answers were just given: they go before the next run. The loop sends at the end of its turn, and a run that
        is due in the same one would hold them up."""
        self._makes_way = self._scheduled

    def _take(self, line: Line[Work], limit: int) -> list[Work]:
        """The next works that are still wanted."""
        works = []
        now = self._clock.monotonic()
        for work in line.take(limit):
            if work.promise.done():
                continue
            if work.until + (GRACE_S if work.prompt else 0.0) <= now:
                work.promise.set_exception(NotStarted("It had not been started at the deadline."))
                continue
            work.started = now
            works.append(work)
        return works

    # --- on the event loop ---

    def _at_once(self) -> int:
        """Rows that one run on the loop may have: what takes ``RUN_MS``, or twice as long as a lone one.

        On a busy machine a lone one may be measured at a millisecond. Runs of one row would keep it busy.
        """
        cost = self.cost
        return min(self._cap, max(cost.rows_within(RUN_MS), cost.rows_within(2 * cost.of(1)))) if self._joins else 0

    def _turn(self) -> None:
        """Run what this turn of the loop brought, as far as the loop should be held; the rest next turn."""
        assert isinstance(self.unit, InProcessUnit)  # noqa: S101 - others are never put in line here
        if self._makes_way:
            self._makes_way = False
            asyncio.get_running_loop().call_soon(self._turn)
            return
        until = self._clock.monotonic() + TURN_S
        while True:
            works = self._take(self._inline, self._at_once())
            if works:
                try:
                    results = self._compute(works, None)
                except Exception as error:  # ours, and every item's
                    results = [(work, error) for work in works]
                self._deliver(results)
            if not self._inline.count:
                self._scheduled = self._makes_way = False
                break
            if self._clock.monotonic() >= until:
                asyncio.get_running_loop().call_soon(self._turn)
                break
        self._follow_up()  # what was too late to run was told so, too

    def _follow_up(self) -> None:
        afterwards, self._afterwards = self._afterwards, []
        for follow_up in afterwards:
            try:
                follow_up()
            except Exception:
                log.exception("What follows a run failed")

    def _compute(self, works: Sequence[Work], run: Run | None) -> Results:
        """Prepare and run works in this thread."""
        started = self._clock.monotonic()
        if run is not None:
            run.began = started
        results, ready = self._prepared(works)
        return results + (_halving(ready, self._attempt) if ready else [])

    def _prepared(self, works: Sequence[Work]) -> tuple[Results, list[Work]]:
        """Prepare the inputs; those that were refused, and those that can run."""
        fresh = sum(work.feed.rows for work in works if work.feed.tensors is None)
        if fresh:
            started = self._clock.monotonic()
            prepare_all([work.feed for work in works], self._prepare)
            took = (self._clock.monotonic() - started) * 1000 / fresh
            self._prepare_ms += (_RECENT if self._prepare_ms else 1.0) * (took - self._prepare_ms)
            self._learn()
        refused: Results = []
        ready = []
        for work in works:
            if work.feed.refused is not None:
                refused.append((work, work.feed.refused))
            else:
                ready.append(work)
        return refused, ready

    def _attempt(self, works: Sequence[Work]) -> Batch:
        unit = self.unit
        assert isinstance(unit, InProcessUnit)  # noqa: S101
        started = self._clock.monotonic()
        values = unit.run(joined([work.feed for work in works], unit.feed))
        return self._batch(values, works, started)

    def _batch(self, values: FloatArray, works: Sequence[Work], started: float) -> Batch:
        elapsed = (self._clock.monotonic() - started) * 1000
        return Batch(values, self._output, started, elapsed, [work.feed for work in works])

    # --- in threads and processes ---

    def pump(self) -> None:
        """Start the next run if there is room for one; called again now and then, for a run that hangs tells nobody."""
        while self._line.count and self._busy() < self._width:
            works = self._take(self._line, self._most if self._joins else 0)
            if works:
                self._start(works)

    def _busy(self) -> int:
        if not self._runs:
            return 0
        now = self._clock.monotonic()
        return sum(not run.overdue(now) for run in self._runs.values())

    def _start(self, works: list[Work]) -> None:
        run = Run(works, min(work.fault_after for work in works))
        for work in works:
            work.run = run
        unit = self.unit
        results: Awaitable[Results]
        if isinstance(unit, HostUnit):
            results = self._in_process(run, unit)
        else:
            try:
                results = self._lane.submit(lambda: self._compute(works, run), limit=run.limit)
            except MemberError as error:  # the lane is full, which is no member's fault
                self._deliver([(work, NotRun(error.message)) for work in works])
                return
        task = asyncio.ensure_future(self._finish(works, results))
        self._runs[task] = run
        task.add_done_callback(self._done)

    async def _finish(self, works: list[Work], awaited: Awaitable[Results]) -> None:
        try:
            results = await awaited
        except Exception as error:  # neither the member's nor a client's: ours, and every item's
            results = [(work, error) for work in works]
        self._deliver(results)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._runs.pop(task).works = []  # they know their run: the inputs would wait for a collection
        self.pump()

    def left(self, work: Work) -> None:
        """A request no longer waits: it counts for nothing in line; a run for nobody is withdrawn where that goes."""
        if work.started is None:
            (self._inline if work.prompt else self._line).leave(work)
        elif isinstance(self.unit, HostUnit):
            for task, run in self._runs.items():
                if all(one.promise.done() for one in run.works):
                    task.cancel()

    async def _in_process(self, run: Run, unit: HostUnit) -> Results:
        results, ready = self._prepared(run.works)
        run.began = self._clock.monotonic()
        return results + (await self._attempt_in_process(ready, unit, run.limit) if ready else [])

    async def _attempt_in_process(
        self, works: Sequence[Work], unit: HostUnit, limit: float, *, again: bool = True
    ) -> Results:
        started = self._clock.monotonic()
        until = max(work.until for work in works)
        try:
            tensors = joined([work.feed for work in works], unit.feed)
            values = await unit.run(tensors, until=until, limit=limit, again=again)
            return _parts(works, self._batch(values, works, started))
        except Exception as error:
            if len(works) == 1:
                return [(works[0], error)]
        middle = len(works) // 2
        return [
            *await self._attempt_in_process(works[:middle], unit, limit, again=False),
            *await self._attempt_in_process(works[middle:], unit, limit, again=False),
        ]

    # --- what came of it ---

    def _deliver(self, results: Results) -> None:
        shared: dict[Batch, int] = {}
        for work, result in results:
            promise = work.promise
            if isinstance(result, Part):
                shared[result.batch] = shared.get(result.batch, 0) + 1
                if not promise.done():
                    promise.set_result(result)
            elif not promise.done():
                promise.set_exception(result)
        self._follow_up()
        for batch, requests in shared.items():
            rows = len(batch.values)
            self.curve.observe(rows, batch.elapsed)
            self._learn()
            self._on_run(requests, rows, batch.elapsed)


def _halving(works: Sequence[Work], attempt: Callable[[Sequence[Work]], Batch]) -> Results:
    """Run works together; where that fails, each half by itself, until what spoils it is alone."""
    try:
        return _parts(works, attempt(works))
    except Exception as error:
        if len(works) == 1:
            return [(works[0], error)]
    middle = len(works) // 2
    return _halving(works[:middle], attempt) + _halving(works[middle:], attempt)


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
