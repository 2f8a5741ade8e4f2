"""How late outcomes come, and so how complete is what is known of recent decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from quorate.control.outcomes.rules import Rules, rules_in
from quorate.core.outcomes import OutcomeRules
from quorate.core.stats.survival import Cohort, Curve, kaplan_meier, seconds
from quorate.store import ledger, tallies
from quorate.store.revisions import newest_revision

AGES_S = (60.0, 600.0, 3600.0, 6 * 3600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0)
HISTORY_S = 30 * 86_400.0
"""Decisions of this long are looked at for how late outcomes come."""
STEPS = 48
"""Steps of the curve that reports have at most, besides its end."""
COHORTS, ENOUGH = 1500, 200
"""Minutes that reports look at, about; all of them where these are too few to tell."""


@dataclass(frozen=True, slots=True)
class AgeReport:
    """Decisions of one age: the share of rows that has its outcome by then, with its 95 % interval, and how complete
    that is: the share of those that will have one."""

    age_s: float
    share: float
    low: float
    high: float
    completeness: float | None


@dataclass(frozen=True, slots=True)
class DelayReport:
    """The share of all rows that has its outcome ``delay_s`` seconds after the decision, with its 95 % interval."""

    delay_s: float
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SourceReport:
    """Values of a metric from one source: counting for it, replaced by another of it, late, not fitting."""

    source: str
    joined: int
    replaced: int
    late: int
    invalid: int


@dataclass(frozen=True, slots=True)
class MetricReport:
    """Outcomes of one metric. ``known_rows`` of the endpoint's rows have one, which is ``share``.

    ``p50_s`` and so on: after so many seconds that part of *all* rows has its outcome, those without one yet allowed
    for (Kaplan-Meier); None where that many have none, however long one waits. ``seen_p50_s`` and so on are of the
    delays seen, which for recent decisions are the short ones. ``final_share`` is the share of rows that has an
    outcome by the horizon, with its 95 % interval; ``completeness`` which part of these is here already. ``curve`` is
    the Kaplan-Meier estimate at up to 49 delays, the first step and the age of the oldest row among them.
    """

    metric: str
    known_rows: int
    share: float | None
    p50_s: float | None
    p90_s: float | None
    p99_s: float | None
    seen_p50_s: float | None
    seen_p90_s: float | None
    seen_p99_s: float | None
    final_share: float | None
    final_low: float | None
    final_high: float | None
    completeness: float | None
    by_age: tuple[AgeReport, ...]
    curve: tuple[DelayReport, ...]
    sources: tuple[SourceReport, ...]


@dataclass(frozen=True, slots=True)
class OutcomesReport:
    """What is known of an endpoint's outcomes, from decisions since ``since`` (Unix seconds, rounded down to the
    minute).

    ``horizon_s`` is the age at which outcomes are taken to have come: the endpoint's ``expected_within_s``, else the
    age of the oldest decision looked at. ``pending`` and ``gone`` values, of all endpoints, have no decision here: it
    was not read yet, or is no longer kept.
    """

    endpoint: str
    since: float
    now: float
    rows: int
    precedence: tuple[str, ...]
    correction_s: float | None
    expected_within_s: float | None
    horizon_s: float
    metrics: tuple[MetricReport, ...]
    pending: int
    gone: int


def outcomes_report(
    connection: sa.Connection, endpoint: str, *, now: float, since: float | None = None
) -> OutcomesReport:
    """The report of an endpoint's outcomes; of the last 30 days where ``since`` (Unix seconds) is not given."""
    minute = int((now - HISTORY_S if since is None else since) // 60)
    rules = rules_of(connection, endpoint).outcomes
    rows = tallies.rows_by_minute(connection, endpoint, minute)
    delays = tallies.delays(connection, endpoint, minute)
    told = tallies.told_counts(connection, endpoint, minute)
    horizon = _horizon(rules, rows, now)
    counts = ledger.outcome_counts(connection)
    names = sorted(delays.keys() | {metric for metric, _ in told}, key=lambda name: (name != ledger.TRUTH, name))
    metrics = []
    for name in names:
        sources = tuple(SourceReport(source, *each) for (metric, source), each in told.items() if metric == name)
        metrics.append(_metric(name, rows, delays.get(name, {}), sources, now, horizon))
    return OutcomesReport(
        endpoint=endpoint,
        since=minute * 60.0,
        now=now,
        rows=sum(rows.values()),
        precedence=rules.precedence,
        correction_s=rules.correction_s,
        expected_within_s=rules.expected_within_s,
        horizon_s=horizon,
        metrics=tuple(metrics),
        pending=counts[ledger.PENDING],
        gone=counts[ledger.GONE],
    )


def completeness(
    connection: sa.Connection, endpoint: str, metric: str, *, now: float, since: float | None = None
) -> float | None:
    """Which share of the outcomes that decisions since ``since`` will have are here by ``now``, as far as the delays of
    the last 30 days tell; None where they tell nothing.

    Of so many minutes every n-th is looked at, which leaves the estimate what it is and the cost small.
    """
    minute = int((now - HISTORY_S) // 60)
    every = max(int(HISTORY_S / 60 // COHORTS), 1)
    rows = tallies.rows_by_minute(connection, endpoint, minute, every=every)
    delays = tallies.delays(connection, endpoint, minute, metric=metric, every=every).get(metric)
    if not delays or len(delays) < ENOUGH:
        rows = tallies.rows_by_minute(connection, endpoint, minute)
        delays = tallies.delays(connection, endpoint, minute, metric=metric).get(metric)
    if not delays:
        return None
    curve = kaplan_meier(_cohorts(rows, delays, now))
    horizon = _horizon(rules_of(connection, endpoint).outcomes, rows, now)
    recent = rows if since is None else tallies.rows_by_minute(connection, endpoint, max(int(since // 60), minute))
    return _complete(curve, recent, now, horizon)


def rules_of(connection: sa.Connection, endpoint: str) -> Rules:
    """The rules of an endpoint's newest revision; the defaults where it has none."""
    newest = newest_revision(connection, endpoint)
    return Rules() if newest is None else rules_in(newest.content)


def _metric(
    name: str,
    rows: Mapping[int, int],
    delays: Mapping[int, Mapping[int, int]],
    sources: tuple[SourceReport, ...],
    now: float,
    horizon: float,
) -> MetricReport:
    cohorts = _cohorts(rows, delays, now)
    curve, total = kaplan_meier(cohorts), sum(rows.values())
    seen: dict[int, int] = {}
    for cohort in cohorts:
        for bucket, count in cohort.delays.items():
            seen[bucket] = seen.get(bucket, 0) + count
    known = sum(seen.values())
    final = curve.interval(horizon)
    return MetricReport(
        name,
        known,
        known / total if total else None,
        _or_none(curve.quantile(0.5)),
        _or_none(curve.quantile(0.9)),
        _or_none(curve.quantile(0.99)),
        _seen_quantile(seen, 0.5),
        _seen_quantile(seen, 0.9),
        _seen_quantile(seen, 0.99),
        final.estimate if known else None,
        final.low if known else None,
        final.high if known else None,
        _complete(curve, rows, now, horizon),
        _by_age(curve, final.estimate, horizon),
        _steps(curve),
        sources,
    )


def _by_age(curve: Curve, final: float, horizon: float) -> tuple[AgeReport, ...]:
    found = []
    for age in AGES_S:
        if age > curve.longest_s:
            break
        whole = min(curve.at(age) / final, 1.0) if final > 0 and age < horizon else 1.0 if final > 0 else None
        found.append(AgeReport(age, *curve.interval(age), whole))
    return tuple(found)


def _steps(curve: Curve) -> tuple[DelayReport, ...]:
    """Steps of the curve, evenly chosen where there are too many, and where it ends."""
    if not len(curve.delays_s):
        return ()
    every = -(-len(curve.delays_s) // STEPS)
    chosen = [float(each) for each in curve.delays_s[::every]]
    end = max(curve.longest_s, float(curve.delays_s[-1]))
    return tuple(DelayReport(each, *curve.interval(each)) for each in [*chosen, *([end] if end > chosen[-1] else [])])


def _complete(curve: Curve, rows: Mapping[int, int], now: float, horizon: float) -> float | None:
    final, total = curve.at(horizon), sum(rows.values())
    if final <= 0 or total == 0:
        return None
    by_now = sum(count * min(curve.at(min(_age(minute, now), horizon)), final) for minute, count in rows.items())
    return by_now / (final * total)


def _horizon(rules: OutcomeRules, rows: Mapping[int, int], now: float) -> float:
    oldest = _age(min(rows), now) if rows else 0.0
    return rules.expected_within_s or oldest


def _cohorts(rows: Mapping[int, int], delays: Mapping[int, Mapping[int, int]], now: float) -> list[Cohort]:
    return [
        Cohort(_age(minute, now), rows.get(minute, 0), delays.get(minute, {})) for minute in rows.keys() | delays.keys()
    ]


def _age(minute: int, now: float) -> float:
    """The age of a decision in the middle of a minute, or in the middle of what has passed of the present one."""
    start = minute * 60.0
    return max(now - (start + min(60.0, max(now - start, 0.0)) / 2), 0.0)


def _seen_quantile(seen: Mapping[int, int], q: float) -> float | None:
    rank, passed = math.floor(q * (sum(seen.values()) - 1)), 0
    for bucket in sorted(seen):
        passed += seen[bucket]
        if rank < passed:
            return float(seconds(bucket))
    return None


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
