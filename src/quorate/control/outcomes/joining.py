"""Joining outcomes with their decisions: bulk look-ups, one settlement per decision, sums instead of rows."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

import sqlalchemy as sa

from quorate.codecs.gather import gather
from quorate.codecs.lookup import JournalReader
from quorate.control.outcomes.joined import Joined, OnJoined
from quorate.control.outcomes.measuring import Measures, Values
from quorate.control.outcomes.rules import RuleBook, Rules
from quorate.control.outcomes.settling import Counted, known_before, merged, settle
from quorate.core.types import Decision, Outcome
from quorate.errors import InvalidInput, JournalError
from quorate.ids import DecisionId
from quorate.store import ledger, tallies
from quorate.store.ledger import GONE, PENDING, REPLACED, TRUTH, Place, Progress, StoredOutcome

log = logging.getLogger("quorate.control")

T = TypeVar("T")

AT_ONCE = 2048
"""Decisions in memory at a time."""
STRETCH = 256
"""Decisions after which it pauses."""


class Joiner:
    """Joins within transactions that others open; ``pause`` is called now and then."""

    def __init__(
        self, reader: JournalReader, on_joined: OnJoined | None = None, pause: Callable[[], object] = lambda: None
    ) -> None:
        self._reader = reader
        self._on_joined = on_joined
        self._pause = pause
        self._rules = RuleBook()

    def join(
        self,
        connection: sa.Connection,
        outcomes: Iterable[Outcome],
        decided: Sequence[str],
        read: Mapping[Place, Progress],
    ) -> None:
        """Record outcomes, and join them, and those that waited for the decisions in ``decided``, with their decisions.

        ``read`` is how far the journals are read by now, the batch at hand included.
        """
        fresh: dict[str, list[StoredOutcome]] = defaultdict(list)
        for outcome in outcomes:
            fresh[outcome.decision].extend(ledger.told(outcome))
        for decision in ledger.waiting(connection, decided):
            fresh[decision]  # nothing new is told of it
        self._rules.look_again()
        last = _last_places(read)
        found = self._paced(gather(self._reader, list(fresh)))
        while some := list(islice(found, AT_ONCE)):
            self._join(connection, some, fresh, last)

    def _paced(self, items: Iterable[T]) -> Iterator[T]:
        for number, item in enumerate(items, 1):
            if number % STRETCH == 0:
                self._pause()
            yield item

    def _join(
        self,
        connection: sa.Connection,
        some: Sequence[tuple[str, Decision | JournalError | None]],
        fresh: Mapping[str, list[StoredOutcome]],
        last: Mapping[int, tuple[int, int]],
    ) -> None:
        stored: dict[str, list[StoredOutcome]] = defaultdict(list)
        for outcome in ledger.outcomes_of(connection, [id_ for id_, _ in some]):
            stored[outcome.decision].append(outcome)
        batch = _Batch(self._on_joined is not None)
        for id_, decision in self._paced(some):
            before = stored.get(id_, [])
            values, news = merged(before, fresh[id_]) if before else (fresh[id_], True)
            if not before and len(values) > 1:
                values, news = merged((), values)
            if isinstance(decision, JournalError):
                log.error("Decision %s cannot be joined with its outcomes: %s", id_, decision)
            if isinstance(decision, Decision):
                if news or any(value.state in (PENDING, GONE) for value in before):
                    rules = self._rules.of(connection, decision.endpoint, decision.revision)
                    batch.settle(decision, before, values, rules)
            elif news:
                state = GONE if decision is None and _passed(id_, last) else PENDING
                batch.write += [value._replace(state=state) for value in values]
        batch.keep(connection)
        if self._on_joined is not None and batch.joined:
            self._on_joined(connection, batch.joined)


class _Batch:
    """What is to be written of some decisions, and handed on."""

    def __init__(self, hand_on: bool) -> None:
        self.write: list[StoredOutcome] = []
        self.drop: list[StoredOutcome] = []
        self.joined: list[Joined] = []
        self.measures = Measures()
        self._hand_on = hand_on

    def settle(
        self, decision: Decision, before: list[StoredOutcome], values: list[StoredOutcome], rules: Rules
    ) -> None:
        """Settle one decision: what counted of it is taken away, what counts now is added."""
        now, was, before_worth = settle(values, decision, rules.outcomes), None, {}
        measures = self.measures
        if before:
            kept = set(before)
            self.write += [value for value in now.values if value not in kept]
            self.drop += [value for value in now.dropped if value in kept]
            known = known_before(before)
            if known:
                was = settle(known, decision, rules.outcomes)
                measures.states(decision, known, -1)
                before_worth = measures.add(decision, was.counted, rules.value, -1)
                measures.came(decision, was.first, -1)
        else:
            self.write += now.values
        measures.states(decision, now.values)
        if now.dropped:
            measures.states(decision, [value._replace(state=REPLACED) for value in now.dropped])
        worth = measures.add(decision, now.counted, rules.value)
        measures.came(decision, now.first)
        if self._hand_on:
            handed = _handed(decision, now.counted, {} if was is None else was.counted, worth, before_worth)
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
    decision: Decision, counted: Counted, before: Counted, values: Values, before_values: Values
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
            new[row] = new.get(row, frozenset()) | {metric}
        elif (old.label, old.value) != (outcome.label, outcome.value):
            changed[row] = changed.get(row, frozenset()) | {metric}
    if not new and not changed:
        return None
    valued = frozenset(values.keys() - before_values.keys()) if values else frozenset[int]()
    return Joined(decision, truths, rewards, new, changed, values, valued)


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
