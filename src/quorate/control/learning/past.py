"""What a combiner knew at every version of its endpoint's learned state, made again from the record of lessons.

As it was served: from the nearest state on record, step by step, with the same lessons in the same order and batches;
so the numbers are the same bit for bit. Or as another combiner would have learned, had it been put in when the record
begins: from the same lessons, at the same versions.
"""

from __future__ import annotations

import json
import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import msgspec
import numpy as np

from quorate.codecs import learned
from quorate.codecs import lessons as codec
from quorate.codecs.decision import Packed
from quorate.codecs.gather import gather
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import PoolRoute, StrategyRoute
from quorate.control.learning.combining import Combining, Lesson
from quorate.control.learning.recording import EVERY, unpack_states
from quorate.control.revisions.publication import routes_of
from quorate.core.types import State
from quorate.errors import NotFound, QuorateError
from quorate.store import lessons
from quorate.store.database import Database
from quorate.store.lessons import RESET, SEEN, TAUGHT, WARM, Step
from quorate.store.revisions import revision

log = logging.getLogger("quorate.control")

_PAGE = 64
"""Steps that are read at a time."""
_MARKS = 64
"""States that are remembered on the way at most, to go back to."""
_BYTES = 64 << 20
"""Of the states that were passed last and are remembered: other workers' decisions ask for them again."""


class Moment(NamedTuple):
    """What a combiner knew: ``state``, None before any outcome, where that is ``known``."""

    known: bool
    state: State | None


UNKNOWN, NOTHING = Moment(False, None), Moment(True, None)


@dataclass(slots=True)
class Gaps:
    """What could not be used of the record: ``erased`` rows, decisions that are ``gone`` from the journal, ``missing``
    stretches of versions, ``failed`` steps; and how often a combiner that was not there ``began`` anew, as others did.

    Of ``checked`` states that are on record, and were made again on the way, so many are ``others``.
    """

    erased: int = 0
    gone: int = 0
    missing: int = 0
    failed: int = 0
    began: int = 0
    checked: int = 0
    others: int = 0
    _counted: set[int] = field(default_factory=set)

    def new(self, version: int) -> bool:
        """Whether a version is looked at for the first time; it counts once, however often it is made again."""
        before = len(self._counted)
        self._counted.add(version)
        return len(self._counted) > before


class _Position(NamedTuple):
    version: int
    moment: Moment
    taught: bool


class _Memory:
    """Positions that were passed: the last ones, as far as they fit, and a few of all the way."""

    def __init__(self, start: _Position) -> None:
        self._marks = {start.version: start}
        self._last: dict[int, tuple[_Position, int]] = {}
        self._bytes = 0

    def keep(self, position: _Position, *, mark: bool) -> None:
        """Remember a position; ``mark`` says for longer."""
        state = position.moment.state
        size = 0 if state is None else sum(array.nbytes for array in state.arrays.values())
        self._bytes += size - self._last.pop(position.version, (None, 0))[1]
        self._last[position.version] = (position, size)
        while self._bytes > _BYTES and len(self._last) > 1:
            oldest = next(iter(self._last))
            self._bytes -= self._last.pop(oldest)[1]
        if mark:
            self._marks[position.version] = position
            if len(self._marks) > _MARKS:
                for version in sorted(self._marks)[1:-1:2]:
                    del self._marks[version]

    def at(self, version: int) -> _Position | None:
        """The position of a version, if it is remembered."""
        found = self._last.get(version)
        return None if found is None else found[0]

    def before(self, version: int) -> _Position | None:
        """The last position at or before a version."""
        nearest = max((each for each in (*self._marks, *self._last) if each <= version), default=None)
        return None if nearest is None else self.at(nearest) or self._marks[nearest]


class Past:
    """The states of one strategy's combiner; ``served``: as it was, else as if it had been put in.

    Ask for versions in ascending order, mostly: going back begins at a state on record, or one that is remembered.
    """

    def __init__(self, database: Database, reader: JournalReader, endpoint: str, mine: Combining, *, served: bool):
        self.gaps = Gaps()
        self._database, self._reader, self._endpoint = database, reader, endpoint
        self._mine, self._served = mine, served
        self._revisions: dict[int, tuple[PoolRoute, tuple[StrategyRoute, ...]] | None] = {}
        self._had_it: dict[int, bool] = {}
        self._ahead: deque[Step] = deque()
        with database.read() as connection:
            first, self._last = lessons.first(connection, endpoint), lessons.last(connection, endpoint) or 0
            marks = lessons.with_states(connection, endpoint)
        self.since = None if first is None else first.at
        """When the record begins, Unix seconds; None where there is none."""
        self._first = 0 if first is None else first.version
        start = _Position(self._first - 1, NOTHING if first is not None and not served else UNKNOWN, not served)
        self._passed = _Memory(start)
        self._on_record = marks if served else []
        self._now = start

    def at(self, revision: int, version: int) -> Moment:
        """What it knew when a decision was made under a revision, by what had been learned up to ``version``."""
        if self._served and not self._was_in(revision):
            return UNKNOWN
        if version == 0:
            return NOTHING
        if version > self._last:  # learned meanwhile
            with self._database.read() as connection:
                self._last = lessons.last(connection, self._endpoint) or 0
        if not self._first <= version <= self._last:
            return UNKNOWN
        passed = self._passed.at(version)
        if passed is not None:
            return passed.moment
        self._go_to_start_of(version)
        while self._now.version < version:
            step = self._next()
            if step is None or step.version > version:
                self.gaps.missing += self.gaps.new(self._now.version + 1)
                return UNKNOWN if self._served else self._now.moment
            self._take(step)
        return self._now.moment

    def _was_in(self, number: int) -> bool:
        """Whether a revision had the strategy, with the same members and settings."""
        if number not in self._had_it:
            pool, strategies = self._revision(number) or (None, ())
            own = (each for each in strategies if each.name == self._mine.name)
            self._had_it[number] = pool is not None and any(
                learned.combiner_key(each, pool) == self._mine.key for each in own
            )
        return self._had_it[number]

    def _revision(self, number: int) -> tuple[PoolRoute, tuple[StrategyRoute, ...]] | None:
        if number not in self._revisions:
            self._revisions[number] = None
            try:
                with self._database.read() as connection:
                    endpoint, pool = routes_of(revision(connection, self._endpoint, number))
            except (NotFound, msgspec.MsgspecError):
                return None
            self._revisions[number] = (pool, tuple(endpoint.strategies))
        return self._revisions[number]

    # --- going from version to version ------------------------------------------------------------

    def _go_to_start_of(self, version: int) -> None:
        """Go to the position at or before a version from which the way is shortest; a short way is gone on."""
        now = self._now
        if now.moment.known and 0 <= version - now.version <= _PAGE:
            return
        at = bisect_right(self._on_record, version)
        best = self._on_record[at - 1] - 1 if at else -1  # the step itself has the state
        passed = self._passed.before(version)
        if now.version <= version and now.version >= max(best, -1 if passed is None else passed.version):
            return
        self._ahead.clear()
        if passed is not None and passed.version > best:
            self._now = passed
        else:
            self._now = _Position(best, UNKNOWN, taught=False)

    def _next(self) -> Step | None:
        """The next step on record; it stays there until it is taken."""
        while self._ahead and self._ahead[0].version <= self._now.version:
            self._ahead.popleft()
        if not self._ahead:
            with self._database.read() as connection:
                self._ahead += lessons.steps(connection, self._endpoint, self._now.version, _PAGE)
        return self._ahead[0] if self._ahead else None

    def _take(self, step: Step) -> None:
        before = self._now
        whole = step.version == before.version + 1
        if not whole:
            self.gaps.missing += self.gaps.new(before.version + 1)
        fresh = self.gaps.new(step.version)
        if self._served:
            self._now = self._as_served(step, before if whole else before._replace(moment=UNKNOWN), fresh=fresh)
        else:
            self._now = self._put_in(step, before, fresh=fresh)
        self._passed.keep(self._now, mark=not self._served and step.version % EVERY == 0)

    def _as_served(self, step: Step, before: _Position, *, fresh: bool) -> _Position:
        follows = step.kind in (TAUGHT, SEEN)
        moment = before.moment
        if follows and before.taught and moment.known:
            moment = self._after(step, moment.state, fresh=fresh)
        if step.state is None:
            return _Position(step.version, moment, before.taught)
        mine, key = self._mine.name, self._mine.key
        found = unpack_states(step.state).get(mine)
        state = found.state if found is not None and found.key == key else None
        if follows and fresh and before.moment.known and moment.known:
            self.gaps.checked += 1
            self.gaps.others += not same(state, moment.state)
        return _Position(step.version, Moment(True, state), json.loads(step.strategies or "{}").get(mine) == key)

    def _put_in(self, step: Step, before: _Position, *, fresh: bool) -> _Position:
        if step.kind in (RESET, WARM):
            self.gaps.began += fresh
            return _Position(step.version, NOTHING, taught=True)
        if step.kind not in (TAUGHT, SEEN):
            return before._replace(version=step.version)
        return _Position(step.version, self._after(step, before.moment.state, fresh=fresh), taught=True)

    # --- one step ---------------------------------------------------------------------------------

    def _after(self, step: Step, state: State | None, *, fresh: bool) -> Moment:
        """What it knows after a step; not known, where it was served, if something of the step is lost."""
        try:
            told = codec.unpack(step.body)
        except QuorateError as error:
            log.error("A step of the record of lessons of '%s' cannot be read: %s", self._endpoint, error)
            self.gaps.failed += fresh
            return UNKNOWN if self._served else Moment(True, state)
        found = {id_: each for id_, each in gather(self._reader, told.decisions) if isinstance(each, Packed)}
        gone = sum(id_ not in found for id_ in told.decisions)
        if fresh:
            self.gaps.erased += step.erased
            self.gaps.gone += gone
        if self._served and (gone or step.erased):
            return UNKNOWN
        try:
            after = self._taught(told, found, state) if step.kind == TAUGHT else self._shown(told, found, state)
        except Exception:  # a plugin's code
            log.exception("'%s' could not be taught again what it learned at '%s'", self._mine.name, self._endpoint)
            self.gaps.failed += fresh
            return UNKNOWN if self._served else Moment(True, state)
        return Moment(True, after)

    def _taught(self, told: codec.Lessons, found: dict[str, Packed], state: State | None) -> State | None:
        rows: list[Lesson] = []
        told_rows = zip(told.decisions, told.rows.tolist(), told.truths.tolist(), strict=True)
        for id_, some in groupby(told_rows, key=itemgetter(0)):
            place = self._place(found.get(id_))
            if place is not None:
                rows += self._mine.lessons_of(*place, found[id_], [each[1:] for each in some])
        return _own(self._mine.learn(_own(state), rows, shown=True))

    def _shown(self, told: codec.Lessons, found: dict[str, Packed], state: State | None) -> State | None:
        some: Sequence[Packed] = [found[id_] for id_ in told.decisions if id_ in found]
        place = self._place(some[0] if some else None)  # they are of one revision
        if place is None or not self._mine.combiner.watches:
            return state
        sight = self._mine.sight_of(*place, ((d.arrived, d.shape, d.outputs, d.status) for d in some))
        return state if sight is None else _own(self._mine.watch(_own(state), sight))

    def _place(self, decision: Packed | None) -> tuple[list[int], int] | None:
        """Where its members are among those of a decision, and how many these are; None where they are others."""
        made = None if decision is None else self._revision(decision.revision)
        columns = None if made is None else self._mine.columns(made[0])
        return None if made is None or columns is None else (columns, len(made[0].members))


def _own(state: State | None) -> State | None:
    """A copy as it would be read: what learns may write into what it is given, and where numbers lie may count."""
    if state is None:
        return None
    arrays = {name: np.array(array, order="C", copy=True) for name, array in state.arrays.items()}
    return State(state.kind, state.version, dict(state.meta), arrays)


def same(one: State | None, other: State | None) -> bool:
    """Whether two states are the same bit for bit."""
    if one is None or other is None:
        return one is other
    if (one.kind, one.version, dict(one.meta)) != (other.kind, other.version, dict(other.meta)):
        return False
    return one.arrays.keys() == other.arrays.keys() and all(
        a.dtype == other.arrays[name].dtype
        and a.shape == other.arrays[name].shape
        and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(other.arrays[name]).tobytes()
        for name, a in one.arrays.items()
    )


class Pasts:
    """Makes the pasts of a project's combiners; None where an endpoint has no record of lessons."""

    def __init__(self, database: Database, reader: JournalReader) -> None:
        self._database, self._reader = database, reader

    def of(self, endpoint: str, route: StrategyRoute, pool: PoolRoute, *, served: bool) -> Past | None:
        """That of one strategy: as it was ``served``, or as if it had been put in."""
        made = Past(self._database, self._reader, endpoint, Combining(route, pool), served=served)
        return None if made.since is None else made
