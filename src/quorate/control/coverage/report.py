"""How often the truth was in the sets and intervals of an endpoint's answers, and how large these were."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from quorate.control.coverage.logged import Promising
from quorate.control.coverage.measuring import COVERED, SIZE
from quorate.core.conformal.adaptive import Adapted, unpack
from quorate.core.stats.clustered import clustered_mean
from quorate.core.stats.intervals import wilson
from quorate.core.types import State
from quorate.store import tallies
from quorate.store.tallies import Sums


@dataclass(frozen=True, slots=True)
class PromiseReport:
    """Answers of one strategy for which a coverage of ``asked`` was promised, and whose truth is known.

    ``coverage`` is the share of rows whose truth was covered, with its 95 % interval (Wilson), for one look. ``size``
    is the mean number of labels, or the mean width of the intervals that are bounded; None where all are unbounded.
    """

    asked: float
    rows: int
    coverage: float
    low: float
    high: float
    size: float | None


@dataclass(frozen=True, slots=True)
class LevelReport:
    """An adaptive level: aiming at ``level`` covers ``asked`` now. ``missed`` is the share of all rows learned from
    that the levels of their time would not have covered."""

    asked: float
    level: float
    missed: float | None


@dataclass(frozen=True, slots=True)
class AdaptiveReport:
    """What was learned of a strategy's coverage: from ``rows``; ``window`` newest scores are looked up in."""

    rows: int
    window: int
    levels: tuple[LevelReport, ...]


@dataclass(frozen=True, slots=True)
class StrategyCoverage:
    """A strategy with a conformal state: ``calibration_rows`` (of the rarest class, where each has its own) say which
    coverages it can promise, ``default`` is that of requests that ask for none. ``adaptive`` is None where it does not
    adapt, or has learned nothing yet."""

    strategy: str
    score: str
    conditional: bool
    calibration_rows: int
    default: float | None
    abstain: str
    promises: tuple[PromiseReport, ...]
    adaptive: AdaptiveReport | None


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """Strategies are those served now; their rows those of decisions that were assigned to them, whoever chose."""

    endpoint: str
    since: float | None
    strategies: tuple[StrategyCoverage, ...]


def coverage_report(
    connection: sa.Connection,
    endpoint: str,
    promising: Mapping[str, Promising],
    learned: Mapping[str, State],
    since: float | None = None,
) -> CoverageReport:
    """The report of an endpoint from what was ingested so far; ``learned`` are adaptive states by strategy."""
    minute = 0 if since is None else int(since // 60)
    sums: dict[tuple[str, str], Sums] = {}
    for (strategy, _, metric), each in tallies.measured(connection, endpoint, minute).items():
        if metric.startswith((COVERED, SIZE)):
            sums[strategy, metric] = sums.get((strategy, metric), Sums()).plus(each)
    found = tuple(_strategy(name, mine, learned.get(name), sums) for name, mine in promising.items())
    return CoverageReport(endpoint, None if since is None else minute * 60.0, found)


def _strategy(
    name: str, mine: Promising, learned: State | None, sums: Mapping[tuple[str, str], Sums]
) -> StrategyCoverage:
    told = sorted(
        (float(metric.removeprefix(COVERED)), each, sums.get((name, SIZE + metric.removeprefix(COVERED)), Sums()))
        for (strategy, metric), each in sums.items()
        if strategy == name and metric.startswith(COVERED) and each.rows
    )
    route = mine.route.conformal
    assert route is not None  # noqa: S101 - it is promising
    return StrategyCoverage(
        strategy=name,
        score=mine.calibrated.score,
        conditional=mine.calibrated.conditional,
        calibration_rows=mine.calibrated.rows,
        default=route.coverage,
        abstain=route.abstain,
        promises=tuple(_promise(*each) for each in told),
        adaptive=adaptive_report(learned),
    )


def _promise(asked: float, covered: Sums, sizes: Sums) -> PromiseReport:
    share = wilson(round(covered.total), covered.rows)
    size = clustered_mean(*sizes).estimate if sizes.rows else math.nan
    return PromiseReport(
        asked, covered.rows, share.estimate, share.low, share.high, size if math.isfinite(size) else None
    )


def adaptive_report(state: State | None) -> AdaptiveReport | None:
    """What an adaptive state has learned; None of none."""
    if state is None:
        return None
    known, adapted = unpack(state), Adapted(state)
    levels = [
        LevelReport(
            asked=1.0 - target,
            level=adapted.level(1.0 - target),
            missed=missed / known.rows if known.rows else None,
        )
        for target, missed in zip(known.targets.tolist(), known.missed.tolist(), strict=True)
    ]
    return AdaptiveReport(known.rows, len(known.scores), tuple(reversed(levels)))
