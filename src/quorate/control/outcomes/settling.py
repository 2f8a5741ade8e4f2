"""What the values told about a decision amount to: which fit, which count, what is new by them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from quorate.codecs.decision import Packed
from quorate.core.outcomes import OutcomeRules, decisive, series
from quorate.store.ledger import GONE, INVALID, JOINED, LATE, PENDING, REPLACED, TRUTH, StoredOutcome

SERIES = 8
"""So many values of one row, metric and source are kept at most."""

Counted = dict[tuple[int, str], StoredOutcome]
"""The value that counts, by row and metric."""


class Settled(NamedTuple):
    """Every value with its state, what counts, when the first value came (Unix seconds), and values to forget."""

    values: list[StoredOutcome]
    counted: Counted
    first: dict[tuple[int, str], float]
    dropped: list[StoredOutcome]


def fits(outcome: StoredOutcome, decision: Packed) -> bool:
    """Whether a value can be about this decision; those that came before it could not be checked then."""
    if outcome.row >= decision.rows or (outcome.value is not None and not math.isfinite(outcome.value)):
        return False
    if outcome.metric != TRUTH:
        return outcome.value is not None
    return outcome.label in decision.classes if decision.output_kind == "scores" else outcome.value is not None


def merged(known: Iterable[StoredOutcome], fresh: Iterable[StoredOutcome]) -> tuple[list[StoredOutcome], bool]:
    """All values of a decision, and whether ``fresh`` adds any; of two received at once the one known last
    stays. What is told again, with the same time, adds nothing."""
    found = {(o.row, o.metric, o.source, o.received): o for o in known}
    said = {(o.row, o.metric, o.source, o.label, o.value, o.at): o.received for o in found.values()}
    news = False
    for outcome in fresh:
        key = (outcome.row, outcome.metric, outcome.source, outcome.received)
        if outcome.received >= said.get((*key[:3], outcome.label, outcome.value, outcome.at), math.inf):
            continue  # told again
        before = found.get(key)
        if before is None or outcome.rank > before.rank:
            found[key] = outcome
            news = True
    return list(found.values()), news


def settle(values: Sequence[StoredOutcome], decision: Packed, rules: OutcomeRules) -> Settled:
    """Say of every value what it is for its decision; the same for any order of the values."""
    if len(values) == 1:
        only = values[0]
        if not fits(only, decision):
            return Settled([only._replace(state=INVALID)], {}, {}, [])
        id_, row, metric, source, label, number, at, received, _ = only
        joined = StoredOutcome(id_, row, metric, source, label, number, at, received, JOINED)
        key = (row, metric)
        return Settled([joined], {key: joined}, {key: received}, [])
    told: list[StoredOutcome] = []
    by_series: dict[tuple[int, str, str], list[StoredOutcome]] = defaultdict(list)
    for value in values:
        if fits(value, decision):
            by_series[value.row, value.metric, value.source].append(value)
        else:
            told.append(value._replace(state=INVALID))
    candidates: dict[tuple[int, str], list[StoredOutcome]] = defaultdict(list)
    first: dict[tuple[int, str], float] = {}
    dropped: list[StoredOutcome] = []
    for (row, metric, _), each in by_series.items():
        if len(each) > SERIES:
            each, beyond = _pruned(each, rules)
            dropped += beyond
        best, late = series(each, rules)
        joined = best._replace(state=JOINED)
        candidates[row, metric].append(joined)
        told.append(joined)
        told += [value._replace(state=LATE if value in late else REPLACED) for value in each if value is not best]
        came = min(value.received for value in each)
        first[row, metric] = min(came, first.get((row, metric), came))
    counted = {key: decisive(each, rules) if len(each) > 1 else each[0] for key, each in candidates.items()}
    return Settled(told, counted, first, dropped)


def _pruned(values: list[StoredOutcome], rules: OutcomeRules) -> tuple[list[StoredOutcome], list[StoredOutcome]]:
    """A series that was told over and over, without those that no longer matter: neither first, nor counting, nor of
    the newest."""
    best, _ = series(values, rules)
    earliest = min(values, key=lambda value: (value.received, value.rank))
    newest = sorted(values, key=lambda value: (value.received, value.rank))[-(SERIES - 2) :]
    kept = [value for value in values if value is best or value is earliest or value in newest]
    return kept, [value for value in values if value not in kept]


def known_before(values: Sequence[StoredOutcome]) -> list[StoredOutcome]:
    """Of the values in the store those that were settled with their decision."""
    return [value for value in values if value.state not in (PENDING, GONE)]
