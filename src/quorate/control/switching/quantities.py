"""The quantities a switch is told in, before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from quorate.codecs.snapshot import PoolRoute, Prices, Routing
from quorate.control.switching import evidence
from quorate.control.switching.estimates import Sums, difference, mean, proportion, quantile, wilson
from quorate.control.switching.evidence import ACCURACY, ERROR, Wanted
from quorate.control.switching.resources import Resources, resources
from quorate.control.switching.windows import Window
from quorate.core.stats.intervals import Interval
from quorate.store.ledger import Tally

LATENCY = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
PER_THOUSAND = "_per_1000_requests"
CPU, MONEY, MEMORY, POOL_MEMORY = "cpu" + PER_THOUSAND, "money_per_million_requests", "memory", "pool_memory"
_ROUNDING = 1e-9
WARM_UP, MEMORY_ADDED, MEMORY_FREED = "warm_up", "memory_added", "memory_freed"


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity before and after a switch, and the difference (after less before); None where not known.

    ``low`` and ``high`` are the 95 % interval of the difference, where it is an estimate. ``basis`` says what it rests
    on.
    """

    name: str
    unit: str
    before: float | None
    after: float | None
    change: float | None
    low: float | None = None
    high: float | None = None
    basis: str | None = None

    @property
    def sure(self) -> bool:
        """Whether the interval of the difference leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a window."""

    window: Window
    traffic: Tally
    judged: Mapping[str, Sums]
    resources: Resources


def measured(
    connection: sa.Connection, endpoint: str, pool: PoolRoute, served: Routing, window: Window, wanted: Wanted
) -> Measured:
    """What the endpoint did in a window, of the revisions that are ``wanted``."""
    total = Tally()
    for tally in evidence.traffic(connection, endpoint, window, wanted).values():
        total.merge(tally)
    sums = {}
    for metric, by in evidence.judged(connection, endpoint, window, wanted).items():
        both = Sums()
        for each in by.values():
            both = both.plus(each)
        sums[metric] = both
    return Measured(window, total, sums, resources(connection, endpoint, pool, served, window))


def compare(before: Measured, after: Measured, prices: Prices) -> list[Quantity]:
    """All quantities of two windows."""
    found = [
        estimated(name, "ms", quantile([(1.0, before.traffic.latency)], q), quantile([(1.0, after.traffic.latency)], q))
        for name, q in LATENCY.items()
    ]
    found.append(estimated("error_rate", "share", _errors(before.traffic), _errors(after.traffic)))
    found += _resources(before.resources, after.resources, prices)
    for metric in sorted(before.judged.keys() | after.judged.keys()):
        old, new = before.judged.get(metric, Sums()), after.judged.get(metric, Sums())
        found += outcome(metric, of_sums(metric, old), of_sums(metric, new), _per_request(before, after))
    return found


def estimated(
    name: str, unit: str, before: Interval | None, after: Interval | None, basis: str | None = None
) -> Quantity:
    """A quantity of two estimates that know nothing of each other."""
    change = None if before is None or after is None else difference(after, before)
    return of_change(name, unit, before, after, change, basis)


def of_change(
    name: str,
    unit: str,
    before: Interval | None,
    after: Interval | None,
    change: Interval | None,
    basis: str | None = None,
) -> Quantity:
    """A quantity whose difference has an interval of its own."""
    old, new = (None if each is None else each.estimate for each in (before, after))
    if change is None:
        return Quantity(name, unit, old, new, None, basis=basis)
    return Quantity(name, unit, old, new, *change, basis=basis)


def counted(name: str, unit: str, before: float | None, after: float | None, basis: str | None = None) -> Quantity:
    """A quantity that is measured as a whole, so that it has no interval."""
    change = None if before is None or after is None else after - before
    if change is not None and abs(change) < _ROUNDING * abs(before or 0.0):
        change = 0.0
    return Quantity(name, unit, before, after, change, basis=basis)


def outcome(
    metric: str, before: Interval | None, after: Interval | None, rows: float, change: Interval | None = None
) -> list[Quantity]:
    """A metric of answers by row, and its difference as it adds up over 1,000 requests of ``rows`` rows each."""
    if change is None and before is not None and after is not None:
        change = difference(after, before)
    unit = "share" if metric == ACCURACY else "per row"
    found = [of_change(metric, unit, before, after, change)]
    if metric != ERROR and change is not None:
        name = ("right_answers" if metric == ACCURACY else metric) + PER_THOUSAND
        per = 1000 * rows
        old, new = (None if each is None else per * each.estimate for each in (before, after))
        d, low, high = (per * each for each in change)
        found.append(Quantity(name, "per 1,000 requests", old, new, d, low, high))
    return found


def of_sums(metric: str, sums: Sums) -> Interval | None:
    """The metric by row."""
    return proportion(sums) if metric == ACCURACY else mean(sums)


def find(quantities: Iterable[Quantity], name: str) -> Quantity | None:
    """The quantity of that name."""
    return next((each for each in quantities if each.name == name), None)


def _errors(tally: Tally) -> Interval | None:
    return wilson(tally.errors / tally.requests, tally.requests) if tally.requests else None


def _per_request(before: Measured, after: Measured) -> float:
    requests = before.traffic.requests + after.traffic.requests
    return (before.traffic.rows + after.traffic.rows) / requests if requests else 1.0


def _resources(old: Resources, new: Resources, prices: Prices) -> list[Quantity]:
    known = old.seconds > 0 and new.seconds > 0
    return [
        counted(CPU, "s", old.cpu_per_thousand, new.cpu_per_thousand),
        counted(MEMORY, "bytes", old.bytes if known else None, new.bytes if known else None),
        counted(POOL_MEMORY, "bytes", old.pool_bytes, new.pool_bytes),
        counted(MONEY, prices.currency or "money", old.money_per_million(prices), new.money_per_million(prices)),
    ]
