"""What counts as known of past decisions, read again from the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa

from quorate.codecs.decision import Packed
from quorate.control.outcomes.joined import Joined
from quorate.control.outcomes.measuring import answers_of, worth_of
from quorate.control.outcomes.rules import RuleBook
from quorate.control.outcomes.settling import Counted, settle
from quorate.store import ledger
from quorate.store.ledger import StoredOutcome


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


def _joined(decision: Packed, counted: Counted, values: dict[int, float]) -> Joined:
    truths: dict[int, StoredOutcome] = {}
    rewards: dict[int, dict[str, float]] = {}
    for (row, metric), outcome in counted.items():
        if metric == ledger.TRUTH:
            truths[row] = outcome
        elif outcome.value is not None:
            rewards.setdefault(row, {})[metric] = outcome.value
    return Joined(decision, truths, rewards, {}, {}, values)
