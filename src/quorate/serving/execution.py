"""One request's run of members: puts units in line, waits no longer than the deadline, keeps what came.

A member that crashes, hangs, breaks its signature or returns NaN is dropped from this answer and counted; it never
fails the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from quorate.clock import Clock
from quorate.core.types import BoolArray, FloatArray, MemberRun, Status, StatusArray
from quorate.errors import CircuitOpen, MemberCrashed, MemberError, MemberTimeout, SignatureViolation
from quorate.preprocess.features import features_of
from quorate.serving.batch import FAILED, Batch, Part
from quorate.serving.breaker import Circuit
from quorate.serving.feed import Feed, prepare_all
from quorate.serving.pool import LoadedPool
from quorate.serving.units import GraphUnit, HostUnit, InProcessUnit, Unit
from quorate.serving.work import Awaited, NotRun

SKIPPED = int(Status.SKIPPED)
Rows = NDArray[np.intp]


class Execution:
    """What is known so far of one request: ``values`` ``[n, m, k]`` and ``status`` ``[n, m]`` over the whole pool.

    Both may be shared with other requests of the same batch: nobody writes to them but this class, on its own copy.
    A member may be asked for some of the rows only (:meth:`ask`); for the others it stays ``SKIPPED``.
    """

    __slots__ = (
        "_asked",
        "_clock",
        "_fault_after",
        "_feed",
        "_own",
        "_owner",
        "_partial",
        "_pending",
        "_pool",
        "_status",
        "_until",
        "_values",
        "asked",
        "bulk",
        "cut",
        "dropped",
        "fed",
        "first_start",
        "latency",
        "part",
        "reasons",
        "rows",
    )

    def __init__(
        self,
        pool: LoadedPool,
        feed: Feed | None,
        rows: int,
        *,
        clock: Clock,
        until: float,
        fault_after: float,
        owner: str = "",
        bulk: bool = False,
    ) -> None:
        members = len(pool.members)
        self._values: FloatArray | None = None
        self._status: StatusArray | None = None
        self._own = False
        self.latency: list[float | None] = [None] * members
        self.reasons: list[str | None] = [None] * members
        self.rows = rows
        self.first_start: float | None = None
        self.part: Part | None = None
        """The one part of a batch that is everything: all members have answered, together and well."""
        self._pool = pool
        self._feed = feed
        self.fed = feed is not None
        self._clock = clock
        self._until = until
        self._fault_after = fault_after
        self._owner = owner
        self.bulk = bulk
        self._pending: dict[Unit, Awaited] = {}
        self._asked: dict[Unit, Rows] = {}
        """Of those that were given some rows only: which."""
        self._partial: set[int] = set()
        """Members that were asked for some rows, and not for all."""
        self.dropped: set[int] = set()
        """Members that failed as a whole: nobody asks them again."""
        self.asked: dict[str, BoolArray] | None = None
        """By strategy whose plan chooses: what it asked, bool ``[n, m]`` over its own members."""
        self.cut = False
        """Whether somebody was left out for want of time whom a plan would have asked."""

    @property
    def values(self) -> FloatArray:
        """Float32 ``[n, m, k]``, NaN where nothing good came."""
        if self._values is None:
            self._values = np.full((self.rows, len(self.reasons), self._pool.width), np.nan, np.float32)
        return self._values

    @property
    def status(self) -> StatusArray:
        """Int8 ``[n, m]``."""
        if self._status is None:
            self._status = np.full((self.rows, len(self.reasons)), SKIPPED, np.int8)
        return self._status

    def _owned(self) -> tuple[FloatArray, StatusArray]:
        """Values and status that may be written to."""
        if not self._own:
            self._values, self._status = self.values.copy(), self.status.copy()
            self._own = True
        return self.values, self.status

    def waiting_for(self, members: Sequence[int]) -> bool:
        """Whether any of these was started and has not answered."""
        return bool(self._pending) and bool(self._awaited(members))

    def _awaited(self, members: Sequence[int]) -> list[Unit]:
        if not self._pending:
            return []
        wanted = set(members)
        return [unit for unit in self._pending if not wanted.isdisjoint(unit.members)]

    def start(self, wanted: Sequence[int]) -> None:
        """Start members (positions in the pool) that have not run."""
        if self._partial:  # for some of them a few rows are left
            self.ask(np.ones((self.rows, len(wanted)), np.bool_), wanted)
            return
        self._launch(self._pool.units_for(self._not_run(wanted)))

    def ask(self, wanted: BoolArray, members: Sequence[int]) -> None:
        """Start ``members`` (positions in the pool) for rows: ``wanted`` bool ``[n, m]`` over these, of which what is
        known is not run again. Nobody else runs with them: they have units of their own, or a graph of just those."""
        status, groups = self.status, dict[bytes, list[int]]()
        for column in np.flatnonzero(wanted.any(axis=0)).tolist():
            position = members[column]
            some = wanted[:, column] & (status[:, position] == SKIPPED)
            groups.setdefault(some.tobytes(), []).append(position)
        for mask, group in groups.items():
            some = np.flatnonzero(np.frombuffer(mask, np.bool_))
            rows = None if len(some) == self.rows else some
            if len(some):
                self._launch(self._pool.apart(self._startable(group, rows)), rows)

    def start_apart(self, wanted: Sequence[int]) -> None:
        """Start members by their own units, outside any fused graph."""
        self._launch([self._pool.members[position].unit for position in self._not_run(wanted)])

    def _launch(self, units: Sequence[Unit], rows: Rows | None = None) -> None:
        for unit in units:
            if isinstance(unit, InProcessUnit | HostUnit):
                self._pending[unit] = self._pool.batcher(unit).submit(
                    self._part(rows),
                    until=self._until,
                    fault_after=self._fault_after,
                    owner=self._owner,
                    bulk=self.bulk,
                )
                if rows is not None:
                    self._asked[unit] = rows
                    self._partial.update(unit.members)
            else:  # absent: a circuit that is closed without a load behind it
                self._drop(unit.members[0], CircuitOpen.code, fault=False, rows=rows)

    def _part(self, rows: Rows | None) -> Feed:
        feed = self._feed
        assert feed is not None  # noqa: S101 - nothing is started without input
        if rows is None:
            return feed
        if feed.tensors is None:  # rows have their numbers in its errors, so it is prepared as a whole
            prepare_all([feed], self._pool.prepare)
        if feed.refused is not None:
            raise feed.refused
        return feed.part(rows)

    def _not_run(self, wanted: Sequence[int]) -> list[int]:
        return self._startable(self.not_over(wanted), None)

    def _startable(self, wanted: Sequence[int], rows: Rows | None) -> list[int]:
        """Those that are not under way; members whose circuit is open are dropped for those rows."""
        fresh = []
        started = {member for unit in self._pending for member in unit.members} if self._pending else ()
        members = self._pool.members
        for member in wanted:
            if member in started:
                continue
            if members[member].breaker.state is Circuit.CLOSED:
                fresh.append(member)
            else:
                self._drop(member, CircuitOpen.code, fault=False, rows=rows)
        return fresh

    async def wait(self, until: float, members: Sequence[int], enough: Callable[[], bool] | None = None) -> None:
        """Wait until ``until`` (monotonic s) at most for what was started of ``members``, or until ``enough()``.

        Raises the client's error if the input turns out to be bad.
        """
        while units := self._awaited(members):
            if len(units) == 1 and self._pending[units[0]].prompt:
                await self._answer(self._pending[units[0]])
                self._collect(units[0])
                continue
            if enough is not None and enough():
                return
            left = until - self._clock.monotonic()
            futures = [self._pending[unit].future for unit in units]
            done, _ = await asyncio.wait(futures, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return
            for unit in units:
                if self._pending[unit].future in done:
                    self._collect(unit)

    @staticmethod
    async def _answer(work: Awaited) -> None:
        """Until it is there: what is prompt runs in a turn of the loop, or is told that it is too late."""
        try:
            await work.future
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: S110 - it is read from the future
            pass

    def _collect(self, unit: Unit) -> None:
        work = self._pending.pop(unit)
        future = work.future
        if work.feed.refused is not None:
            _forget(future)
            raise work.feed.refused
        if future.cancelled():
            error = MemberTimeout(f"Nobody waits for {self._pool.names(unit)} any more.")
            self._failed(unit, error, work, fault=False)  # its request has left
            return
        failure = future.exception()
        if failure is None:
            self._answered(unit, future.result())
        else:
            self._failed(unit, failure, work)

    def give_up(self) -> None:
        """It is over: what has not answered failed. A member process that hangs is killed, a hung thread replaced."""
        while self._pending:
            unit, work = next(iter(self._pending.items()))
            if work.future.done() and work.feed.refused is None:
                self._collect(unit)
                continue
            del self._pending[unit]
            work.future.cancel()
            _forget(work.future)
            assert isinstance(unit, InProcessUnit | HostUnit)  # noqa: S101 - nothing else is pending
            self._pool.batcher(unit).left(work)
            if work.feed.refused is not None:
                continue
            overdue = work.to_blame(self._clock.monotonic())
            error = MemberTimeout(f"Member {self._pool.names(unit)} had not answered at the deadline.")
            self._failed(unit, error, work, fault=overdue)
            if isinstance(unit, HostUnit):
                self._pool.hung(unit, self._fault_after)

    def _answered(self, unit: Unit, part: Part) -> None:
        batch = part.batch
        if self.first_start is None or batch.started < self.first_start:
            self.first_start = batch.started
        if isinstance(unit, GraphUnit):
            self._pool.breaker_of(unit).success()
        rows = self._asked.pop(unit, None)
        if rows is None and batch.flawless and unit.members == self._pool.everyone and self._untouched():
            self.part = part
            self._values, self._status = part.values, part.status
            self.latency = batch.once("latency", lambda: self._all_well(batch))
            return
        self._copy(unit, part, batch, rows)

    def _all_well(self, batch: Batch) -> list[float | None]:
        for member in self._pool.members:
            member.breaker.success()
        return [batch.elapsed] * len(self._pool.members)

    def _untouched(self) -> bool:
        return self._values is None and self.sound

    def _copy(self, unit: Unit, part: Part, batch: Batch, rows: Rows | None) -> None:
        """Mark what came: a row that breaks the signature's promise is lost, its neighbours are not."""
        values, status = self._owned()
        part_values, part_status = part.values, part.status
        where = slice(None) if rows is None else rows
        for column, position in enumerate(unit.members):
            if position in self.dropped:  # its circuit is open; the graph ran it all the same
                continue
            before = self.latency[position]
            self.latency[position] = batch.elapsed if before is None else before + batch.elapsed
            values[where, position] = part_values[:, column]
            status[where, position] = part_status[:, column]
            if position in self._partial and not (status[:, position] == SKIPPED).any():
                self._partial.discard(position)
            if batch.flawless or not part_status[:, column].any():
                self._pool.members[position].breaker.success()
            else:
                self.reasons[position] = SignatureViolation.code
                self._pool.fault(position, SignatureViolation.code)

    def _failed(self, unit: Unit, error: BaseException, work: Awaited, *, fault: bool = True) -> None:
        started = work.started if work.started is not None else self._clock.monotonic()
        if self.first_start is None:
            self.first_start = started
        elapsed = (self._clock.monotonic() - started) * 1000
        fault = fault and not isinstance(error, NotRun)
        rows = self._asked.pop(unit, None)
        if isinstance(unit, GraphUnit) and fault:
            self._pool.graph_fault(unit)
            if not isinstance(error, MemberTimeout):
                # The graph failed as a whole: its members may well be fine one by one.
                members = self._startable([m for m in unit.members if m not in self.dropped], rows)
                self._launch([self._pool.members[member].unit for member in members], rows)
                return
            fault = False  # which member was too slow shows when they run apart
        code = error.code if isinstance(error, MemberError) else MemberCrashed.code
        for position in unit.members:
            if position not in self.dropped:
                self.latency[position] = elapsed
                self._drop(position, code, fault=fault, rows=rows)

    def _drop(self, position: int, code: str, *, fault: bool = True, rows: Rows | None = None) -> None:
        """It failed for those rows (all by default) for which nothing had come of it."""
        _, status = self._owned()
        where = slice(None) if rows is None else rows
        known = status[where, position]
        status[where, position] = np.where(known == SKIPPED, FAILED, known)
        self.reasons[position] = code
        self.dropped.add(position)
        if fault:
            self._pool.fault(position, code)

    def features(self, pipeline: int) -> FloatArray | None:
        """The rows as a pipeline of the pool prepared them, flattened; None where they were not prepared."""
        if self.part is not None:
            return self.part.features(pipeline)
        if self._feed is None or self._feed.tensors is None:
            return None
        return features_of(self._feed.tensors[pipeline])

    def not_over(self, members: Sequence[int]) -> list[int]:
        """Those of these that have neither answered nor been dropped."""
        if self.part is not None:
            return []
        latency, reasons = self.latency, self.reasons
        if self._partial:
            left = self._partial - self.dropped
            return [m for m in members if m in left or (latency[m] is None and reasons[m] is None)]
        return [m for m in members if latency[m] is None and reasons[m] is None]

    def flawless(self, members: Sequence[int]) -> bool:
        """Whether all of these have answered every row as they should."""
        if self.part is not None:
            return True
        latency, reasons = self.latency, self.reasons
        return all(latency[m] is not None and reasons[m] is None for m in members) and (
            self._partial.isdisjoint(members)
        )

    @property
    def sound(self) -> bool:
        """Whether nobody has failed so far, for any row."""
        return not any(self.reasons)

    def runs(self) -> tuple[MemberRun, ...]:
        """The record of every member of the pool; one that failed for a row counts as failed."""
        if self.part is not None:
            return self.part.batch.once("runs", self._runs)
        return self._runs()

    def _runs(self) -> tuple[MemberRun, ...]:
        latency, reasons = self.latency, self.reasons
        return tuple(
            MemberRun(member.name, member.version, _outcome(latency[i], reasons[i]), latency[i], reasons[i])
            for i, member in enumerate(self._pool.members)
        )


def _outcome(latency: float | None, reason: str | None) -> Status:
    if reason is not None:
        return Status.FAILED
    return Status.SKIPPED if latency is None else Status.OK


def _forget(future: asyncio.Future[Part]) -> None:
    """Its error, if it has one, is known already: asyncio need not complain that nobody looked."""
    if future.done() and not future.cancelled():
        future.exception()
