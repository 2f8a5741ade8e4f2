"""A plan of several stages at work: it is asked again after each, and what it does not ask is not run.

A stage is not begun that, as measured, cannot end before the deadline, where there is an answer without it: the plan is
then shown its members as failed, and goes on as it does without them. So it is with members that did fail. A row that
has no answer yet is never held back.
"""

from __future__ import annotations

import numpy as np

from quorate.clock import Clock
from quorate.core.plan.base import Plan
from quorate.core.types import BoolArray, FloatArray, StatusArray
from quorate.serving.batch import FAILED, OK
from quorate.serving.execution import Execution
from quorate.serving.strategy import SKIPPED, LoadedStrategy


class Stages:
    """One request's way through a strategy's plan; ``min_confidence`` is what it goes on asking for, if anything."""

    def __init__(
        self,
        strategy: LoadedStrategy,
        plan: Plan,
        execution: Execution,
        min_confidence: float | None = None,
    ) -> None:
        self._strategy = strategy
        self._way = plan.begin()
        self._execution = execution
        self._sure = min_confidence if strategy.staged else None
        if self._sure is not None:
            places = {j: number for number, stage in enumerate(strategy.stages) for j in stage}
            self._stage = np.array([places[j] for j in range(len(strategy.positions))])
        shape = (execution.rows, len(strategy.positions))
        self._asked = np.zeros(shape, np.bool_)
        self._barred = np.zeros(shape, np.bool_)
        if execution.asked is None:
            execution.asked = {}
        execution.asked[strategy.name] = self._asked

    async def run(self, clock: Clock, soft: float, hard: float, *, whole: bool) -> FloatArray | None:
        """The answer ``[n, k]``; see :func:`quorate.serving.strategies.serve` for what counts until when."""
        strategy, execution = self._strategy, self._execution
        members = strategy.positions
        for _ in range(2 * len(members)):  # a plan has at most as many stages as members, and so has what it goes on to
            wanted = self._wanted((hard - clock.monotonic()) * 1000)
            if wanted is None:
                break
            self._asked |= wanted
            execution.ask(wanted, members)
            if not execution.waiting_for(members):
                continue
            await execution.wait(soft, members, lambda: whole and bool(strategy.missing(execution)))
            if execution.waiting_for(members):
                if whole or strategy.answer(execution) is None:
                    return None
                await execution.wait(hard, members)
                if execution.waiting_for(members):
                    break
        return strategy.answer(execution, self._way)

    def _wanted(self, left_ms: float) -> BoolArray | None:
        """What is asked next, bool ``[n, m]``, of which all can end in time; None for nothing."""
        strategy, execution = self._strategy, self._execution
        if execution.dropped:
            for j, position in enumerate(strategy.positions):
                if position in execution.dropped:
                    self._barred[:, j] = True
        said, status = execution.values[:, strategy.columns], execution.status[:, strategy.columns]
        known = np.where(self._asked, status, np.int8(SKIPPED))
        answered = (known == OK).any(axis=1)
        if (known != status).any():  # others have asked more, which this plan does not know of
            said = np.where((known == OK)[:, :, None], said, np.float32(np.nan))
        while True:
            view = known
            if self._barred.any():
                view = np.where(self._barred & (known == SKIPPED), np.int8(FAILED), known)
            wanted: BoolArray = self._way.next(said, view, left_ms) & (view == SKIPPED)
            if self._sure is not None:
                wanted |= self._further(known, view, wanted)
            if not wanted.any():
                return None
            if not answered.any():
                return wanted
            late = self._late(wanted & answered[:, None] & (status == SKIPPED), left_ms)
            if not late.any():
                return wanted
            self._barred |= late
            execution.cut = True

    def _further(self, known: StatusArray, view: StatusArray, wanted: BoolArray) -> BoolArray:
        """What rows ask that the plan is done with and that are not sure enough: the next stage there is for them."""
        left = view == SKIPPED
        rows = ~wanted.any(axis=1) & left.any(axis=1)
        if not rows.any():
            return np.zeros(wanted.shape, np.bool_)
        confidence = self._strategy.combined(self._execution, known, self._way).max(axis=1)
        rows &= ~(confidence >= self._sure)  # one without an answer is NaN
        stages = np.where(left, self._stage, len(self._strategy.stages))
        further: BoolArray = left & rows[:, None] & (stages == stages.min(axis=1, keepdims=True))
        return further

    def _late(self, wanted: BoolArray, left_ms: float) -> BoolArray:
        """Which of these, together, cannot end in the time left: those that cannot alone, or else the longest."""
        late = np.zeros(wanted.shape, np.bool_)
        pool, positions = self._strategy.pool, self._strategy.positions
        columns = np.flatnonzero(wanted.any(axis=0)).tolist()
        if not columns:
            return late
        rows = int(wanted.any(axis=1).sum())
        units = pool.apart([positions[j] for j in columns])
        if pool.takes_ms(units, rows) <= left_ms:
            return late
        costs = {unit: pool.within_ms(unit, rows) for unit in units}
        most = min(left_ms, max(costs.values()))
        out = {position for unit, cost in costs.items() if cost >= most for position in unit.members}
        for j in columns:
            late[:, j] = wanted[:, j] if positions[j] in out else False
        return late
