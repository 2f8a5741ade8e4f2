"""Rows of an audit from logged decisions: members' recorded outputs beside the truth, thinned where there are many.

Which decisions are kept of too many depends on a hash of their independent unit (the decision, or the sticky unit), so
that what belongs together stays together, and the same rows come every time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.control.replay import tally
from quorate.control.replay.asked import Counts
from quorate.control.replay.joining import Found, Outcomes
from quorate.control.replay.slices import Body, Head
from quorate.control.replay.targets import Strategy
from quorate.core.audit.game import Rows
from quorate.core.types import FloatArray, Status
from quorate.errors import InvalidInput, JournalError

OTHER_VERSIONS = "answered by other versions of the members"
MOST = 20_000
"""Rows that are kept; of combiners that look neighbours up :data:`MOST_LOOKED_UP`."""
MOST_LOOKED_UP = 2_000
NUMBERS = 50_000_000
"""Numbers of outputs that are kept."""
OK, SKIPPED = int(Status.OK), int(Status.SKIPPED)


class Gathering:
    """Rows of one endpoint's decisions; more endpoints' may follow with :meth:`of`.

    ``revisions`` are those whose members were the same versions as now, ``classes`` the pool's (none for numbers).
    """

    def __init__(
        self,
        strategy: Strategy,
        classes: tuple[str, ...],
        since: float | None,
        until: float | None,
        most: int,
    ) -> None:
        self.counts = Counts()
        self._strategy, self._classes = strategy, classes
        self._since, self._until, self._most = since, until, most
        self._limit = np.uint64(2**64 - 1)
        self._parts: list[tuple[NDArray[np.uint64], Rows]] = []
        self._kept = 0

    def of(self, revisions: frozenset[int], outcomes: Outcomes) -> None:
        """What follows is of another endpoint."""
        self._revisions, self._outcomes = revisions, outcomes

    @property
    def thinned(self) -> float:
        """The share of the decisions that is kept."""
        return float(self._limit) / (2**64 - 1)

    def add(self, slot: int, boot: int, head: Head) -> None:
        """Take the decisions of a head."""
        mine = tally.in_time(head, self._since, self._until)
        if not mine.any():
            return
        found = self._outcomes.of(slot, boot, head.sequence)
        others = {OTHER_VERSIONS: ~np.isin(head.revision, list(self._revisions))}
        wanted = tally.eligible(self.counts, head, mine, found, others)
        left = int(np.count_nonzero(wanted))
        try:
            for body in head.bodies(wanted):
                left -= len(body.index)
                self._body(slot, boot, head, body, found)
        except (JournalError, OSError):
            self.counts.leave(tally.UNREADABLE, left)
            raise

    def rows(self) -> Rows | None:
        """All that was kept, in the order it came; None where nothing was."""
        if not self._parts:
            return None
        parts = [part for _, part in self._parts]
        features = [part.features for part in parts if part.features is not None]
        return Rows(
            np.concatenate([part.outputs for part in parts]),
            np.concatenate([part.status for part in parts]),
            np.concatenate([part.truth for part in parts]),
            np.concatenate([part.group for part in parts]),
            np.concatenate(features) if features else None,
        )

    def _body(self, slot: int, boot: int, head: Head, body: Body, found: Found) -> None:
        n, strategy = len(body.index), self._strategy
        order = {name: i for i, name in enumerate(body.layout.members)}
        if body.layout.classes != self._classes and self._classes:
            self.counts.leave(OTHER_VERSIONS, n)
            return
        width = strategy.combiner.feature_width(strategy.state)
        if body.outputs is None:
            self.counts.leave(tally.NOT_RECORDED, n)
            return
        if any(name not in order for name in strategy.members) or width not in (0, body.layout.features):
            self.counts.leave(tally.NOT_RUN, n)
            return
        columns = [order[name] for name in strategy.members]
        status = body.status[:, columns]
        ran = ~np.logical_or.reduceat((status == SKIPPED).any(axis=1), body.start)
        enough = np.minimum.reduceat((status == OK).sum(axis=1), body.start) >= max(strategy.quorum, 1)
        self.counts.leave(tally.NOT_RUN, int(np.count_nonzero(~ran)))
        self.counts.leave(tally.NO_ANSWER, int(np.count_nonzero(ran & ~enough)))
        decision, row, truth = self._truths(head, body, found)
        there = np.zeros(n, bool)
        there[decision] = True
        usable = ran & enough
        self.counts.leave(tally.NOT_FINITE, int(np.count_nonzero(usable & ~there)))
        usable &= there
        counts, index = self.counts, body.index[usable]
        counts.used += len(index)
        counts.degraded += int(np.count_nonzero(head.degraded[index]))
        counts.fell_back += int(np.count_nonzero(head.fell_back[index]))
        kept = usable[decision]
        decision, row, truth = decision[kept], row[kept], truth[kept]
        counts.rows += len(row)
        unit = self._units(slot, boot, head, body)[decision]
        features = body.features[row] if width and body.features is not None else None
        self._keep(unit, Rows(_taken(body.outputs, row, columns), status[row], truth, unit.view(np.int64), features))

    def _truths(self, head: Head, body: Body, found: Found) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
        """Decisions of the body (their places), rows of it and the truths of these: those that are known."""
        at, row, label, value = tally.outcomes_in(head, body, found)
        if not self._classes:
            if len(body.layout.classes) != 1:
                raise InvalidInput(
                    f"An audit is of one number; this pool answers {len(body.layout.classes)}.", path="name"
                )
            known = np.isfinite(value)
            return at[known], row[known], value[known]
        truth = tally.numbers_of(self._outcomes.labels, self._classes)[label]
        known = truth >= 0
        return at[known], row[known], truth[known]

    def _units(self, slot: int, boot: int, head: Head, body: Body) -> NDArray[np.uint64]:
        """A number for each decision's independent unit, as good as random."""
        own = head.sequence[body.index].astype(np.uint64) | np.uint64(boot) << np.uint64(40)
        found = _mixed(own ^ _mixed(np.full(len(own), 2 * slot + 1, np.uint64)))
        if head.unit is None:
            return found
        unit = head.unit[body.index]
        return np.where(unit < 0, found, _mixed(np.maximum(unit, 0).astype(np.uint64) << np.uint64(8)))

    def _keep(self, unit: NDArray[np.uint64], rows: Rows) -> None:
        inside = unit <= self._limit
        if not inside.all():
            unit, rows = unit[inside], rows.take(inside)
        if not len(unit):
            return
        self._parts.append((unit, rows))
        self._kept += len(unit)
        size = rows.outputs.shape[1] * rows.outputs.shape[2]
        while self._kept > max(min(self._most, NUMBERS // size), 1):
            self._limit = np.uint64(self._limit >> np.uint64(1))
            self._parts = [(u[u <= self._limit], part.take(u <= self._limit)) for u, part in self._parts]
            self._parts = [each for each in self._parts if len(each[0])]
            self._kept = sum(len(u) for u, _ in self._parts)


def _taken(outputs: FloatArray, row: NDArray[Any], columns: list[int]) -> FloatArray:
    found: FloatArray = outputs[np.ix_(row, np.array(columns))]
    return found


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): every bit of the result depends on every bit given."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)
