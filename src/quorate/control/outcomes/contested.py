"""Values that were contradicted: corrected by their own source, or said otherwise by another one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from quorate.codecs.lookup import JournalReader
from quorate.control.outcomes.rules import RuleBook
from quorate.core.outcomes import decisive
from quorate.core.types import Decision
from quorate.errors import JournalError
from quorate.store import ledger
from quorate.store.ledger import JOINED, StoredOutcome

NEWEST = 20_000
"""Values that are searched; those of the newest decisions."""
DECISIONS = 60
"""Decisions that are looked up, of all endpoints: each takes a read of the journal."""


@dataclass(frozen=True, slots=True)
class ContestedValue:
    """One value that was told; ``counts``: it is the one that is believed. Times are Unix seconds."""

    source: str
    value: str | float | None
    at: float
    received: float
    state: str
    counts: bool


@dataclass(frozen=True, slots=True)
class ContestedReport:
    """A row of a decision of which several values of one metric were told that are not the same, oldest first."""

    decision: str
    row: int
    metric: str
    values: tuple[ContestedValue, ...]


def contested(connection: sa.Connection, reader: JournalReader, endpoint: str, *, most: int) -> list[ContestedReport]:
    """The newest contested values of an endpoint, at most so many, among the newest :data:`NEWEST` values of all."""
    rules, found = RuleBook(), list[ContestedReport]()
    ids = ledger.told_again(connection, NEWEST, DECISIONS)
    for decision_id, told in _by_decision(ledger.outcomes_of(connection, ids), ids):
        decision = _find(reader, decision_id)
        if decision is None or decision.endpoint != endpoint:
            continue
        by = defaultdict[tuple[int, str], list[StoredOutcome]](list)
        for each in told:
            by[each.row, each.metric].append(each)
        order = rules.of(connection, endpoint, decision.revision).outcomes
        for (row, metric), values in by.items():
            joined = [each for each in values if each.state == JOINED]
            if joined and len({(each.label, each.value) for each in values}) > 1:
                found.append(_report(decision_id, row, metric, values, decisive(joined, order)))
        if len(found) >= most:
            break
    return found[:most]


def _by_decision(told: Sequence[StoredOutcome], ids: Sequence[str]) -> list[tuple[str, list[StoredOutcome]]]:
    by = defaultdict[str, list[StoredOutcome]](list)
    for each in told:
        by[each.decision].append(each)
    return [(each, by[each]) for each in ids]


def _find(reader: JournalReader, decision_id: str) -> Decision | None:
    try:
        return reader.find(decision_id)
    except JournalError:  # of a newer release, or columns that nothing here can read
        return None


def _report(
    decision_id: str, row: int, metric: str, values: Sequence[StoredOutcome], counts: StoredOutcome
) -> ContestedReport:
    ordered = sorted(values, key=lambda each: each.received)
    return ContestedReport(
        decision_id,
        row,
        metric,
        tuple(
            ContestedValue(
                each.source,
                each.value if each.label is None else each.label,
                each.at,
                each.received,
                each.state,
                each is counts,
            )
            for each in ordered
        ),
    )
