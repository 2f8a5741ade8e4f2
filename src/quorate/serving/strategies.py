"""Strategies at work: a plan to its end within the deadline, and the fallback chain where its answer does not hold."""

from __future__ import annotations

from dataclasses import dataclass

from quorate.clock import Clock
from quorate.core.plan.base import Plan
from quorate.core.types import FloatArray
from quorate.errors import NoQuorum
from quorate.serving import blind
from quorate.serving.batch import FAILED, OK
from quorate.serving.call import Call
from quorate.serving.endpoint import Choice, LoadedEndpoint, reserve
from quorate.serving.execution import Execution
from quorate.serving.staged import Stages
from quorate.serving.strategy import LoadedStrategy


@dataclass(slots=True)
class Served:
    """The strategy that answered and its answer ``[n, k]``; both None where none could."""

    strategy: LoadedStrategy | None
    answer: FloatArray | None
    degraded: bool


async def serve(
    endpoint: LoadedEndpoint, choice: Choice, execution: Execution, clock: Clock, call: Call, limit: float
) -> Served:
    """The answer of the chosen strategy, or of the first fallback that has one, ``limit`` seconds after the call.

    Where the caller says how long it may take, members that cannot answer in time are not asked.
    """
    deadline = call.started + limit
    if endpoint.blind:
        return await _serve_blind(endpoint, choice, execution, deadline)
    strategy = choice.strategy
    whole, rows = endpoint.falls_back, execution.rows
    prompt = endpoint.pool.prompt(rows)  # what runs in the next turn of the loop leaves nothing to reserve
    soft = deadline if prompt else deadline - reserve(endpoint.fallback, endpoint.pool, rows, limit)
    plan = strategy.plan
    if call.max_ms is not None and (call.priority == "interactive" or rows == 1):  # others can be made smaller instead
        fitting = strategy.budgeted(rows, (deadline - clock.monotonic()) * 1000)
        if fitting is not None:
            plan, execution.cut = fitting, True
    answer = await _run(
        strategy, execution, clock, soft, deadline, plan=plan, whole=whole, min_confidence=call.min_confidence
    )
    if answer is not None and not whole:
        execution.give_up()
        return Served(strategy, answer, bool(strategy.missing(execution)))
    if answer is not None and not strategy.missing(execution):
        return Served(strategy, answer, False)
    for other in endpoint.fallback:
        if other is strategy:
            continue
        answer = await _run(
            other, execution, clock, deadline, deadline, plan=other.plan, min_confidence=call.min_confidence
        )
        if answer is not None:
            return Served(other, answer, True)
    execution.give_up()
    answer = strategy.answer(execution)  # with what came since, or at least without what is missing
    return Served(strategy if answer is not None else None, answer, True)


async def _run(
    strategy: LoadedStrategy,
    execution: Execution,
    clock: Clock,
    soft: float,
    hard: float,
    *,
    plan: Plan,
    whole: bool = False,
    min_confidence: float | None = None,
) -> FloatArray | None:
    """Run a strategy's plan: up to ``soft`` while its quorum is not met, up to ``hard`` once it is.

    With ``whole`` only an answer of all its members counts. Members under way at the end stay so: a strategy
    that comes next may want them.
    """
    if strategy.staged or plan is not strategy.plan:
        if strategy.lost:
            return None
        way = Stages(strategy, plan, execution, min_confidence)
        return await way.run(clock, soft, hard, whole=whole)
    members = strategy.positions
    hopeless = strategy.missing if whole else strategy.hopeless
    for _ in members:  # what fails together may be started again one by one
        wanted = strategy.next(execution)
        if not wanted:
            break
        execution.start(wanted)
        if not execution.waiting_for(members):
            continue
        await execution.wait(soft, members, lambda: bool(hopeless(execution)))
        if execution.part is not None:
            break
        if execution.waiting_for(members):
            if whole or strategy.answer(execution) is None:
                return None
            await execution.wait(hard, members)
            if execution.waiting_for(members):
                break
    return strategy.answer(execution)


async def _serve_blind(endpoint: LoadedEndpoint, choice: Choice, execution: Execution, deadline: float) -> Served:
    """All arms' members run and all arms' answers are computed, so that no time tells which arm was assigned."""
    execution.start(endpoint.everyone)
    await execution.wait(deadline, endpoint.everyone)
    execution.give_up()
    return Served(*blind.settle(endpoint, choice, execution))


def no_quorum(endpoint: LoadedEndpoint, choice: Choice, execution: Execution, limit: float) -> NoQuorum:
    """The error of a request that nothing could answer, naming the members that were missing; blind, it names none."""
    if endpoint.blind:
        return NoQuorum(
            f"Endpoint '{endpoint.name}' had no answer within {limit * 1000:g} ms; retry, or raise the deadline."
        )
    strategy = choice.strategy
    missing = ", ".join(
        f"{endpoint.pool.members[p].name} ({execution.reasons[p] or 'member_timeout'})"
        for p in strategy.positions
        if (execution.status[:, p] == FAILED if strategy.staged else execution.status[:, p] != OK).any()
    )
    return NoQuorum(
        f"Strategy '{strategy.name}' needs {strategy.quorum} members within {limit * 1000:g} ms and no fallback "
        f"could answer; missing: {missing}. Retry, or raise the deadline."
    )
