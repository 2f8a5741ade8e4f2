"""What a replay adds up, head by head: exactly from members' outputs, and by propensities from what was served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.control.learning.rewards import ACCURACY, FROM_TRUTH, of_truths
from quorate.control.replay.asked import Counts, Question
from quorate.control.replay.joining import Found, Outcomes
from quorate.control.replay.slices import SOURCES, Body, Head
from quorate.control.replay.targets import Strategy, Target
from quorate.core.stats.off_policy import OffPolicy
from quorate.core.stats.paired import Paired
from quorate.errors import InvalidInput, JournalError

NOT_ASSIGNED = {
    "caller": "chosen by the caller",
    "fallback": "assigned as a fallback",
    "cache": "answered from the cache",
}
OTHER = "assigned in an unknown way"
FAILED, ABSTAINED, NO_OUTCOME = "answered with an error", "abstained", "no outcome"
NOT_FINITE, UNREADABLE = "answer or outcome is no number", "file damaged"
NOT_RECORDED, NOT_RUN, NO_ANSWER = "outputs not recorded", "members not run", "too few members had answered"
NO_FACT, NO_OVERLAP = "a fact was not recorded", "propensity 0"
NOT_LEARNED = "what it had learned is not on record"

Array = NDArray[np.float64]


@dataclass
class _Rows:
    """Rows of a body whose outcome is known: their decision in it, their row, and what they earned live, ``[e]``.

    ``truth`` is a class or a number, for rewards the reward.
    """

    decision: NDArray[np.int64]
    row: NDArray[np.int64]
    live: Array
    truth: NDArray[Any]

    def only(self, kept: NDArray[np.bool_]) -> _Rows:
        return _Rows(self.decision[kept], self.row[kept], self.live[kept], self.truth[kept])


@dataclass
class Tally:
    """All that is added up; ``shared`` are decisions that neither way can use, and why."""

    question: Question
    target: Target
    metric: str
    outcomes: Outcomes
    exact: Paired | None
    weighted: OffPolicy | None
    shared: Counts = field(default_factory=Counts)
    by_outputs: Counts = field(default_factory=Counts)
    by_propensity: Counts = field(default_factory=Counts)
    reproduced: int = 0
    differing: int = 0
    unsupported: dict[int, int] = field(default_factory=dict)
    revisions: set[int] = field(default_factory=set)
    _known: dict[Any, Array | None] = field(default_factory=dict)

    def add(self, slot: int, boot: int, head: Head) -> None:
        """Add the decisions of a head."""
        asked = self.question
        mine = in_time(head, asked.since, asked.until)
        if asked.revision is not None:
            mine = mine & (head.revision == asked.revision)
        if not mine.any():
            return
        found = self.outcomes.of(slot, boot, head.sequence)
        wanted = eligible(self.shared, head, mine, found)
        self.revisions.update(np.unique(head.revision[wanted]).tolist())
        left = int(np.count_nonzero(wanted))
        try:
            for body in head.bodies(wanted, outputs=self.exact is not None, context=self.target.by_context):
                left -= len(body.index)
                self._body(head, body, found)
        except (JournalError, OSError):
            self.shared.leave(UNREADABLE, left)
            raise

    def _body(self, head: Head, body: Body, found: Found) -> None:
        rows = self._rows(head, body, found)
        there = np.zeros(len(body.index), bool)
        there[rows.decision] = True
        self.shared.leave(NOT_FINITE, int(np.count_nonzero(~there)))
        if not len(rows.row):
            return
        p = self.target.probabilities(body, self._known)
        unit = None if head.unit is None else head.unit[body.index]
        if unit is not None and (unit < 0).any():  # those without a unit are on their own
            own = head.sequence[body.index] * 2 + 1
            unit = np.where(unit < 0, own, unit * 2) if (unit >= 0).any() else None
        if self.exact is not None:
            self._exact(self.exact, head, body, rows, there, p, unit)
        if self.weighted is not None:
            self._weigh(self.weighted, head, body, rows, there, p, unit)

    def _rows(self, head: Head, body: Body, found: Found) -> _Rows:
        """The body's rows with a usable outcome and live answer."""
        at, row, label, value = outcomes_in(head, body, found)
        if self.metric not in FROM_TRUTH:
            return _Rows(at, row, value, value).only(np.isfinite(value))
        truth: NDArray[Any] = value
        if self.metric == ACCURACY:
            truth = numbers_of(self.outcomes.labels, body.layout.classes)[label]
            told = truth >= 0
        elif len(body.layout.classes) != 1:
            raise InvalidInput(
                f"'{self.metric}' is of one number; endpoint '{self.question.endpoint}' answers "
                f"{len(body.layout.classes)}. Name a reward as the metric.",
                path="metric",
            )
        else:
            told = np.isfinite(value)
        live = of_truths(body.answer[row], truth, self.metric)
        return _Rows(at, row, live, truth).only(told & np.isfinite(live))

    def _exact(
        self,
        sums: Paired,
        head: Head,
        body: Body,
        rows: _Rows,
        there: NDArray[np.bool_],
        p: Array,
        unit: NDArray[np.int64] | None,
    ) -> None:
        counts, usable = self.by_outputs, there.copy()

        def leave(why: str, those: NDArray[np.bool_]) -> None:
            counts.leave(why, int(np.count_nonzero(usable & those)))
            usable[those] = False

        leave(NOT_RECORDED, np.full(len(usable), body.outputs is None))
        leave(NO_FACT, ~_known(p))
        if not usable.any():
            return
        candidate = np.zeros(len(rows.row))
        for number, name in enumerate(self.target.strategies):
            chance = p[:, number]
            if not (chance > 0).any():
                continue
            strategy = self.target.computable[name]
            found = strategy.answers(head, body)
            leave(NOT_RUN, (chance > 0) & ~found.logged)
            leave(NO_ANSWER, (chance > 0) & ~found.enough)
            leave(NOT_LEARNED, (chance > 0) & ~found.knows)
            if not usable.any():
                return
            earned = of_truths(found.answer[rows.row], rows.truth, self.metric)
            part = chance[rows.decision]
            candidate += np.where(part > 0, part * earned, 0.0)
            if strategy.own and self.target.policy is None:
                self._reproduce(head, body, strategy, found.answer, found.enough & found.alike & found.knows)
        fine = np.isfinite(candidate)
        lost = np.ones(len(usable), bool)
        lost[rows.decision[fine]] = False
        leave(NOT_FINITE, lost)
        kept = usable[rows.decision] & fine
        places = np.cumsum(usable) - 1
        decision = rows.decision[kept]
        sums.add(candidate[kept], rows.live[kept], places[decision], None if unit is None else unit[decision])
        _used(counts, head, body, usable, int(np.count_nonzero(kept)))

    def _reproduce(
        self, head: Head, body: Body, strategy: Strategy, answers: NDArray[np.float32], enough: NDArray[np.bool_]
    ) -> None:
        """Compare with what the strategy said itself, where it was live at the present revision."""
        if strategy.name not in head.names:
            return
        own = head.served[body.index] == head.names.index(strategy.name)
        own &= (head.revision[body.index] == self.target.endpoint.revision) & enough
        lengths = head.rows[body.index]
        row = np.repeat(own, lengths)
        said, now = body.answer[row], answers[row]
        self.reproduced += len(said)
        self.differing += int((said.view(np.uint32) != now.view(np.uint32)).any(axis=1).sum())

    def _weigh(
        self,
        sums: OffPolicy,
        head: Head,
        body: Body,
        rows: _Rows,
        there: NDArray[np.bool_],
        p: Array,
        unit: NDArray[np.int64] | None,
    ) -> None:
        counts, names = self.by_propensity, self.target.strategies
        n, k = len(body.index), len(names)
        known = _known(p)
        counts.leave(NO_FACT, int(np.count_nonzero(there & ~known)))
        usable = np.flatnonzero(there & known)
        logged, target = np.zeros((n, k + 1)), np.zeros((n, k + 1))
        target[:, :k] = p
        columns = {name: i for i, name in enumerate(body.layout.strategies)}
        for number, name in enumerate(names):
            if name in columns:
                logged[:, number] = body.propensities[:, columns[name]]
        others = [i for name, i in columns.items() if name not in names]
        logged[:, k] = body.propensities[:, others].sum(axis=1)  # all that the target never chooses, as one
        places = np.array([names.index(name) if name in names else k for name in head.names])
        assigned: NDArray[np.int64] = places[head.assigned[body.index]]
        rewards: Array = np.bincount(rows.decision, rows.live, n).astype(np.float64, copy=False)
        known_rows = np.bincount(rows.decision, minlength=n).astype(np.float64)
        fine = sums.add(
            target[usable],
            logged[usable],
            assigned[usable],
            rewards[usable],
            rows=known_rows[usable],
            unit=None if unit is None else unit[usable],
        )
        for revision, lost in _counted(head.revision[body.index[usable[~fine]]]):
            self.unsupported[revision] = self.unsupported.get(revision, 0) + lost
            counts.leave(NO_OVERLAP, lost)
        used = np.zeros(n, bool)
        used[usable[fine]] = True
        _used(counts, head, body, used, int(known_rows[used].sum()))


def in_time(head: Head, since: float | None, until: float | None) -> NDArray[np.bool_]:
    """Which decisions of a head are the endpoint's, in that time."""
    mine = head.mine & (head.rows > 0)
    if since is not None:
        mine = mine & (head.arrived >= since)
    if until is not None:
        mine = mine & (head.arrived < until)
    return mine


def eligible(
    counts: Counts,
    head: Head,
    mine: NDArray[np.bool_],
    found: Found,
    others: Mapping[str, NDArray[np.bool_]] = MappingProxyType({}),
) -> NDArray[np.bool_]:
    """Which of ``mine`` can be used as far as their heads say; the rest is counted with the first reason, of which
    ``others`` are more."""
    left = mine.copy()
    has = np.zeros(len(mine), bool)
    has[found.decision] = True
    counts.decisions += int(np.count_nonzero(mine))
    counts.with_outcome += int(np.count_nonzero(mine & has))
    reasons = {why: head.source == SOURCES.index(source) for source, why in NOT_ASSIGNED.items()}
    reasons |= {OTHER: head.source < 0, FAILED: head.error, ABSTAINED: head.abstained, **others, NO_OUTCOME: ~has}
    for why, those in reasons.items():
        counts.leave(why, int(np.count_nonzero(left & those)))
        left &= ~those
    return left


def outcomes_in(
    head: Head, body: Body, found: Found
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """Decisions of a body (their places), rows of it, and labels and values that are known of these, ``[e]`` each."""
    place = np.full(len(head.sequence), -1)
    place[body.index] = np.arange(len(body.index))
    at = place[found.decision]
    kept = (at >= 0) & (found.row < head.rows[found.decision])
    at = at[kept]
    return at, body.start[at] + found.row[kept], found.label[kept], found.value[kept]


def numbers_of(labels: Iterable[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """The index of each label's class, -1 for one that is none; and -1 at the end, where there is no label."""
    places = {name: i for i, name in enumerate(classes)}
    return np.array([*(places.get(name, -1) for name in labels), -1], np.int64)


def _known(p: Array) -> NDArray[np.bool_]:
    """Which decisions' probabilities are known."""
    found: NDArray[np.bool_] = np.asarray(np.isfinite(p).all(axis=1))
    return found


def _used(counts: Counts, head: Head, body: Body, used: NDArray[np.bool_], rows: int) -> None:
    index = body.index[used]
    counts.used += len(index)
    counts.rows += rows
    counts.degraded += int(np.count_nonzero(head.degraded[index]))
    counts.fell_back += int(np.count_nonzero(head.fell_back[index]))


def _counted(values: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    found, counts = np.unique(values, return_counts=True)
    yield from zip(found.tolist(), counts.tolist(), strict=True)
