"""Past decisions with what counts as known of them, read again from the journals and the store: the one place for it.

What counts is what counted when it was ingested (:mod:`quorate.control.outcomes.joined`), by the rules of each
decision's own revision. Decisions that the journals do not have any more, or that cannot be read, are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from quorate.codecs.decision import Packed
from quorate.codecs.gather import gather
from quorate.codecs.lookup import JournalReader
from quorate.control.outcomes.joined import Joined
from quorate.control.outcomes.measuring import answers_of, worth_of
from quorate.control.outcomes.rules import RuleBook
from quorate.control.outcomes.settling import Counted, settle
from quorate.store import ledger
from quorate.store.ledger import StoredOutcome

AT_ONCE = 2000
"""Decisions in memory at a time."""


class Newest:
    """The newest decisions of an endpoint of which ``metric`` (if given, else anything) is known, in stretches, each
    with its newest first.

    At most ``looked`` such decisions, of all endpoints, are read. Once it has been iterated, ``whole`` says whether
    there are no older ones.
    """

    def __init__(
        self, connection: sa.Connection, reader: JournalReader, endpoint: str, *, looked: int, metric: str | None = None
    ) -> None:
        self._connection, self._reader, self._endpoint = connection, reader, endpoint
        self._looked, self._metric = looked, metric
        self.whole = False

    def __iter__(self) -> Iterator[list[Joined]]:
        self.whole = False
        before, left = None, self._looked
        while left > 0:
            ids = ledger.newest_joined(self._connection, before, min(AT_ONCE, left), self._metric)
            if not ids:
                self.whole = True
                return
            before, left = ids[-1], left - len(ids)
            mine = sorted(_decisions(self._reader, self._endpoint, ids), key=lambda d: d.id, reverse=True)
            yield counting(self._connection, mine)


def known_since(
    connection: sa.Connection, reader: JournalReader, endpoint: str, since: float
) -> Iterator[list[Joined]]:
    """The decisions of an endpoint from Unix time ``since`` on of which something is known, the oldest stretch first;
    in each by slot, in the order they were made."""
    for ids in ledger.joined_since(connection, since, AT_ONCE):
        yield counting(connection, list(_decisions(reader, endpoint, ids)))


def counting(connection: sa.Connection, decisions: Sequence[Packed]) -> list[Joined]:
    """The decisions of which anything is known, with all that counts by the rules of their revisions."""
    told: dict[str, list[StoredOutcome]] = defaultdict(list)
    for outcome in ledger.outcomes_of(connection, [decision.id for decision in decisions]):
        told[outcome.decision].append(outcome)
    book, found = RuleBook(), []
    for decision, answers in zip(decisions, answers_of(decisions), strict=True):
        if decision.id in told:
            rules = book.of(connection, decision.endpoint, decision.revision)
            counted = settle(told[decision.id], decision, rules.outcomes).counted
            found.append(_joined(decision, counted, worth_of(decision, answers, counted, rules.value)))
    return found


def by_revision(joined: Iterable[Joined]) -> dict[int, list[Joined]]:
    """Decisions of one endpoint by the revision they were made under, in the order they come."""
    found: dict[int, list[Joined]] = defaultdict(list)
    for each in joined:
        found[each.decision.revision].append(each)
    return found


def _decisions(reader: JournalReader, endpoint: str, ids: Sequence[str]) -> Iterator[Packed]:
    return (d for _, d in gather(reader, ids) if isinstance(d, Packed) and d.endpoint == endpoint)


def _joined(decision: Packed, counted: Counted, values: dict[int, float]) -> Joined:
    truths: dict[int, StoredOutcome] = {}
    rewards: dict[int, dict[str, float]] = {}
    for (row, metric), outcome in counted.items():
        if metric == ledger.TRUTH:
            truths[row] = outcome
        elif outcome.value is not None:
            rewards.setdefault(row, {})[metric] = outcome.value
    return Joined(decision, truths, rewards, {}, {}, values)
