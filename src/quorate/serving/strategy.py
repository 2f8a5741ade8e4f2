"""A strategy in memory: its plan and its combiner, bound to a loaded pool."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import numpy as np

from quorate import plugins
from quorate.codecs import learned
from quorate.codecs.snapshot import StrategyRoute
from quorate.core.calibrate.methods import calibrate
from quorate.core.combine.base import Combiner
from quorate.core.plan.all_at_once import AllAtOnce
from quorate.core.plan.base import Plan, Way
from quorate.core.plan.budgeted import Budgeted, BudgetedParams
from quorate.core.plan.stages import stages_of
from quorate.core.plan.trace import enough, trace
from quorate.core.types import FloatArray, State, Status, StatusArray
from quorate.serving.batch import FAILED, OK, Batch, Part
from quorate.serving.execution import Execution
from quorate.serving.pool import LoadedPool
from quorate.serving.promise import Promise
from quorate.serving.units import InProcessUnit

SKIPPED = int(Status.SKIPPED)


class LoadedStrategy:
    """A plan and a combiner over some columns of a pool's member axis.

    One whose fitted state, or calibration, was lost has no answer, so that the fallback takes its place.
    """

    __slots__ = (
        "_all_ok",
        "_calibration",
        "_clock",
        "_on_combine",
        "_whole",
        "_width",
        "columns",
        "combiner",
        "learner_key",
        "looks",
        "lost",
        "members",
        "name",
        "plan",
        "pool",
        "positions",
        "promise",
        "quorum",
        "simple",
        "staged",
        "stages",
        "state",
    )

    def __init__(
        self,
        route: StrategyRoute,
        pool: LoadedPool,
        state: State | None,
        on_combine: Callable[[float], None] = lambda _ms: None,
        calibration: State | None = None,
        conformal: State | None = None,
    ) -> None:
        order = [member.name for member in pool.members]
        self.name = route.name
        self.members = route.members
        self.positions = tuple(order.index(name) for name in route.members)
        whole = self.positions == tuple(range(len(order)))
        self.columns: slice | list[int] = slice(None) if whole else list(self.positions)
        self.combiner: Combiner = plugins.build("combiners", route.kind, route.params)
        self.plan: Plan = AllAtOnce()
        self._clock = pool.clock
        self._on_combine = on_combine
        self._width = pool.route.signature.output.width
        self._all_ok = np.zeros((1, len(route.members)), np.int8)
        self._whole = whole
        self.quorum = route.quorum
        self.state = state
        self._calibration = calibration
        self.lost = (route.state is not None and state is None) or (route.calibrate is not None and calibration is None)
        if not self.lost:
            self.plan = planned(route, self.combiner, state)
        self.stages = stages_of(route.members, state)
        """Its members' places, by the stage that asks them."""
        self.staged = not isinstance(self.plan, AllAtOnce)
        """Whether its plan chooses, row by row, who is asked next."""
        self.looks = not self.lost and self.combiner.feature_width(state) > 0
        """Whether its combiner looks at features."""
        self.pool = pool
        self.simple = not self.staged and not self.lost
        """Whether it answers whenever all its members do, which are asked all at once."""
        self.learner_key = learned.combiner_key(route, pool.route) if self.combiner.learns else ""
        self.promise = None if conformal is None else Promise(route, pool.route, conformal)
        """What it can promise; None where it has no conformal state, or that was lost."""

    def knowing(self, state: State | None) -> LoadedStrategy:
        """The same with what its combiner has learned, None for nothing. Requests under way keep the one they chose, so
        that what is recorded as their state is the one that answered."""
        width = self._width
        self.combiner.combine(np.full((1, len(self.members), width), 1.0 / width, np.float32), self._all_ok, state)
        known = copy(self)
        known.state = state
        return known

    def adapting(self, state: State) -> LoadedStrategy:
        """The same with what was learned of its coverage."""
        known = copy(self)
        if self.promise is not None:
            known.promise = self.promise.adapting(state)
        return known

    @property
    def looks_at(self) -> int | None:
        """The pipeline of the pool whose tensors are the features that its combiner looks at: its first member's."""
        return self.pool.members[self.positions[0]].unit.feed if self.looks else None

    def next(self, execution: Execution) -> list[int]:
        """Positions in the pool of members that are still to run, where all are asked at once."""
        return execution.not_over(self.positions)

    def budgeted(self, rows: int, left_ms: float) -> Budgeted | None:
        """The plan of those members that can answer so many rows in time, as measured; None where all of them can."""
        pool, positions = self.pool, self.positions
        if self.staged or self.lost or len(positions) < 2:
            return None
        if pool.takes_ms(pool.units_for(positions), rows) <= left_ms:
            return None
        units = [pool.members[position].unit for position in positions]
        return Budgeted(
            BudgetedParams(
                tuple(pool.within_ms(unit, rows) for unit in units),
                self.combiner.worth(self.members, self.state),
                tuple(isinstance(unit, InProcessUnit) for unit in units),
                pool.width_of(units, rows),
                self.quorum,
            )
        )

    def answer(self, execution: Execution, way: Way | None = None) -> FloatArray | None:
        """The combined answer ``[n, k]``, or None where a row has fewer than ``quorum`` good members.

        Where a plan asked fewer than that for a row, all of those are enough. ``way`` is what its own plan went, which
        may have worked out the answer.
        """
        if self.lost:
            return None
        if self.staged or execution.asked is not None:
            return self._answer_asked(execution, way if self.staged else None)
        if execution.part is not None:
            return self.of(execution.part)
        status = execution.status
        if not execution.flawless(self.positions):
            good = (status[:, self.columns] == OK).sum(axis=1)
            if int(good.min()) < self.quorum:
                return None
        looks_at = self.looks_at
        return self._combine(execution.values, status, None if looks_at is None else execution.features(looks_at))

    def _answer_asked(self, execution: Execution, way: Way | None) -> FloatArray | None:
        status = self.status(execution)
        met = enough(status, self.quorum) if self.staged else (status == OK).sum(axis=1) >= self.quorum
        return self.combined(execution, status, way) if met.all() else None

    def status(self, execution: Execution) -> StatusArray:
        """Status ``[n, m]`` of its members, in its order: ``SKIPPED`` what its plan did not ask, whoever ran it.

        Where all have run without the plan being asked, what it would have asked counts.
        """
        status = execution.status[:, self.columns]
        asked = None if execution.asked is None else execution.asked.get(self.name)
        if asked is not None:
            return np.where(asked, status, np.int8(SKIPPED))
        if self.staged:
            return trace(self.plan, execution.values[:, self.columns], status).status(status)
        return status

    def combined(self, execution: Execution, status: StatusArray, way: Way | None = None) -> FloatArray:
        """What the members answer together whose status ``[n, m]`` is good; NaN in rows without one."""
        looks_at = self.looks_at
        features = None if looks_at is None else execution.features(looks_at)
        return self._timed(execution.values[:, self.columns], status, features, way)

    def of(self, part: Part) -> FloatArray:
        """The combined answer ``[n, k]`` to a part of a batch of all the pool's members, each of which answered it."""
        batch, start, stop = part
        if not batch.flawless:  # of other requests' rows too little may be left to combine
            return self._combine(part.values, part.status, self._features(part))
        answer: FloatArray = batch.once(self, lambda: self._combine(batch.values, batch.status, self._features(batch)))
        return answer[start:stop]

    def _features(self, of: Part | Batch) -> FloatArray | None:
        looks_at = self.looks_at
        return None if looks_at is None else of.features(looks_at)

    def _combine(self, values: FloatArray, status: StatusArray, features: FloatArray | None) -> FloatArray:
        """Rows of any number of requests at once: combiners work row by row."""
        if not self._whole:
            values, status = values[:, self.columns], status[:, self.columns]
        return self._timed(values, status, features)

    def _timed(
        self, values: FloatArray, status: StatusArray, features: FloatArray | None, way: Way | None = None
    ) -> FloatArray:
        started = self._clock.monotonic()
        answer = None if way is None else way.answers(values, status)
        if answer is None:
            answer = self.combiner.combine(values, status, self.state, features)
        answer = calibrate(answer, self._calibration, status)
        self._on_combine((self._clock.monotonic() - started) * 1000)
        return answer

    def hopeless(self, execution: Execution) -> bool:
        """Whether it cannot answer, whatever the running members do: too many others have failed."""
        failed = (execution.status[:, self.columns] == FAILED).sum(axis=1)
        return self.lost or len(self.positions) - int(failed.max()) < self.quorum

    def missing(self, execution: Execution) -> tuple[str, ...]:
        """Members that failed for at least one row."""
        if execution.sound or (not self.staged and execution.flawless(self.positions)):
            return ()
        failed = (self.status(execution) == FAILED).any(axis=0)
        return tuple(name for name, lost in zip(self.members, failed, strict=True) if lost)


def planned(route: StrategyRoute, combiner: Combiner, state: State | None) -> Plan:
    """The plan of a strategy: its combiner's own, unless its route names another."""
    own = combiner.plan(route.members, state)
    return own if route.plan in (AllAtOnce.kind, own.kind) else plugins.build("plans", route.plan, route.plan_params)
