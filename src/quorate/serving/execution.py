"""One request's run of members: starts units in their lanes, waits no longer than the deadline, keeps what came.

A member that crashes, hangs, breaks its signature or returns NaN is dropped from this answer and counted; it never
fails the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from quorate.clock import Clock
from quorate.core.types import MemberRun, Status, Tensors
from quorate.errors import CircuitOpen, MemberCrashed, MemberError, MemberTimeout, SignatureViolation
from quorate.runtimes.signature import as_answer, usable
from quorate.serving.lanes import ThreadLane
from quorate.serving.pool import LoadedPool
from quorate.serving.units import GraphUnit, HostUnit, InProcessUnit, Unit

OK, FAILED, SKIPPED = int(Status.OK), int(Status.FAILED), int(Status.SKIPPED)  # numpy is slow with enum members
_FLOAT = np.dtype(np.float32)


class Execution:
    """What is known so far of one request: ``values`` ``[n, m, k]`` and ``status`` ``[n, m]`` over the whole pool."""

    __slots__ = (
        "_clock",
        "_fault_after",
        "_feeds",
        "_lane",
        "_pending",
        "_pool",
        "fed",
        "first_start",
        "latency",
        "reasons",
        "rows",
        "status",
        "values",
    )

    def __init__(
        self,
        pool: LoadedPool,
        feeds: Sequence[Tensors] | None,
        rows: int,
        *,
        clock: Clock,
        lane: ThreadLane,
        fault_after: float,
    ) -> None:
        width, members = pool.width, len(pool.members)
        self.values = np.full((rows, members, width), np.nan, np.float32)
        self.status = np.full((rows, members), SKIPPED, np.int8)
        self.latency: list[float | None] = [None] * members
        self.reasons: list[str | None] = [None] * members
        self.rows = rows
        self.first_start: float | None = None
        self._pool = pool
        self._feeds = feeds or ()
        self.fed = feeds is not None
        self._clock = clock
        self._lane = lane
        self._fault_after = fault_after
        self._pending: dict[asyncio.Future[dict[int, Any]], tuple[Unit, float]] = {}

    def waiting_for(self, members: Sequence[int]) -> bool:
        """Whether any of these was started and has not answered."""
        return bool(self._pending) and bool(self._awaited(members))

    def _awaited(self, members: Sequence[int]) -> list[asyncio.Future[dict[int, Any]]]:
        wanted = set(members)
        return [future for future, (unit, _) in self._pending.items() if not wanted.isdisjoint(unit.members)]

    def start(self, wanted: Sequence[int]) -> None:
        """Start members (positions in the pool) that have not run; inline ones have their outputs on return."""
        self._launch(self._pool.units_for(self._not_run(wanted)))

    def start_apart(self, wanted: Sequence[int]) -> None:
        """Start members by their own units, outside any fused graph."""
        self._launch([self._pool.members[position].unit for position in self._not_run(wanted)])

    def _launch(self, units: Sequence[Unit]) -> None:
        inline: list[InProcessUnit] = []
        for unit in units:
            if isinstance(unit, HostUnit):
                self._start_host(unit)
            elif isinstance(unit, InProcessUnit):
                if unit.cost.inline(self.rows):
                    inline.append(unit)
                else:
                    self._start_thread(unit)
            else:  # absent: a circuit that is closed without a load behind it
                self._drop(unit.members[0], CircuitOpen.code, fault=False)
        for unit in inline:
            self._run_inline(unit)

    def _not_run(self, wanted: Sequence[int]) -> list[int]:
        fresh = []
        started = {member for unit, _ in self._pending.values() for member in unit.members}
        for member in wanted:
            if self.latency[member] is not None or self.reasons[member] is not None or member in started:
                continue
            if self._pool.members[member].available:
                fresh.append(member)
            else:
                self._drop(member, CircuitOpen.code, fault=False)
        return fresh

    def _start_host(self, unit: HostUnit) -> None:
        task = asyncio.ensure_future(unit.run(self._feeds[unit.feed]))
        self._pending[task] = (unit, self._now())

    def _start_thread(self, unit: InProcessUnit) -> None:
        tensors = self._feeds[unit.feed]
        try:
            future = self._lane.submit(lambda: unit.run(tensors), limit=self._fault_after)
        except MemberError as error:  # the lane is full, which is no member's fault
            self._failed(unit, error, self._now(), fault=False)
            return
        self._pending[future] = (unit, self._now())

    def _run_inline(self, unit: InProcessUnit) -> None:
        started = self._now()
        try:
            outputs = unit.run(self._feeds[unit.feed])
        except Exception as error:
            self._failed(unit, error, started)
        else:
            self._answered(unit, outputs, started)

    def _now(self) -> float:
        now = self._clock.monotonic()
        if self.first_start is None:
            self.first_start = now
        return now

    async def wait(self, until: float, members: Sequence[int], enough: Callable[[], bool] | None = None) -> None:
        """Wait until ``until`` (monotonic s) at most for what was started of ``members``, or until ``enough()``."""
        while (futures := self._awaited(members)) and not (enough is not None and enough()):
            left = until - self._clock.monotonic()
            done, _ = await asyncio.wait(futures, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return
            for future in done:
                self._collect(future)

    def _collect(self, future: asyncio.Future[dict[int, Any]]) -> None:
        unit, started = self._pending.pop(future)
        if future.cancelled():
            self._failed(unit, MemberTimeout(f"The run of {self._pool.names(unit)} was cancelled."), started)
            return
        error = future.exception()
        if error is not None:
            self._failed(unit, error, started)
        else:
            self._answered(unit, future.result(), started)

    def give_up(self) -> None:
        """It is over: what has not answered failed. A member process that hangs is killed, a hung thread replaced."""
        while self._pending:
            future, (unit, started) = next(iter(self._pending.items()))
            if future.done():
                self._collect(future)
                continue
            del self._pending[future]
            future.cancel()
            overdue = self._clock.monotonic() - started >= self._fault_after
            error = MemberTimeout(f"Member {self._pool.names(unit)} had not answered at the deadline.")
            self._failed(unit, error, started, fault=overdue)
            if isinstance(unit, HostUnit):
                self._pool.hung(unit, self._fault_after)

    def _answered(self, unit: Unit, outputs: dict[int, Any], started: float) -> None:
        elapsed = (self._clock.monotonic() - started) * 1000
        if isinstance(unit, GraphUnit):
            self._pool.graph_breaker.success()
        came: list[int] = []
        shape = (self.rows, self._pool.width)
        for position in unit.members:
            if self.reasons[position] is not None:  # its circuit is open; the graph ran it all the same
                continue
            self.latency[position] = elapsed
            array = outputs.get(position)
            if not (isinstance(array, np.ndarray) and array.shape == shape and array.dtype == _FLOAT):
                try:
                    array = as_answer(self._pool.members[position].artifact, array, self.rows)
                except MemberError as error:
                    self._drop(position, error.code)
                    continue
            self.values[:, position] = array
            came.append(position)
        self._judge(came)

    def _judge(self, came: list[int]) -> None:
        """Mark what came: a row that breaks the signature's promise is lost, its neighbours are not."""
        if not came:
            return
        everyone = len(came) == len(self.reasons)
        came.sort()  # a graph may answer in an order of its own
        columns = self.values if everyone else self.values[:, came]
        good = usable(columns.reshape(-1, self._pool.width), self._pool.output)
        if good.all():
            self.status[:, slice(None) if everyone else came] = OK
            for position in came:
                self._pool.members[position].breaker.success()
            return
        good = good.reshape(self.rows, len(came))
        self.status[:, came] = np.where(good, OK, FAILED)
        for column, position in enumerate(came):
            if good[:, column].all():
                self._pool.members[position].breaker.success()
            else:
                self.values[self.status[:, position] == FAILED, position] = np.nan
                self.reasons[position] = SignatureViolation.code
                self._pool.fault(position, SignatureViolation.code)

    def _failed(self, unit: Unit, error: BaseException, started: float, *, fault: bool = True) -> None:
        elapsed = (self._clock.monotonic() - started) * 1000
        if isinstance(unit, GraphUnit) and fault:
            self._pool.graph_fault()
            if not isinstance(error, MemberTimeout):
                # The graph failed as a whole: its members may well be fine one by one.
                self.start_apart(unit.members)
                return
            fault = False  # which member was too slow shows when they run apart
        code = error.code if isinstance(error, MemberError) else MemberCrashed.code
        for position in unit.members:
            if self.reasons[position] is None:
                self.latency[position] = elapsed
                self._drop(position, code, fault=fault)

    def _drop(self, position: int, code: str, *, fault: bool = True) -> None:
        self.status[:, position] = FAILED
        self.reasons[position] = code
        if fault:
            self._pool.fault(position, code)

    def over(self, members: Sequence[int]) -> bool:
        """Whether all of these have run or were dropped."""
        latency, reasons = self.latency, self.reasons
        return all(latency[m] is not None or reasons[m] is not None for m in members)

    def flawless(self, members: Sequence[int]) -> bool:
        """Whether all of these have answered every row as they should."""
        latency, reasons = self.latency, self.reasons
        return all(latency[m] is not None and reasons[m] is None for m in members)

    def runs(self) -> tuple[MemberRun, ...]:
        """The record of every member of the pool; one that failed for a row counts as failed."""
        latency, reasons = self.latency, self.reasons
        return tuple(
            MemberRun(member.name, member.version, _outcome(latency[i], reasons[i]), latency[i], reasons[i])
            for i, member in enumerate(self._pool.members)
        )


def _outcome(latency: float | None, reason: str | None) -> Status:
    if reason is not None:
        return Status.FAILED
    return Status.SKIPPED if latency is None else Status.OK
