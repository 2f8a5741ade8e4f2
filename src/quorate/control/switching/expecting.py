"""What another mixture of strategies is expected to come to, from what each strategy did in live traffic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from quorate.codecs.lookup import JournalReader
from quorate.control.learning.answering import ReadBlob
from quorate.control.switching import evidence
from quorate.control.switching.estimates import Sums, combined, quantile, wilson
from quorate.control.switching.evidence import ACCURACY, ERROR, By
from quorate.control.switching.loading import Running, longest
from quorate.control.switching.marks import Route, answering, makeup
from quorate.control.switching.mixture import Shares
from quorate.control.switching.paired import compare
from quorate.control.switching.quantities import (
    LATENCY,
    Quantity,
    counted,
    estimated,
    of_change,
    of_sums,
    outcome,
)
from quorate.control.switching.reaching import Side
from quorate.control.switching.telling import FEW
from quorate.control.switching.windows import LONGEST, Window
from quorate.core.stats.intervals import Interval
from quorate.store.ledger import Tally
from quorate.store.revisions import revisions

_REVISIONS = 50
LIVE = "live traffic of the last week"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The last week by revision and strategy, and by what strategies are made of: traffic, and sums by metric."""

    traffic: Mapping[By, Tally]
    by_makeup: Mapping[str, Tally]
    judged: Mapping[str, Mapping[str, Sums]]

    @property
    def rows_per_request(self) -> float:
        """Of the traffic there was; 1 without any."""
        requests = sum(tally.requests for tally in self.traffic.values())
        return sum(tally.rows for tally in self.traffic.values()) / requests if requests else 1.0


def evidence_of(connection: sa.Connection, endpoint: str, now: float) -> Evidence:
    """What is known of an endpoint's strategies, of whichever revision, from its last week."""
    window = Window(int(now // 60) - LONGEST, int(now // 60) + 1)
    hashes = {}
    for each in revisions(connection, endpoint, limit=_REVISIONS):
        route = answering(each)
        for strategy, key in ({} if route is None else makeup(route)).items():
            hashes[By(each.number, strategy)] = key
    wanted = {by.revision for by in hashes}.__contains__
    traffic = evidence.traffic(connection, endpoint, window, wanted)
    by_makeup: dict[str, Tally] = defaultdict(Tally)
    for by, tally in traffic.items():
        if by in hashes:
            by_makeup[hashes[by]].merge(tally)
    judged: dict[str, dict[str, Sums]] = {}
    for metric, found in evidence.judged(connection, endpoint, window, wanted).items():
        mine = judged.setdefault(metric, {})
        for by, sums in found.items():
            if by in hashes:
                mine[hashes[by]] = sums.plus(mine.get(hashes[by], Sums()))
    return Evidence(traffic, by_makeup, judged)


def shares_known(shares: Shares | None) -> bool:
    """Whether it is known who answers."""
    return bool(shares)


def latencies(known: Evidence, before: Side, after: Side, live: Running) -> list[Quantity]:
    """Latency and errors: of the strategies in live traffic where each had any, else of the members' measured runs."""
    sides = [_parts(known, side.route, side.shares or {}) for side in (before, after)]
    if None not in sides:
        first, second = (list(side or ()) for side in sides)
        found = [_quantile(name, q, first, second) for name, q in LATENCY.items()]
        return [*found, _errors(first, second)]
    now = sides[0]
    if now is None:
        return [counted(name, "ms", None, None, "no live traffic") for name in LATENCY]
    runs = [_longest(side, live) for side in (before, after)]
    staged = any(name in side.reaches for side in (before, after) for name in side.shares or {})
    slowest = "the mean run of the slowest member" + (" of each stage" if staged else "")
    found = []
    for name, q in LATENCY.items():
        measured = quantile([(weight, tally.latency) for weight, tally in now], q)
        value = None if measured is None else measured.estimate
        then = None
        if value is not None and runs[0] is not None and runs[1] is not None:
            then = max(value + 1000 * (runs[1] - runs[0]), 0.0)
        found.append(counted(name, "ms", value, then, f"{slowest}, for want of live traffic"))
    return found


def outcomes(
    connection: sa.Connection,
    reader: JournalReader,
    read: ReadBlob,
    known: Evidence,
    before: tuple[Route, Shares],
    after: tuple[Route, Shares],
) -> tuple[list[Quantity], list[str]]:
    """What answers are expected to turn out to be, and what that rests on.

    On the same rows where the members' outputs were logged, which tells small differences; else strategy by strategy.
    """
    found: list[Quantity] = []
    notes: list[str] = []
    pair = compare(connection, reader, read, before, after)
    if pair is not None:
        ends = (Interval(pair.before, pair.before, pair.before), Interval(pair.after, pair.after, pair.after))
        found += outcome(pair.metric, *ends, known.rows_per_request, pair.change)
        notes.append(
            f"{pair.metric.replace('_', ' ').capitalize()} is compared on the same {pair.decisions} decisions, from "
            "the members' outputs on record."
        )
    for metric, sums in sorted(known.judged.items()):
        if pair is not None and metric in (ACCURACY, ERROR):
            continue
        sides, change, rows = _unpaired(metric, sums, before, after)
        if change is None:
            notes.append(f"{metric}: not every strategy that would answer has judged rows of its own.")
            continue
        found += outcome(metric, *sides, known.rows_per_request, change)
        notes.append(f"{metric} is compared strategy by strategy, on {rows} judged rows of the last week.")
    if not found and not notes:
        notes.append("Nothing is known of what answers turn out to be: no outcomes were reported in the last week.")
    return found, notes


def _unpaired(
    metric: str, sums: Mapping[str, Sums], before: tuple[Route, Shares], after: tuple[Route, Shares]
) -> tuple[tuple[Interval | None, Interval | None], Interval | None, int]:
    old, new = (_by_makeup(route, shares) for route, shares in (before, after))
    means: dict[str, Interval] = {}
    for key in old.keys() | new.keys():
        found = of_sums(metric, sums.get(key, Sums()))
        if found is None:
            return (None, None), None, 0
        means[key] = found
    sides = tuple(combined([(share, means[key]) for key, share in side.items()]) for side in (old, new))
    gains = [(new.get(key, 0.0) - old.get(key, 0.0), each) for key, each in means.items()]
    rows = sum(sums[key].rows for key in means)
    return (sides[0], sides[1]), combined([(gain, each) for gain, each in gains if gain]), rows


def _by_makeup(route: Route, shares: Shares) -> dict[str, float]:
    keys = makeup(route)
    found: dict[str, float] = {}
    for name, share in shares.items():
        found[keys[name]] = found.get(keys[name], 0.0) + share
    return found


def _parts(known: Evidence, route: Route, shares: Shares) -> list[tuple[float, Tally]] | None:
    """The traffic of each strategy with its share; None where one has too little."""
    parts = [(share, known.by_makeup.get(key, Tally())) for key, share in _by_makeup(route, shares).items()]
    return None if any(tally.requests < FEW for _, tally in parts) else parts


def _quantile(name: str, q: float, first: list[tuple[float, Tally]], second: list[tuple[float, Tally]]) -> Quantity:
    old, new = (quantile([(weight, tally.latency) for weight, tally in side], q) for side in (first, second))
    return estimated(name, "ms", old, new, LIVE)


def _errors(first: list[tuple[float, Tally]], second: list[tuple[float, Tally]]) -> Quantity:
    parts = {id(tally): wilson(tally.errors / tally.requests, tally.requests) for _, tally in (*first, *second)}
    old, new = (combined([(weight, parts[id(tally)]) for weight, tally in side]) for side in (first, second))
    gains: dict[int, float] = defaultdict(float)
    for sign, side in ((-1.0, first), (1.0, second)):
        for weight, tally in side:
            gains[id(tally)] += sign * weight
    change = combined([(gain, parts[key]) for key, gain in gains.items() if gain])
    return of_change("error_rate", "share", old, new, change, LIVE)


def _longest(side: Side, live: Running) -> float | None:
    members = {strategy.name: strategy.members for strategy in side.route[0].strategies}
    shares = side.shares or {}
    parts = [longest(members[name], live, side.reaches.get(name)) for name in shares]
    if any(part is None for part in parts):
        return None
    return sum(share * (part or 0.0) for share, part in zip(shares.values(), parts, strict=True))
