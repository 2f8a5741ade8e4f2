"""The processes of one member: which of them runs what, and what happens when one dies or straggles.

A run goes to the least busy process. Where the member is a pure function of its input, a run that takes longer than it
usually does is tried by an idle process as well (:mod:`quorate.serving.hedging`), and a run whose process died is tried
once more. A run has two tries at most, whatever the reason, so one that kills what runs it kills two processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import inf

from quorate.clock import Clock
from quorate.core.types import FloatArray
from quorate.errors import MemberCrashed, MemberError
from quorate.runtimes.host import MemberHost
from quorate.serving.breaker import Breaker, Circuit
from quorate.serving.cost import INLINE_MS, Cost
from quorate.serving.hedging import Hedging

RESTART_PAUSE_S = 0.1
"""Before a dead process is started again while others answer; doubles as long as it keeps dying."""

_UNMEASURED = Cost(2 * INLINE_MS, 0.0)

Send = Callable[[MemberHost], Awaitable[FloatArray]]
"""Has a process run something; its answer is checked."""


class Replica:
    """One process of a member; ``breaker`` says when it is restarted, where there are others."""

    __slots__ = ("_reviving", "breaker", "host", "limits")

    def __init__(self, host: MemberHost, clock: Clock) -> None:
        self.host = host
        self.breaker = Breaker(clock, pause=RESTART_PAUSE_S)
        self.limits: dict[object, float] = {}
        """When (monotonic seconds) the runs that somebody waits for, or that lost against another, are overdue."""
        self._reviving = asyncio.Lock()

    @property
    def usable(self) -> bool:
        """Whether it may be given runs."""
        return self.host.ready and self.breaker.state is Circuit.CLOSED

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do."""
        return self.usable and not self.load

    @property
    def load(self) -> int:
        """Runs that it has not answered: somebody waits for them, or nobody does any more."""
        return max(self.host.in_flight, len(self.limits))

    def overdue(self, now: float) -> bool:
        """Whether one of its runs takes longer than a run may."""
        return any(limit <= now for limit in self.limits.values())

    def busy(self, now: float) -> float:
        """Seconds for which it has been busy with one run."""
        since = self.host.busy_since
        return 0.0 if since is None else now - since

    async def revive(self) -> None:
        """Start the process unless it runs; raises as :meth:`MemberHost.restart`."""
        async with self._reviving:
            if not self.host.ready:
                await self.host.restart()


class Replicas:
    """Runs a member in one of several processes; belongs to the event loop.

    ``pure``: the same rows give the same answer however often and wherever they run, and nothing else happens.
    ``on_retried(code)`` is called when a fault was made good by another try, ``on_hedged(won)`` after a second try of a
    straggling run.
    """

    def __init__(self, hosts: Sequence[MemberHost], *, clock: Clock, pure: bool) -> None:
        self.all = tuple(Replica(host, clock) for host in hosts)
        self.pure = pure
        self.on_retried: Callable[[str], None] = _nobody
        self.on_hedged: Callable[[bool], None] = _nobody
        self._clock = clock
        self.hedging = Hedging(_UNMEASURED)
        self._came_back = asyncio.Event()
        self._losers: set[asyncio.Task[FloatArray]] = set()

    def measured(self, cost: Cost) -> None:
        """What a run was measured to cost; forgets what was seen before."""
        self.hedging = Hedging(cost)

    @property
    def ready(self) -> bool:
        """Whether any process runs."""
        return any(replica.host.ready for replica in self.all)

    def hung(self, limit: float) -> list[Replica]:
        """Processes that have been busy with one run for ``limit`` seconds.

        Of several, one is spared whose run may take longer than that: others can be asked meanwhile.
        """
        now = self._clock.monotonic()
        alone = len(self.all) == 1
        hung = [replica for replica in self.all if replica.busy(now) >= limit]
        return [replica for replica in hung if alone or not replica.limits or replica.overdue(now)]

    def overdue(self) -> list[Replica]:
        """Processes with a run that takes longer than it may."""
        now = self._clock.monotonic()
        return [replica for replica in self.all if replica.overdue(now)]

    def passed(self, replica: Replica) -> None:
        """A process has answered held-out rows: it may be used, and those that wait for one are told."""
        if replica.breaker.state is not Circuit.CLOSED:
            replica.breaker.probed(True)
        self._came_back.set()

    def least_busy(self) -> Replica | None:
        """The usable process with the fewest runs; among these the one that began its run first."""
        usable = [replica for replica in self.all if replica.usable]
        return min(usable, key=_load, default=None)

    async def run(self, send: Send, rows: int, *, until: float, limit: float, again: bool = True) -> FloatArray:
        """The answer of the first process that has one; a run is overdue ``limit`` seconds after it was sent.

        ``until`` (monotonic seconds) is when the last of those who wait leaves: no second try begins that could not be
        answered before. ``again`` is False for a part of a run that failed: it may wait for a process, as its fellows
        may have killed them all, but it gets no second try. Raises the member's error.
        """
        if len(self.all) == 1:
            return await self._only(self.all[0], send, limit)
        first = self.least_busy()
        if first is None and self.pure and not again:
            first = await self.returning(rows, until)
        if first is None:
            raise MemberCrashed(f"Member '{self.all[0].host.artifact.name}' has no running process.")
        if not self.pure:
            return await self._only(first, send, limit)
        return await _Tries(self, send, rows, until, limit).run(first, again)

    async def attempt(self, replica: Replica, send: Send, rows: int) -> FloatArray:
        """One try by one process; how long it takes is remembered."""
        started = self._clock.monotonic()
        values = await send(replica.host)
        self.hedging.ran(rows, (self._clock.monotonic() - started) * 1000)
        return values

    async def _only(self, replica: Replica, send: Send, limit: float) -> FloatArray:
        """The only try."""
        key = object()
        replica.limits[key] = self.overdue_at(limit)
        try:
            return await send(replica.host)
        finally:
            del replica.limits[key]

    def overdue_at(self, limit: float) -> float:
        """When a run that is sent now is overdue."""
        return self._clock.monotonic() + limit

    async def returning(self, rows: int, until: float) -> Replica | None:
        """A usable process, waited for as long as the deadline leaves time to run there; else None."""
        while (left := self.time_left(rows, until)) > 0:
            found = self.least_busy()
            if found is not None:
                return found
            self._came_back.clear()
            try:
                async with asyncio.timeout(None if left == inf else left):
                    await self._came_back.wait()
            except TimeoutError:
                return None
        return None

    def time_left(self, rows: int, until: float) -> float:
        """Seconds by which a run that begins now would be over before it is too late."""
        return until - self._clock.monotonic() - self.hedging.expected_ms(rows) / 1000

    def idle_beside(self, busy: Replica) -> Replica | None:
        """Another process, which has nothing to do."""
        return next((replica for replica in self.all if replica is not busy and replica.idle), None)

    def lost(self, task: asyncio.Task[FloatArray]) -> None:
        """What a slower try answers is ignored, but how long it took is not, and it is overdue as any other."""
        self._losers.add(task)
        task.add_done_callback(self._losers.discard)
        task.add_done_callback(_ignore)


class _Tries:
    """The tries of one run: the first, and one more where that straggles or its process dies."""

    def __init__(self, replicas: Replicas, send: Send, rows: int, until: float, limit: float) -> None:
        self._replicas = replicas
        self._send = send
        self._rows = rows
        self._until = until
        self._limit = limit
        self._pending: dict[asyncio.Task[FloatArray], Replica] = {}
        self._hedge: asyncio.Task[FloatArray] | None = None
        self._winner: asyncio.Task[FloatArray] | None = None
        self._fault: BaseException | None = None
        self._died = False
        """Whether the fault was the death of a process."""

    async def run(self, first: Replica, again: bool) -> FloatArray:
        """The first good answer; the last error where there is none."""
        hedging = self._replicas.hedging
        hedging.earn()
        self._start(first)
        try:
            if again and (after := hedging.after_ms(self._rows)) is not None:
                await asyncio.wait(self._pending, timeout=after / 1000)
                again = not self._try_beside(first)
            while (winner := await self._next()) is None:
                if self._pending:
                    continue
                assert self._fault is not None  # noqa: S101 - nothing is pending, and nothing won
                other = await self._replicas.returning(self._rows, self._until) if again and self._died else None
                if other is None:
                    raise self._fault
                again = False
                self._start(other)
            return winner.result()
        finally:
            self._end()

    def _start(self, replica: Replica) -> asyncio.Task[FloatArray]:
        task = asyncio.ensure_future(self._replicas.attempt(replica, self._send, self._rows))
        self._pending[task] = replica
        # Now, and not when the task begins: the next run of this turn is to go elsewhere.
        replica.limits[task] = self._replicas.overdue_at(self._limit)
        task.add_done_callback(lambda done: replica.limits.pop(done, None))
        return task

    def _try_beside(self, straggler: Replica) -> bool:
        """Have an idle process try as well; False where the first is over, or where that cannot be."""
        replicas = self._replicas
        if any(task.done() for task in self._pending) or replicas.time_left(self._rows, self._until) <= 0:
            return False
        other = replicas.idle_beside(straggler)
        if other is None or not replicas.hedging.take():
            return False
        self._hedge = self._start(other)
        return True

    async def _next(self) -> asyncio.Task[FloatArray] | None:
        """Wait for a try to be over; the one that has a good answer, None if it failed."""
        done, _ = await asyncio.wait(self._pending, return_when=asyncio.FIRST_COMPLETED)
        for task in [task for task in self._pending if task in done]:  # the first before the second
            replica = self._pending.pop(task)
            replica.limits.pop(task, None)
            error = task.exception()
            if error is None:
                self._winner = self._winner or task
            else:
                self._fault, self._died = error, not replica.host.ready
        return self._winner

    def _end(self) -> None:
        replicas = self._replicas
        for task in self._pending:
            if self._winner is None:  # nobody waits any more
                task.cancel()
            replicas.lost(task)
        if self._winner is not None and isinstance(self._fault, MemberError):
            replicas.on_retried(self._fault.code)
        if self._hedge is not None:
            replicas.on_hedged(self._hedge is self._winner)


def _load(replica: Replica) -> tuple[int, float]:
    since = replica.host.busy_since
    return replica.load, -inf if since is None else since


def _ignore(task: asyncio.Task[FloatArray]) -> None:
    if not task.cancelled():
        task.exception()


def _nobody(_: object) -> None:
    """What is called where nobody counts."""
