"""What each strategy of a revision answers to members' logged outputs: exactly what it answers when it serves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import sqlalchemy as sa

from quorate import plugins
from quorate.codecs import learned
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, StrategyRoute
from quorate.control.coverage.logged import promising
from quorate.control.revisions.publication import routes_of
from quorate.core.calibrate.methods import calibrate
from quorate.core.combine.base import Combiner
from quorate.core.plan.all_at_once import AllAtOnce
from quorate.core.plan.base import Plan
from quorate.core.plan.trace import enough, trace
from quorate.core.types import BoolArray, FloatArray, State, Status, StatusArray
from quorate.errors import NotFound, QuorateError
from quorate.store.revisions import revision

log = logging.getLogger("quorate.control")

ReadBlob = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class LoggedStrategy:
    """One strategy over the member axis of a revision's pool; without a combiner its fitted state is lost."""

    name: str
    columns: tuple[int, ...]
    quorum: int
    combiner: Combiner | None
    state: State | None
    knows: bool = True
    """False where its combiner learns, and what it had learned is not given."""
    plan: Plan | None = None
    """Who is asked, row by row, where that is not all of them at once."""
    calibration: State | None = None

    @classmethod
    def of(cls, route: StrategyRoute, members: tuple[str, ...], read: ReadBlob) -> LoggedStrategy:
        """Build it; what keeps it from answering is logged."""
        columns = tuple(members.index(name) for name in route.members)
        state = calibration = None
        try:
            if route.state is not None:
                state = state_codec.decode({name: read(digest) for name, digest in route.state.items()})
            if route.calibrate is not None:
                files = route.calibrate.files.items()
                calibration = state_codec.decode({name: read(digest) for name, digest in files})
        except (QuorateError, OSError) as error:
            log.error("It is not known what strategy '%s' would answer: %s", route.name, error)
            return cls(route.name, columns, route.quorum, None, None)
        combiner: Combiner = plugins.build("combiners", route.kind, route.params)
        plan = combiner.plan(route.members, state)
        staged = None if isinstance(plan, AllAtOnce) else plan
        return cls(route.name, columns, route.quorum, combiner, state, not combiner.learns, staged, calibration)

    def over(self, route: StrategyRoute, members: tuple[str, ...]) -> LoggedStrategy:
        """The same over the member axis of another revision's pool."""
        return replace(self, columns=tuple(members.index(name) for name in route.members))

    def answer(self, outputs: FloatArray, status: StatusArray, features: FloatArray | None = None) -> FloatArray:
        """Answers float32 ``[n, k]`` to logged ``outputs [n, m, k]`` under ``status [n, m]`` and ``features [n, d]``.

        Rows are NaN where it is not known what it would have answered: a member that it would have asked did not run,
        or too few of them answered well, or what was fitted for it is lost, or what it had learned is not given, or it
        looks at features that were not recorded.
        """
        answer, asked = self.said(outputs, status, features)
        return calibrate(answer, self.calibration, asked)

    def combined(self, outputs: FloatArray, status: StatusArray, features: FloatArray | None = None) -> FloatArray:
        """What it combines to, before it is calibrated; otherwise as :meth:`answer`."""
        return self.said(outputs, status, features)[0]

    def said(
        self, outputs: FloatArray, status: StatusArray, features: FloatArray | None = None
    ) -> tuple[FloatArray, StatusArray]:
        """:meth:`combined`, and the status ``[n, m]`` of its members by which that came about."""
        columns = list(self.columns)
        status, known = self._asked(outputs[:, columns], status[:, columns])
        answer = np.full((len(outputs), outputs.shape[2]), np.nan, np.float32)
        if self.combiner is None or not self.knows or not known.any():
            return answer, status
        width = self.combiner.feature_width(self.state)
        if width and (features is None or features.shape[1] != width):
            return answer, status
        given = features[known] if width and features is not None else None
        answer[known] = self.combiner.combine(outputs[known][:, columns], status[known], self.state, given)
        return answer, status

    def _asked(self, outputs: FloatArray, status: StatusArray) -> tuple[StatusArray, BoolArray]:
        """The status with ``SKIPPED`` what it would not have asked, and which rows it would have answered."""
        if self.plan is None:
            known = (status != Status.SKIPPED).all(axis=1)
            return status, known & ((status == Status.OK).sum(axis=1) >= self.quorum)
        way = trace(self.plan, outputs, status)
        status = way.status(status)
        return status, way.known & enough(status, self.quorum)


class LoggedRevision:
    """A revision of an endpoint as it is in the store, with its strategies ready to answer."""

    def __init__(self, endpoint: EndpointRoute, pool: PoolRoute, read: ReadBlob) -> None:
        self.endpoint = endpoint
        self.pool = pool
        self.members = tuple(member.name for member in pool.members)
        self.strategies = tuple(LoggedStrategy.of(route, self.members, read) for route in endpoint.strategies)
        self.promising = promising(endpoint, pool, read)
        """What strategies can promise, by name."""

    @classmethod
    def load(cls, connection: sa.Connection, endpoint: str, number: int, read: ReadBlob) -> LoggedRevision:
        """From the store; :class:`~quorate.errors.NotFound`."""
        return cls(*routes_of(revision(connection, endpoint, number)), read)

    def answers(self, outputs: FloatArray, status: StatusArray, features: FloatArray | None = None) -> FloatArray:
        """What every strategy answers, float32 ``[s, n, k]``; see :meth:`LoggedStrategy.answer`."""
        return np.stack([strategy.answer(outputs, status, features) for strategy in self.strategies])

    def knowing(self, states: Mapping[str, State | None]) -> LoggedRevision:
        """The same, with what combiners have learned, by strategy; None is nothing yet."""
        if not states:
            return self
        known = copy(self)
        known.strategies = tuple(
            replace(each, state=states[each.name], knows=True) if each.name in states else each
            for each in self.strategies
        )
        return known


class SameStrategies:
    """Revisions of an endpoint whose strategies are those of now, made of the same members; each is read once.

    ``arms`` says what those of now are made of (:func:`quorate.codecs.learned.arms`).
    """

    def __init__(self, connection: sa.Connection, endpoint: str, arms: str, read: ReadBlob) -> None:
        self._connection, self._endpoint, self._arms, self._read = connection, endpoint, arms, read
        self._known: dict[int, LoggedRevision | None] = {}

    def of(self, number: int) -> LoggedRevision | None:
        """The revision; None where it is another one, or the store does not have it."""
        if number not in self._known:
            self._known[number] = self._load(number)
        return self._known[number]

    def _load(self, number: int) -> LoggedRevision | None:
        try:
            found = LoggedRevision.load(self._connection, self._endpoint, number, self._read)
        except NotFound:
            return None
        return found if learned.arms(found.endpoint, found.pool) == self._arms else None
