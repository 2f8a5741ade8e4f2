"""Combiners that learn: what joined decisions teach those of one endpoint's strategies.

A row teaches when its truth has become known: what the members said is on record, so it teaches the same whichever
strategy answered and whoever chose it. It counts under every revision in which the strategy's members were the same.
Combiners that watch are shown every decision too, when its journal is read: how members agree needs no truth.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate import plugins
from quorate.codecs import learned
from quorate.codecs.decision import Packed, Summary
from quorate.codecs.learned import Known
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, StrategyRoute
from quorate.control.learning.answering import LoggedRevision
from quorate.control.learning.feedback import LEARNED, NO_REWARD, truth_of
from quorate.control.outcomes.joined import Joined
from quorate.core.combine.base import Combiner
from quorate.core.erasing import is_erased
from quorate.core.types import FloatArray, State, StatusArray
from quorate.store.ledger import TRUTH


class Lesson(NamedTuple):
    """One row: what the members of a strategy said, ``[1, m, k]`` under ``[1, m]``, and its truth, a class index or a
    number."""

    at: float
    outputs: FloatArray
    status: StatusArray
    truth: float


WATCHED = 2000
"""Decisions that a combiner looks at of those that come together; of more it sees as many, evenly."""


class Sight(NamedTuple):
    """Decisions that were seen, whatever comes of them: what members said ``[n, m, k]`` under ``[n, m]`` to requests at
    the times ``at`` ``[n]``."""

    at: NDArray[np.float64]
    outputs: FloatArray
    status: StatusArray


_shape = msgspec.msgpack.Decoder(tuple[int, int, int]).decode
_bytes = msgspec.msgpack.Decoder(bytes).decode


class Combining:
    """One strategy whose combiner learns."""

    def __init__(self, route: StrategyRoute, pool: PoolRoute) -> None:
        digests = {member.name: member.digest for member in pool.members}
        self.name = route.name
        self.key = learned.combiner_key(route, pool)
        self.members = route.members
        self.combiner: Combiner = plugins.build("combiners", route.kind, route.params)
        self._digests = [digests[name] for name in route.members]
        self._output = pool.signature.output

    def state(self, known: Mapping[str, Known]) -> State | None:
        """Its state among what the endpoint knows; None before it has learned anything of these members."""
        found = known.get(self.name)
        return found.state if found is not None and found.key == self.key else None

    def lessons(self, revision: LoggedRevision, joined: Sequence[Joined]) -> list[Lesson]:
        """What decisions made under ``revision`` teach it; nothing where other members were on record."""
        columns = self.columns(revision.pool)
        if columns is None:
            return []
        found = []
        for each in joined:
            if not is_erased(each.decision.capture):
                found += self.lessons_of(columns, len(revision.members), each.decision, truths(each))
        return found

    def lessons_of(
        self, columns: list[int], members: int, d: Packed, truths: Iterable[tuple[int, float]]
    ) -> list[Lesson]:
        """What rows of a decision with these truths teach it; it is at these ``columns`` of so many members."""
        n, m, width = d.shape
        if not width or m != members:
            return []
        outputs = np.frombuffer(d.outputs, "<f4").reshape(d.shape)[:, columns]
        status = np.frombuffer(d.status, "i1").reshape(n, m)[:, columns]
        return [Lesson(d.arrived, outputs[i : i + 1], status[i : i + 1], truth) for i, truth in truths]

    def learn(self, state: State | None, lessons: Iterable[Lesson], *, shown: bool) -> State | None:
        """The state after lessons, by the time their requests arrived; None while there is nothing to know.

        ``shown`` says that the decisions were shown when they were made (:meth:`watch`); where they were not, they are
        what there is to watch.
        """
        some = sorted(lessons, key=lambda each: each.at)
        if not some:
            return state
        truths: NDArray[np.float64] = np.array([each.truth for each in some])
        outputs = np.concatenate([each.outputs for each in some])
        status = np.concatenate([each.status for each in some])
        if not shown or not self.combiner.watches:
            return self.combiner.learn(state, outputs, status, truths, self._output)
        at = np.array([each.at for each in some])
        return self.combiner.learn(state, outputs, status, truths, self._output, at=at)

    def sight(self, revision: LoggedRevision, decided: Sequence[Summary]) -> Sight | None:
        """What there is to see of decisions made under ``revision``; None where other members were on record."""
        columns = self.columns(revision.pool)
        if columns is None or not self.combiner.watches:
            return None
        said = ((d.arrived, _shape(d.shape), _bytes(d.outputs), _bytes(d.status)) for d in evenly(decided))
        return self.sight_of(columns, len(revision.members), said)

    def sight_of(
        self, columns: list[int], members: int, said: Iterable[tuple[float, tuple[int, int, int], bytes, bytes]]
    ) -> Sight | None:
        """What there is to see of decisions that came at a time, and of which these shapes, outputs and statuses are on
        record; the rest is as in :meth:`lessons_of`."""
        found = []
        for arrived, (n, m, width), values, ran in said:
            if width and m == members:
                each = np.frombuffer(values, "<f4").reshape(n, m, width)[:, columns]
                found.append(Sight(np.full(n, arrived), each, np.frombuffer(ran, "i1").reshape(n, m)[:, columns]))
        if not found:
            return None
        at, outputs, status = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.argsort(at, kind="stable")
        return Sight(at[order], outputs[order], status[order])

    def watch(self, state: State | None, sight: Sight) -> State | None:
        """The state after decisions were seen."""
        return self.combiner.watch(state, sight.outputs, sight.status, self._output, sight.at)

    def columns(self, pool: PoolRoute) -> list[int] | None:
        """Where its members are in a revision's pool; None where they are not, or others by the same names."""
        digests = {member.name: member.digest for member in pool.members}
        if [digests.get(name) for name in self.members] != self._digests:
            return None
        names = [member.name for member in pool.members]
        return [names.index(name) for name in self.members]


def truths(joined: Joined) -> list[tuple[int, float]]:
    """The rows of a decision whose truth has just become known, a class index or a number."""
    known = ((row, truth_of(joined, row)) for row, new in joined.new.items() if TRUTH in new)
    return [(row, truth) for row, truth in known if math.isfinite(truth)]


def evenly(decided: Sequence[Summary]) -> Sequence[Summary]:
    """Those of decisions that came together which combiners look at."""
    return decided[:: max(1, -(-len(decided) // WATCHED))]


def combining(endpoint: EndpointRoute, pool: PoolRoute) -> tuple[Combining, ...]:
    """An endpoint's strategies whose combiners learn."""
    return tuple(
        Combining(route, pool) for route in endpoint.strategies if plugins.load("combiners", route.kind).learns
    )


def learned_rows(joined: Sequence[Joined], taught: Mapping[str, Sequence[Lesson]]) -> Counter[str]:
    """Rows of which something became known, by whether any combiner learned from them."""
    rows = sum(bool(new) for each in joined for new in each.new.values())
    most = max(map(len, taught.values()), default=0)
    return Counter({LEARNED: most, NO_REWARD: max(rows - most, 0)})
