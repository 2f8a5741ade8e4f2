"""How an endpoint does now: recent traffic, its strategies, its members, and what is wrong."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import sqlalchemy as sa

from quorate.codecs.snapshot import EndpointRoute, PoolRoute
from quorate.control import health
from quorate.control.health import Files, MemberHealth, Problem, Readings
from quorate.control.report import StrategyReport, report
from quorate.store import ledger
from quorate.store.ledger import Tally


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of traffic; ``at`` is Unix seconds of its beginning."""

    at: float
    requests: int
    errors: int
    degraded: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The last ``minutes`` minutes of an endpoint, the present one included; latencies are milliseconds.

    ``policy`` is its kind, and ``learns`` whether there is something at ``/v1/endpoints/{name}/learner``.
    ``timeline`` has every minute, the oldest first. Strategies are counted as in the report, over the same time;
    ``completeness`` is the share of the truths of these decisions that is here, of those that will come.
    """

    endpoint: str
    now: float
    minutes: int
    blind: bool
    policy: str
    learns: bool
    requests: int
    errors: int
    degraded: int
    fallbacks: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    timeline: tuple[Minute, ...]
    strategies: tuple[StrategyReport, ...]
    chosen_by_caller: tuple[StrategyReport, ...]
    members: tuple[MemberHealth, ...]
    problems: tuple[Problem, ...]
    completeness: float | None = None


def overview(
    connection: sa.Connection,
    endpoint: EndpointRoute,
    pool: PoolRoute,
    *,
    now: float,
    minutes: int,
    workers: int,
    readings: Readings,
    files: Files,
) -> Overview:
    """The overview of a served endpoint from what was ingested so far; ``now`` is Unix seconds."""
    last = int(now // 60)
    first = last - minutes + 1
    total, by_minute = Tally(), defaultdict[int, Tally](Tally)
    for key, tally in ledger.traffic(connection, endpoint.name, first):
        total.merge(tally)
        by_minute[key.minute].merge(tally)
    found = report(connection, endpoint.name, first * 60.0, now=now)
    members = health.members(pool, readings, files)
    return Overview(
        endpoint=endpoint.name,
        now=now,
        minutes=minutes,
        blind=endpoint.policy.blind,
        policy=endpoint.policy.kind,
        learns=endpoint.policy.reward is not None,
        requests=total.requests,
        errors=total.errors,
        degraded=total.degraded,
        fallbacks=total.fallbacks,
        p50_ms=_quantile(total, 0.5),
        p95_ms=_quantile(total, 0.95),
        p99_ms=_quantile(total, 0.99),
        timeline=tuple(_minute(minute, by_minute[minute]) for minute in range(first, last + 1)),
        strategies=found.strategies,
        chosen_by_caller=found.chosen_by_caller,
        members=tuple(members),
        problems=tuple(health.problems(members, readings, workers, _others(endpoint, pool, files))),
        completeness=found.completeness,
    )


def _minute(minute: int, tally: Tally) -> Minute:
    return Minute(minute * 60.0, tally.requests, tally.errors, tally.degraded)


def _quantile(tally: Tally, q: float) -> float | None:
    value = tally.latency.quantile(q)
    return None if math.isnan(value) else value


def _others(endpoint: EndpointRoute, pool: PoolRoute, files: Files) -> list[tuple[str, health.FileState]]:
    found = [
        (f"strategy '{strategy.name}'", files.state(strategy.state.values()))
        for strategy in endpoint.strategies
        if strategy.state is not None
    ]
    if pool.graphs:
        state = files.state([graph.digest for graph in pool.graphs])
        found.append((f"the fused graph of pool '{pool.name}'", state))
    return found
