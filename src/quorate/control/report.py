"""How an endpoint's strategies do on its traffic, by the strategy that was *assigned*.

Decisions whose strategy the caller chose are listed apart: who chooses is not chance, so they say nothing about which
strategy is better. Percentiles are within 1 % (of a logarithmic histogram). Accuracy rests on the answered rows whose
truth is known; its 95 % interval (Wilson) takes rows for independent and holds for one look, not for watching. Means of
rewards and of the business value have intervals that allow for rows of one decision being alike; also for one look.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import sqlalchemy as sa

from quorate.control.outcomes.completeness import completeness
from quorate.core.stats.clustered import clustered_mean
from quorate.core.stats.intervals import wilson
from quorate.store import ledger, tallies
from quorate.store.ledger import Tally
from quorate.store.tallies import REWARD, SCORES, VALUES, WORTH, Sums

CALLER = "caller"


@dataclass(frozen=True, slots=True)
class MeanReport:
    """The mean of a metric over the rows that have it, with its 95 % interval, None where there are too few."""

    metric: str
    rows: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class StrategyReport:
    """One strategy's part; ``share`` is of its list's requests, latencies are milliseconds, None where unknown.

    ``judged_rows`` is how many rows ``accuracy`` (``scores``) or ``mean_absolute_error`` (``values``) rests on.
    ``value`` is the business value of a row, None where the endpoint declares none, or none is known; ``rewards`` are
    those told.
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
    value: MeanReport | None = None
    rewards: tuple[MeanReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """An endpoint's report; ``since`` is Unix seconds, rounded down to the minute, None for everything.

    ``completeness`` is which share of the truths that will come is here by now, as far as earlier delays tell; None
    where they tell nothing. ``damaged_bytes`` and ``unreadable_records`` are what the journals of all endpoints lost.
    Outcomes of all endpoints: ``pending_outcomes`` wait for their decision, ``gone_outcomes`` are about one that is
    no longer kept, ``invalid_outcomes`` turned out not to fit theirs, ``late_outcomes`` came after the correction
    window.
    """

    endpoint: str
    since: float | None
    strategies: tuple[StrategyReport, ...]
    chosen_by_caller: tuple[StrategyReport, ...]
    pending_outcomes: int
    invalid_outcomes: int
    damaged_bytes: int
    unreadable_records: int
    completeness: float | None = None
    gone_outcomes: int = 0
    late_outcomes: int = 0


def report(connection: sa.Connection, endpoint: str, since: float | None = None, *, now: float | None = None) -> Report:
    """The report of an endpoint from what was ingested so far; empty lists where there was no traffic.

    ``now`` (Unix seconds) is what the age of decisions is counted to; without it completeness is not known.
    """
    minute = 0 if since is None else int(since // 60)
    found: dict[bool, dict[str, Tally]] = {True: defaultdict(Tally), False: defaultdict(Tally)}
    for key, tally in ledger.traffic(connection, endpoint, minute):
        found[key.source == CALLER][key.strategy].merge(tally)
    sums: dict[bool, dict[str, dict[str, Sums]]] = {True: defaultdict(dict), False: defaultdict(dict)}
    for (strategy, source, metric), each in tallies.measured(connection, endpoint, minute).items():
        mine = sums[source == CALLER][strategy]
        mine[metric] = each.plus(mine[metric]) if metric in mine else each
    counts = ledger.outcome_counts(connection)
    read = ledger.progress(connection).values()
    return Report(
        endpoint=endpoint,
        since=None if since is None else minute * 60.0,
        strategies=_list(found[False], sums[False]),
        chosen_by_caller=_list(found[True], sums[True]),
        pending_outcomes=counts[ledger.PENDING],
        invalid_outcomes=counts[ledger.INVALID],
        damaged_bytes=sum(segment.damaged for segment in read),
        unreadable_records=sum(segment.unreadable for segment in read),
        completeness=None if now is None else completeness(connection, endpoint, ledger.TRUTH, now=now, since=since),
        gone_outcomes=counts[ledger.GONE],
        late_outcomes=counts[ledger.LATE],
    )


def _list(tallies: dict[str, Tally], sums: dict[str, dict[str, Sums]]) -> tuple[StrategyReport, ...]:
    total = sum(tally.requests for tally in tallies.values())
    names = sorted(tallies)
    return tuple(_strategy(name, tallies[name], sums.get(name, {}), total) for name in names)


def _strategy(name: str, tally: Tally, sums: dict[str, Sums], total: int) -> StrategyReport:
    def percentile(q: float) -> float | None:
        value = tally.latency.quantile(q)
        return None if math.isnan(value) else value

    scored, measured = sums.get(SCORES, Sums()), sums.get(VALUES, Sums())
    interval = wilson(scored.rows - round(scored.total), scored.rows) if scored.rows else None
    means = [_mean(metric.removeprefix(REWARD), sums[metric]) for metric in sorted(sums) if metric.startswith(REWARD)]
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
        judged_rows=scored.rows + measured.rows,
        accuracy=interval.estimate if interval else None,
        accuracy_low=interval.low if interval else None,
        accuracy_high=interval.high if interval else None,
        mean_absolute_error=measured.total / measured.rows if measured.rows else None,
        value=_mean("value", sums[WORTH]) if sums.get(WORTH, Sums()).rows else None,
        rewards=tuple(mean for mean in means if mean.rows),
    )


def _mean(metric: str, sums: Sums) -> MeanReport:
    found = clustered_mean(*sums)
    limits = (found.low, found.high) if math.isfinite(found.low) else (None, None)
    return MeanReport(metric, sums.rows, found.estimate if sums.rows else 0.0, *limits)
