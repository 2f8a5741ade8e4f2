"""Joining outcomes with their decisions: bulk look-ups, one settlement per decision, sums instead of rows."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TypeVar

import sqlalchemy as sa

from quorate.codecs.decision import Packed
from quorate.codecs.gather import Found, gather
from quorate.codecs.lookup import JournalReader
from quorate.control.outcomes.joined import NOBODY, Joined, Listener
from quorate.control.outcomes.measuring import Answers, Measures, Values, answers_of
from quorate.control.outcomes.rules import RuleBook, Rules
from quorate.control.outcomes.settling import Counted, known_before, merged, settle
from quorate.errors import InvalidInput, JournalError
from quorate.ids import DecisionId
from quorate.store import ledger, tallies
from quorate.store.ledger import GONE, PENDING, REPLACED, TRUTH, Place, Progress, StoredOutcome

log = logging.getLogger("quorate.control")

T = TypeVar("T")

AT_ONCE, BYTES = 4096, 32 << 20
"""Decisions in memory at a time, and bytes of arrays in them: what goes beyond is the next time."""
STRETCH = 256
"""Decisions after which it pauses."""


class Joiner:
    """Joins within transactions that others open, and tells the ``listener``; ``pause`` is called now and then."""

    def __init__(
        self, reader: JournalReader, listener: Listener = NOBODY, pause: Callable[[], object] = lambda: None
    ) -> None:
        self._reader = reader
        self._listener = listener
        self._pause = pause
        self._rules = RuleBook()

    def join(
        self,
        connection: sa.Connection,
        told: Iterable[StoredOutcome],
        decided: Sequence[str],
        read: Mapping[Place, Progress],
    ) -> None:
        """Record what was told, and join it, and what waited for the decisions in ``decided``, with the decisions.

        ``read`` is how far the journals are read by now, the batch at hand included.
        """
        fresh: dict[str, list[StoredOutcome]] = defaultdict(list)
        for outcome in told:
            fresh[outcome.decision].append(outcome)
        for decision in ledger.waiting(connection, decided):
            fresh[decision]  # nothing new is told of it
        self._rules.look_again()
        last = _last_places(read)
        found = self._paced(gather(self._reader, list(fresh)))
        while some := _some(found):
            self._join(connection, some, fresh, last)

    def _paced(self, items: Iterable[T]) -> Iterator[T]:
        for number, item in enumerate(items, 1):
            if number % STRETCH == 0:
                self._pause()
            yield item

    def _join(
        self,
        connection: sa.Connection,
        some: Sequence[Found],
        fresh: Mapping[str, list[StoredOutcome]],
        last: Mapping[int, tuple[int, int]],
    ) -> None:
        stored: dict[str, list[StoredOutcome]] = defaultdict(list)
        for outcome in ledger.outcomes_of(connection, [id_ for id_, _ in some]):
            stored[outcome.decision].append(outcome)
        batch = _Batch()
        answers = iter(answers_of([decision for _, decision in some if isinstance(decision, Packed)]))
        for id_, decision in self._paced(some):
            before = stored.get(id_, [])
            values, news = merged(before, fresh[id_]) if before else (fresh[id_], True)
            if not before and len(values) > 1:
                values, news = merged((), values)
            if isinstance(decision, Packed):
                answered = next(answers)
                if news or any(value.state in (PENDING, GONE) for value in before):
                    rules = self._rules.of(connection, decision.endpoint, decision.revision)
                    batch.settle(decision, answered, before, values, rules)
                continue
            if isinstance(decision, JournalError):
                log.error("Decision %s cannot be joined with its outcomes: %s", id_, decision)
            if news:
                state = GONE if decision is None and _passed(id_, last) else PENDING
                batch.write += [value._replace(state=state) for value in values]
        batch.keep(connection)
        if batch.joined:
            self._listener.learn(connection, batch.joined)


class _Batch:
    """What is to be written of some decisions, and handed on."""

    def __init__(self) -> None:
        self.write: list[StoredOutcome] = []
        self.drop: list[StoredOutcome] = []
        self.joined: list[Joined] = []
        self.measures = Measures()

    def settle(
        self,
        decision: Packed,
        answers: Answers,
        before: list[StoredOutcome],
        values: list[StoredOutcome],
        rules: Rules,
    ) -> None:
        """Settle one decision: what counted of it is taken away, what counts now is added."""
        now, was, before_worth = settle(values, decision, rules.outcomes), Counted(), Values()
        if before:
            kept = set(before)
            self.write += [value for value in now.values if value not in kept]
            self.drop += [value for value in now.dropped if value in kept]
            known = known_before(before)
            if known:
                old = settle(known, decision, rules.outcomes)
                was = old.counted
                before_worth = self.measures.add(decision, answers, known, old, rules.value, -1)
        else:
            self.write += now.values
        told = now.values
        if now.dropped:
            told = told + [value._replace(state=REPLACED) for value in now.dropped]
        worth = self.measures.add(decision, answers, told, now, rules.value)
        handed = _handed(decision, now.counted, was, worth, before_worth)
        if handed is not None:
            self.joined.append(handed)

    def keep(self, connection: sa.Connection) -> None:
        """Write all of it."""
        ledger.put_outcomes(connection, self.write)
        ledger.drop_outcomes(connection, self.drop)
        tallies.add_measured(connection, self.measures.sums)
        tallies.add_told(connection, self.measures.told)
        tallies.add_delays(connection, self.measures.delays)


def _handed(
    decision: Packed,
    counted: Counted,
    before: Mapping[tuple[int, str], StoredOutcome],
    values: Values,
    before_values: Values,
) -> Joined | None:
    """What is told of a decision to who learns; None where nothing that counts is new."""
    truths: dict[int, StoredOutcome] = {}
    rewards: dict[int, dict[str, float]] = {}
    new: dict[int, frozenset[str]] = {}
    changed: dict[int, frozenset[str]] = {}
    for key, outcome in counted.items():
        row, metric = key
        if metric == TRUTH:
            truths[row] = outcome
        elif outcome.value is not None:
            rewards.setdefault(row, {})[metric] = outcome.value
        old = before.get(key)
        if old is None:
            new[row] = new[row] | {metric} if row in new else _alone(metric)
        elif (old.label, old.value) != (outcome.label, outcome.value):
            changed[row] = changed.get(row, _NO_METRIC) | {metric}
    if not new and not changed:
        return None
    valued = frozenset(values.keys() - before_values.keys()) if values else _NO_ROW
    return Joined(decision, truths, rewards, new, changed, values, valued)


@cache
def _alone(metric: str) -> frozenset[str]:
    return frozenset({metric})


_NO_METRIC, _NO_ROW = frozenset[str](), frozenset[int]()


def _some(found: Iterator[Found]) -> list[Found]:
    some: list[Found] = []
    size = 0
    for id_, decision in found:
        some.append((id_, decision))
        if isinstance(decision, Packed):
            size += len(decision.outputs) + (len(decision.answer[2]) if decision.answer is not None else 0)
        if len(some) >= AT_ONCE or size >= BYTES:
            break
    return some


def _last_places(read: Mapping[Place, Progress]) -> dict[int, tuple[int, int]]:
    """By slot, where its newest segment begins."""
    last: dict[int, tuple[int, int]] = {}
    for place in read:
        last[place.slot] = max(place[1:], last.get(place.slot, place[1:]))
    return last


def _passed(id_: str, last: Mapping[int, tuple[int, int]]) -> bool:
    """Whether the segment that would have the decision was read, and the next one begun."""
    try:
        parts = DecisionId.parse(id_)
    except InvalidInput:
        return True  # no decision ever has it
    newest = last.get(parts.slot)
    return newest is not None and (parts.boot, parts.sequence) < newest
