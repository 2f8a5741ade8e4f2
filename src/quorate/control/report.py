"""How an endpoint's strategies do on its traffic, by the strategy that was *assigned*.

Decisions whose strategy the caller chose are listed apart: who chooses is not chance, so they say nothing about which
strategy is better. Percentiles are within 1 % (of a logarithmic histogram). Accuracy rests on the answered rows whose
truth is known; its 95 % interval (Wilson) takes rows for independent and holds for one look, not for watching.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import sqlalchemy as sa

from quorate.core.stats.intervals import wilson
from quorate.store import ledger
from quorate.store.ledger import Losses, Tally

CALLER = "caller"


@dataclass(frozen=True, slots=True)
class StrategyReport:
    """One strategy's part; ``share`` is of its list's requests, latencies are milliseconds, None where unknown.

    ``judged_rows`` is how many rows ``accuracy`` (``scores``) or ``mean_absolute_error`` (``values``) rests on.
    """

    strategy: str
    requests: int
    share: float
    rows: int
    errors: int
    degraded: int
    fallbacks: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    judged_rows: int
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    mean_absolute_error: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """An endpoint's report; ``since`` is Unix seconds, rounded down to the minute, None for everything.

    ``damaged_bytes`` and ``unreadable_records`` are what the journals of all endpoints lost; ``pending_outcomes``
    wait for their decision, ``invalid_outcomes`` turned out not to fit it.
    """

    endpoint: str
    since: float | None
    strategies: tuple[StrategyReport, ...]
    chosen_by_caller: tuple[StrategyReport, ...]
    pending_outcomes: int
    invalid_outcomes: int
    damaged_bytes: int
    unreadable_records: int


def report(connection: sa.Connection, endpoint: str, since: float | None = None) -> Report:
    """The report of an endpoint from what was ingested so far; empty lists where there was no traffic."""
    minute = 0 if since is None else int(since // 60)
    tallies: dict[bool, dict[str, Tally]] = {True: defaultdict(Tally), False: defaultdict(Tally)}
    for key, tally in ledger.traffic(connection, endpoint, minute):
        tallies[key.source == CALLER][key.strategy].merge(tally)
    losses: dict[bool, dict[str, list[Losses]]] = {True: defaultdict(list), False: defaultdict(list)}
    for loss in ledger.losses(connection, endpoint, minute):
        losses[loss.source == CALLER][loss.strategy].append(loss)
    counts = ledger.outcome_counts(connection)
    read = ledger.progress(connection).values()
    return Report(
        endpoint=endpoint,
        since=None if since is None else minute * 60.0,
        strategies=_list(tallies[False], losses[False]),
        chosen_by_caller=_list(tallies[True], losses[True]),
        pending_outcomes=counts[ledger.PENDING],
        invalid_outcomes=counts[ledger.INVALID],
        damaged_bytes=sum(segment.damaged for segment in read),
        unreadable_records=sum(segment.unreadable for segment in read),
    )


def _list(tallies: dict[str, Tally], losses: dict[str, list[Losses]]) -> tuple[StrategyReport, ...]:
    total = sum(tally.requests for tally in tallies.values())
    names = sorted(tallies)
    return tuple(_strategy(name, tallies[name], losses.get(name, []), total) for name in names)


def _strategy(name: str, tally: Tally, losses: list[Losses], total: int) -> StrategyReport:
    def percentile(q: float) -> float | None:
        value = tally.latency.quantile(q)
        return None if math.isnan(value) else value

    scored = [loss for loss in losses if loss.kind == "scores"]
    measured = [loss for loss in losses if loss.kind == "values"]
    rows, values = sum(loss.rows for loss in scored), sum(loss.rows for loss in measured)
    interval = wilson(rows - round(sum(loss.loss for loss in scored)), rows) if rows else None
    return StrategyReport(
        strategy=name,
        requests=tally.requests,
        share=tally.requests / total,
        rows=tally.rows,
        errors=tally.errors,
        degraded=tally.degraded,
        fallbacks=tally.fallbacks,
        p50_ms=percentile(0.5),
        p95_ms=percentile(0.95),
        p99_ms=percentile(0.99),
        judged_rows=rows + values,
        accuracy=interval.estimate if interval else None,
        accuracy_low=interval.low if interval else None,
        accuracy_high=interval.high if interval else None,
        mean_absolute_error=sum(loss.loss for loss in measured) / values if values else None,
    )
