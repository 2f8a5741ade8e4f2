"""The transport-free data plane: one request in, one decision out. REST and gRPC are adapters over it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quorate.clock import Clock
from quorate.codecs import decision as decision_codec
from quorate.codecs.journal import RecordKind
from quorate.core.types import Decision, FloatArray, Scalar, Status, Tensors
from quorate.errors import InvalidInput, NoQuorum, NotFound, Overloaded
from quorate.serving.endpoint import Choice, LoadedEndpoint, LoadedStrategy, reserve
from quorate.serving.execution import Execution
from quorate.serving.generation import Generation, Model
from quorate.serving.journal import Journal
from quorate.serving.lanes import ThreadLane
from quorate.serving.meters import Meters
from quorate.serving.pool import LoadedPool

HEAVY_BYTES = 64 * 1024
HEAVY_ROWS = 64
MODEL_DEADLINE = 1.0
"""Seconds for a model that is called by itself; endpoints declare their own deadline."""


@dataclass(slots=True)
class Call:
    """One request as a transport understood it.

    ``raw`` is the signature's raw input, ``size`` its bytes, ``digest`` of the bytes received. ``arrived`` is Unix
    seconds, ``started`` monotonic seconds: the deadline counts from there.
    """

    raw: Mapping[str, Any]
    rows: int
    size: int
    digest: bytes
    arrived: float
    started: float
    strategy: str | None = None
    max_ms: float | None = None
    context: Mapping[str, Scalar] = field(default_factory=dict)
    request_id: str | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None


@dataclass(slots=True)
class _Served:
    strategy: LoadedStrategy | None
    answer: FloatArray | None
    degraded: bool


class Plane:
    """Answers calls against the current generation; owns the ids and appends the decisions."""

    def __init__(self, *, clock: Clock, lane: ThreadLane, journal: Journal, rng: random.Random, meters: Meters) -> None:
        self.clock = clock
        self.lane = lane
        self.journal = journal
        self.meters = meters
        self.generation = Generation.empty()
        self._rng = rng

    def endpoint(self, name: str) -> LoadedEndpoint:
        """The endpoint of that name; :class:`NotFound` lists those there are."""
        found = self.generation.endpoints.get(name)
        if found is None:
            known = ", ".join(sorted(self.generation.endpoints)) or "none"
            raise NotFound(f"There is no endpoint '{name[:64]}'; expected one of: {known}.", path="endpoint")
        return found

    async def features(self, pool: LoadedPool, call: Call) -> tuple[Tensors, ...]:
        """Preprocess, in a thread where it would hold the event loop up."""
        limit = self.generation.limits.image_pixels
        if call.size > HEAVY_BYTES or call.rows > HEAVY_ROWS:
            return await self.lane.submit(lambda: pool.prepare(call.raw, max_pixels=limit))
        return pool.prepare(call.raw, max_pixels=limit)

    async def predict(self, endpoint: LoadedEndpoint, call: Call) -> Decision:
        """Answer one call and have its decision journaled.

        Raises :class:`NoQuorum` (journaled too) when neither the strategy nor a fallback could answer in time,
        :class:`Overloaded` when the endpoint sheds because its decisions cannot be kept, and client errors.
        """
        choice = endpoint.choose(call.strategy, call.context, self._rng.random())
        if endpoint.route.on_full == "shed" and not self.journal.accepts():
            self.meters.shed(endpoint.name)
            raise Overloaded(
                f"Endpoint '{endpoint.name}' cannot record decisions now (disk full or stalled) and sheds; retry later."
            )
        pool = endpoint.pool
        pool.acquire()
        try:
            feeds = await self.features(pool, call)
            limit = endpoint.deadline if call.max_ms is None else min(endpoint.deadline, call.max_ms / 1000)
            execution = Execution(
                pool, feeds, call.rows, clock=self.clock, lane=self.lane, fault_after=endpoint.deadline / 2
            )
            served = await self._serve(endpoint, choice, execution, call.started + limit)
        finally:
            pool.release()
        decision = self._decide(endpoint, choice, execution, served, call)
        await self._keep(endpoint, decision)
        if served.answer is None:
            raise NoQuorum(self._why_not(endpoint, choice, execution, limit))
        return decision

    async def run_model(self, model: Model, call: Call) -> FloatArray:
        """One member's own answer ``[n, k]``: no policy, no decision record; :class:`NoQuorum` when it has none."""
        if call.strategy is not None:
            raise InvalidInput("A model has no strategies; leave the parameter out.", path="parameters.strategy")
        limit = MODEL_DEADLINE if call.max_ms is None else min(MODEL_DEADLINE, call.max_ms / 1000)
        pool = model.pool
        pool.acquire()
        try:
            execution = Execution(
                pool,
                await self.features(pool, call),
                call.rows,
                clock=self.clock,
                lane=self.lane,
                fault_after=MODEL_DEADLINE / 2,
            )
            execution.start_alone(model.position)
            await execution.wait(call.started + limit)
            execution.give_up()
        finally:
            pool.release()
        if (execution.status[:, model.position] != Status.OK).any():
            reason = execution.reasons[model.position]
            raise NoQuorum(f"Model '{model.member.name}' gave no answer within {limit * 1000:g} ms ({reason}); retry.")
        return execution.values[:, model.position]

    async def _serve(self, endpoint: LoadedEndpoint, choice: Choice, execution: Execution, deadline: float) -> _Served:
        if endpoint.blind:
            return await self._serve_blind(endpoint, choice, execution, deadline)
        strategy = choice.strategy
        spare = reserve(endpoint.fallback, endpoint.pool, execution.rows, endpoint.deadline)
        answer = await self._run(strategy, execution, deadline - spare, deadline)
        degraded = bool(strategy.missing(execution))
        if answer is not None and not (degraded and endpoint.route.on_member_failure == "fallback"):
            return _Served(strategy, answer, degraded)
        for other in endpoint.fallback:
            if other is strategy:
                continue
            second = await self._run(other, execution, deadline, deadline)
            if second is not None:
                return _Served(other, second, True)
        return _Served(strategy if answer is not None else None, answer, degraded)

    async def _run(self, strategy: LoadedStrategy, execution: Execution, soft: float, hard: float) -> FloatArray | None:
        """Run a strategy's plan: up to ``soft`` while its quorum is not met, up to ``hard`` once it is."""
        while wanted := strategy.next(execution, (hard - self.clock.monotonic()) * 1000):
            execution.start(wanted)
            if not execution.pending:
                continue
            await execution.wait(soft, lambda: strategy.hopeless(execution))
            if execution.pending and strategy.answer(execution) is not None:
                await execution.wait(hard)
            execution.give_up()
        return strategy.answer(execution)

    async def _serve_blind(
        self, endpoint: LoadedEndpoint, choice: Choice, execution: Execution, deadline: float
    ) -> _Served:
        """All arms' members run and all arms' answers are computed, so that no time tells which arm was assigned."""
        execution.start(endpoint.everyone)
        await execution.wait(deadline)
        execution.give_up()
        answers = {name: strategy.answer(execution) for name, strategy in endpoint.strategies.items()}
        missing = bool(choice.strategy.missing(execution))
        for strategy in (choice.strategy, *endpoint.fallback):
            answer = answers[strategy.name]
            if answer is not None:
                return _Served(strategy, answer, missing or strategy is not choice.strategy)
        return _Served(None, None, True)

    def _decide(
        self, endpoint: LoadedEndpoint, choice: Choice, execution: Execution, served: _Served, call: Call
    ) -> Decision:
        now = self.clock.monotonic()
        first = execution.first_start if execution.first_start is not None else now
        output = endpoint.pool.route.signature.output
        return Decision(
            id=str(self.journal.ids.take()),
            endpoint=endpoint.name,
            revision=endpoint.route.revision,
            state_version=0,
            source=choice.source,
            arrived=call.arrived,
            queue_ms=(first - call.started) * 1000,
            latency_ms=(now - call.started) * 1000,
            context=call.context,
            strategies=endpoint.names,
            propensities=choice.propensities,
            assigned=choice.strategy.name,
            served=served.strategy.name if served.strategy is not None else None,
            members=execution.runs(),
            outputs=execution.values,
            status=execution.status,
            answer=served.answer,
            degraded=served.degraded,
            rows=call.rows,
            input_digest=call.digest,
            output_kind=output.kind,
            classes=output.classes or output.names,
            unit=choice.unit,
            error=None if served.answer is not None else NoQuorum.code,
            request_id=call.request_id,
            idempotency_key=call.idempotency_key,
            traceparent=call.traceparent,
        )

    async def _keep(self, endpoint: LoadedEndpoint, decision: Decision) -> None:
        self.meters.decided(decision)
        kept = self.journal.append(decision_codec.encode(decision), RecordKind.DECISION, on_full=endpoint.route.on_full)
        if kept is not None:
            await kept

    def _why_not(self, endpoint: LoadedEndpoint, choice: Choice, execution: Execution, limit: float) -> str:
        strategy = choice.strategy
        missing = ", ".join(
            f"{endpoint.pool.members[p].name} ({execution.reasons[p] or 'member_timeout'})"
            for p in strategy.positions
            if (execution.status[:, p] != 0).any()
        )
        if endpoint.blind:
            return f"Endpoint '{endpoint.name}' had no answer within {limit * 1000:g} ms; retry, or raise the deadline."
        return (
            f"Strategy '{strategy.name}' needs {strategy.quorum} members within {limit * 1000:g} ms and no fallback "
            f"could answer; missing: {missing}. Retry, or raise the deadline."
        )
