"""The transport-free data plane: one request in, one decision out. REST and gRPC are adapters over it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from quorate.clock import Clock
from quorate.codecs import decision as decision_codec
from quorate.codecs.journal import RecordKind
from quorate.core.types import Decision, FloatArray, Source
from quorate.errors import InvalidInput, MemberError, NoQuorum, NotFound, Overloaded
from quorate.serving import abstaining, conformal
from quorate.serving.cache import Key as CacheKey
from quorate.serving.call import Call
from quorate.serving.capture import CaptureDesk
from quorate.serving.deciding import decision as decision_of
from quorate.serving.endpoint import Choice, LoadedEndpoint
from quorate.serving.execution import Execution
from quorate.serving.feed import Feed, prepare_all
from quorate.serving.fronts import LoadedFront, Sent
from quorate.serving.generation import Generation, Model
from quorate.serving.journal import Journal
from quorate.serving.lanes import ThreadLane
from quorate.serving.meters import Meters
from quorate.serving.pace import Pace
from quorate.serving.pool import LoadedPool
from quorate.serving.residency import Residency, unloaded
from quorate.serving.sight import Seen
from quorate.serving.strategies import Served, no_quorum, serve
from quorate.serving.strategy import SKIPPED
from quorate.serving.units import Unit

HEAVY_BYTES = 64 * 1024
HEAVY_ROWS = 64
MODEL_DEADLINE = 1.0
"""Seconds for a model that is called by itself; endpoints declare their own deadline."""


class Plane:
    """Answers calls against the current generation; owns the ids and appends the decisions."""

    def __init__(
        self,
        *,
        clock: Clock,
        lane: ThreadLane,
        journal: Journal,
        rng: random.Random,
        meters: Meters,
        residency: Residency | None = None,
        captures: CaptureDesk | None = None,
    ) -> None:
        self.clock = clock
        self.lane = lane
        self.journal = journal
        self.meters = meters
        self.captures = captures
        self.generation = Generation.empty()
        self.observers: list[Callable[[Decision], None]] = []
        """Told every decision that was kept or answered, in the event loop; they must neither wait nor raise."""
        self.uniform = rng.random
        """Draws in [0, 1)."""
        self.pace = Pace(clock)
        self.came = 0
        """Requests that began to be answered."""
        self._waiting = 0
        self._residency = residency or Residency(clock=clock)

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Keep the pools of the current generation open: its endpoints and models may be called inside only."""
        generation = self.generation
        generation.acquire()
        try:
            yield
        finally:
            generation.release()

    def endpoint(self, name: str) -> LoadedEndpoint:
        """The endpoint of that name; :class:`NotFound` lists those there are."""
        found = self.generation.endpoints.get(name)
        if found is None:
            front = self.generation.fronts.get(name)
            if front is not None:
                targets = ", ".join(target.name for target in front.targets)
                raise NotFound(
                    f"'{name}' is a front: it sends requests on to an endpoint, and has nothing of its own to answer "
                    f"this; ask one of: {targets}.",
                    path="endpoint",
                )
            known = ", ".join(sorted({*self.generation.endpoints, *self.generation.fronts})) or "none"
            raise NotFound(f"There is no endpoint '{name[:64]}'; expected one of: {known}.", path="endpoint")
        return found

    async def way(self, front: LoadedFront, seen: Seen) -> Sent:
        """Where a front would send a request."""
        return await front.send_aside(seen, self._waiting, self.lane)

    async def send(self, front: LoadedFront, seen: Seen) -> Sent:
        """Where a front sends a request, counted."""
        sent = await self.way(front, seen)
        self.meters.fronted(front.name, sent.endpoint.name)
        return sent

    @staticmethod
    def light(pool: LoadedPool, call: Call) -> bool:
        """Whether preparing its input holds the event loop up no longer than a hand-off to a thread would."""
        return call.size <= HEAVY_BYTES and call.rows <= HEAVY_ROWS and pool.prepares_quickly(call.raw)

    async def _feed(self, pool: LoadedPool, call: Call, deadline: float, *, whole: bool = True) -> Feed | None:
        """What the pool is fed; prepared already, in a thread, where that would hold the event loop up.

        None if that took until the deadline. ``whole``: its first run has all members and all rows.
        """
        feed = Feed(call.raw, call.rows, call.path)
        if self.light(pool, call) or (whole and pool.prepares_in_thread(call.rows)):
            return feed
        try:
            work = self.lane.submit(lambda: prepare_all([feed], pool.prepare))
        except MemberError as error:
            raise Overloaded(error.message) from None
        expected = pool.prepare_ms(call.raw) / self.lane.size
        pool.preparing_ms += expected
        try:
            await asyncio.wait_for(work, max(0.0, deadline - self.clock.monotonic()))
        except TimeoutError:
            return None
        finally:
            pool.preparing_ms -= expected
        if feed.refused is not None:
            raise feed.refused
        return feed

    async def predict(self, endpoint: LoadedEndpoint, call: Call) -> Decision:
        """Answer one call and have its decision journaled.

        Raises :class:`NoQuorum` (journaled too) when neither the strategy nor a fallback could answer in time,
        :class:`Overloaded` when the endpoint sheds because its decisions cannot be kept, and client errors.
        """
        if endpoint.unloaded:
            raise unloaded("Endpoint", endpoint.name)
        if call.min_confidence is not None:
            abstaining.check(endpoint)
        if endpoint.facts is None or call.strategy is not None:
            choice = endpoint.choose(call.strategy, call.context, self.uniform)
            self._admit(endpoint, call)
        else:
            self._admit(endpoint, call)  # first: finding facts out may take long
            left = call.started + endpoint.limit(call.max_ms) / 2 - self.clock.monotonic()
            facts = await endpoint.facts.gather_aside(call, self.lane, left)
            choice = endpoint.choose(None, call.context, self.uniform, facts)
        conformal.check(endpoint, choice, call)
        if endpoint.cache is not None:
            kept = endpoint.cache.get(_cache_key(choice, call))
            self.meters.cache(endpoint.name, kept is not None)
            if kept is not None:
                return await self._from_cache(endpoint, choice, call, kept)
        limit = endpoint.limit(call.max_ms)
        if not endpoint.pool.resident or endpoint.pool.unloaded:
            await self._bring(endpoint.pool, call.started + limit, endpoint.name)
        self.enter(endpoint, call)
        try:
            feed = await self._feed(endpoint.pool, call, call.started + limit, whole=not choice.strategy.staged)
            execution = self._execution(endpoint.pool, feed, call, limit, endpoint.deadline / 2, endpoint.name)
            try:
                if feed is not None:
                    served = await serve(endpoint, choice, execution, self.clock, call, limit)
                else:
                    served = Served(None, None, True)
            finally:
                execution.give_up()
        finally:
            self.leave(endpoint)
        decision = self._decide(endpoint, choice, execution, served, call)
        if served.strategy is not None and served.strategy.staged:
            asked = served.strategy.status(execution) != SKIPPED
            self.meters.staged(endpoint, served.strategy, asked)
        await self._keep(endpoint, call, decision)
        if served.answer is None:
            raise no_quorum(endpoint, choice, execution, limit)
        if endpoint.cache is not None and not served.degraded and not execution.cut:
            endpoint.cache.put(_cache_key(choice, call), served.answer)
        return decision

    async def _bring(self, pool: LoadedPool, until: float, name: str) -> None:
        try:
            await self._residency.bring(pool, until)
        except Overloaded:
            self.meters.shed(name, "memory")
            raise

    def enter(self, endpoint: LoadedEndpoint, call: Call) -> None:
        """A request begins to be answered."""
        self._enter(endpoint.pool, call)
        endpoint.in_flight += 1

    def leave(self, endpoint: LoadedEndpoint) -> None:
        """Its members have run, or will not."""
        endpoint.in_flight -= 1
        self._leave(endpoint.pool)

    def _enter(self, pool: LoadedPool, call: Call) -> None:
        pool.enter(call.started)
        self.came += 1
        self._waiting += 1
        self.meters.in_flight.add(1)

    def _leave(self, pool: LoadedPool) -> None:
        self._waiting -= 1
        self.meters.in_flight.add(-1)
        pool.requests -= 1
        if self._residency.crowded and not pool.requests:
            self._residency.idle()

    def _admit(self, endpoint: LoadedEndpoint, call: Call) -> None:
        """Refuse now what could not be answered well: :class:`Overloaded` says what for, and when to come again."""
        refused = self.refusal(endpoint, bulk=call.priority == "bulk")
        if refused is not None:
            raise refused

    def refusal(self, endpoint: LoadedEndpoint, *, bulk: bool = False) -> Overloaded | None:
        """Why a request that comes now could not be answered well, counted as shed; None if it can."""
        found = self._refusal(endpoint, bulk)
        if found is None:
            return None
        reason, error = found
        self.meters.shed(endpoint.name, reason)
        return error

    def _refusal(self, endpoint: LoadedEndpoint, bulk: bool) -> tuple[str, Overloaded] | None:
        if endpoint.route.on_full == "shed" and not self.journal.accepts():
            return "journal", self.not_recorded(endpoint)
        most = endpoint.route.max_in_flight
        if most is not None and endpoint.in_flight >= most:
            return "limit", Overloaded(
                f"Endpoint '{endpoint.name}' answers {most} requests at once in a worker, and does; retry later."
            )
        pool = endpoint.pool
        limit = endpoint.queue_ms / 2 if bulk else endpoint.queue_ms
        wait = self._wait_ms(pool, pool.units_for(endpoint.first), limit, endpoint.deadline * 1000)
        return None if wait is None else ("queue", _too_long(endpoint.name, wait, limit))

    def _wait_ms(self, pool: LoadedPool, units: Sequence[Unit], limit: float, deadline: float) -> float | None:
        """How long (ms) a request would wait, as far as is known, where that is too long: more than ``limit`` in line
        for the units, or for the event loop; of these not all are refused, unless they would wait until the
        ``deadline``."""
        line = pool.backlog_ms(units)
        if line > limit:
            return line
        loop = self._waiting * self.pace.ms
        return loop if loop > limit and (loop > deadline or self.pace.refuse()) else None

    @staticmethod
    def not_recorded(endpoint: LoadedEndpoint) -> Overloaded:
        """The error of an endpoint that sheds what it cannot record."""
        return Overloaded(
            f"Endpoint '{endpoint.name}' cannot record decisions now (disk full or stalled) and sheds; retry later."
        )

    async def _from_cache(self, endpoint: LoadedEndpoint, choice: Choice, call: Call, answer: FloatArray) -> Decision:
        """The decision of an answer that was kept: no member runs."""
        pool = endpoint.pool
        execution = self._execution(pool, None, call, 0.0, 0.0, endpoint.name)
        served = Served(choice.strategy, answer, False)
        decision = self._decide(endpoint, choice, execution, served, call, source="cache")
        await self._keep(endpoint, call, decision)
        return decision

    def _execution(
        self, pool: LoadedPool, feed: Feed | None, call: Call, limit: float, fault_after: float, owner: str
    ) -> Execution:
        return Execution(
            pool,
            feed,
            call.rows,
            clock=self.clock,
            until=call.started + limit,
            fault_after=fault_after,
            owner=owner,
            bulk=call.priority == "bulk",
        )

    async def run_model(self, model: Model, call: Call) -> FloatArray:
        """One member's own answer ``[n, k]``: no policy, no decision record; :class:`NoQuorum` when it has none."""
        if call.strategy is not None:
            raise InvalidInput("A model has no strategies; leave the parameter out.", path="parameters.strategy")
        if call.min_confidence is not None:
            raise InvalidInput(
                "A model answers whatever its confidence; ask an endpoint.", path="parameters.min_confidence"
            )
        if call.coverage is not None:
            raise InvalidInput("A model promises no coverage; ask an endpoint.", path="parameters.coverage")
        limit = MODEL_DEADLINE if call.max_ms is None else min(MODEL_DEADLINE, call.max_ms / 1000)
        only = (model.position,)
        wait = self._wait_ms(model.pool, [model.member.unit], limit * 500, limit * 1000)
        if wait is not None:
            self.meters.shed(model.member.name, "queue")
            raise _too_long(model.member.name, wait, limit * 500)
        if not model.pool.resident or model.pool.unloaded:
            await self._bring(model.pool, call.started + limit, model.member.name)
        self._enter(model.pool, call)
        try:
            feed = await self._feed(model.pool, call, call.started + limit)
            execution = self._execution(model.pool, feed, call, limit, MODEL_DEADLINE / 2, model.member.name)
            try:
                if feed is not None:
                    execution.start_apart(only)
                    await execution.wait(call.started + limit, only)
            finally:
                execution.give_up()
        finally:
            self._leave(model.pool)
        if not execution.flawless(only):
            reason = execution.reasons[model.position]
            raise NoQuorum(f"Model '{model.member.name}' gave no answer within {limit * 1000:g} ms ({reason}); retry.")
        return execution.values[:, model.position]

    def _decide(
        self,
        endpoint: LoadedEndpoint,
        choice: Choice,
        execution: Execution,
        served: Served,
        call: Call,
        source: Source | None = None,
    ) -> Decision:
        now = self.clock.monotonic()
        return decision_of(
            str(self.journal.ids.take()),
            endpoint,
            choice,
            call,
            served.strategy,
            served.answer,
            degraded=served.degraded,
            started=execution.first_start if execution.first_start is not None else now,
            now=now,
            runs=execution.runs(),
            outputs=execution.values,
            status=execution.status,
            source=source,
            features=None if endpoint.looks_at is None else execution.features(endpoint.looks_at),
            withheld=() if call.min_confidence is None else abstaining.withheld(served.answer, call.min_confidence),
            cut=execution.cut,
        )

    def recorded(self, endpoint: LoadedEndpoint, call: Call, decision: Decision) -> bytes:
        """A decision as the journal is to have it; its input is captured where the endpoint says so."""
        recorded = endpoint.recorder.record(decision)
        if endpoint.capture is not None and self.captures is not None:
            recorded = self.captures.take(endpoint, call, decision, recorded)
        return decision_codec.encode(recorded)

    async def _keep(self, endpoint: LoadedEndpoint, call: Call, decision: Decision) -> None:
        dropped = self.journal.counters.dropped
        try:
            kept = self.journal.append(
                self.recorded(endpoint, call, decision),
                RecordKind.DECISION,
                on_full=endpoint.route.on_full,
            )
            if kept is not None:
                if not await kept:
                    self.meters.dropped(endpoint.name)
            elif self.journal.counters.dropped > dropped:
                self.meters.dropped(endpoint.name)
        except Overloaded:
            self.meters.shed(endpoint.name, "journal")
            raise
        except asyncio.CancelledError:  # its client has left, and it is a decision all the same
            self.count([decision])
            raise
        self.count([decision])

    def count(self, decisions: Sequence[Decision]) -> None:
        """Count what was decided, and tell the observers."""
        self.meters.decided_many(decisions)
        for observe in self.observers:
            for decision in decisions:
                observe(decision)


def _too_long(name: str, backlog: float, limit: float) -> Overloaded:
    return Overloaded(
        f"Requests of '{name}' would wait some {backlog:.0f} ms in line, and may wait {limit:g}; retry later.",
        retry_after=backlog / 1000,
    )


def _cache_key(choice: Choice, call: Call) -> CacheKey:
    strategy = choice.strategy
    known = f"{strategy.name} {choice.state_version}" if strategy.combiner.learns else strategy.name
    if strategy.staged and call.min_confidence is not None:  # more members may answer then
        known += f" {call.min_confidence}"
    return known, call.path, call.digest
