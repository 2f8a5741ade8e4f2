"""How answers turned out over time: each strategy's metrics, by equal stretches of time, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import sqlalchemy as sa

from quorate.control.report import CALLER
from quorate.core.stats.clustered import clustered_mean
from quorate.core.stats.intervals import wilson
from quorate.store import tallies
from quorate.store.tallies import REWARD, SCORES, VALUES, WORTH, Sums

NAMES = {SCORES: "accuracy", VALUES: "error", WORTH: "value"}
STEPS_MIN = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080)
"""Lengths of a stretch in minutes; longer ones are weeks."""


@dataclass(frozen=True, slots=True)
class PointReport:
    """The mean over the decisions of one stretch, whose beginning ``at`` is (Unix seconds), with its 95 % interval;
    limits are None where there are too few. ``rows`` have the metric."""

    at: float
    rows: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """One metric of one strategy: ``accuracy``, ``error`` (the absolute one), ``value``, or the name of a reward."""

    strategy: str
    metric: str
    points: tuple[PointReport, ...]


@dataclass(frozen=True, slots=True)
class TimelineReport:
    """Decisions since ``since`` (Unix seconds), in stretches of ``step_s`` seconds; of these only those in which
    something is known.

    Strategies are the assigned ones; decisions whose strategy the caller chose are left out. Each interval is for one
    look at one stretch.
    """

    endpoint: str
    since: float
    now: float
    step_s: float
    series: tuple[SeriesReport, ...]


def timeline(connection: sa.Connection, endpoint: str, *, since: float, now: float, points: int) -> TimelineReport:
    """The timeline of an endpoint in at most ``points`` stretches; ``since`` and ``now`` are Unix seconds."""
    step = _step(now - since, points)
    first = int(since // 60) // step * step
    found: dict[tuple[str, str], list[PointReport]] = {}
    sums = tallies.measured_over(connection, endpoint, first, step, without=CALLER)
    for (strategy, metric, minute), each in sums.items():
        if each.rows:
            name = NAMES.get(metric, metric.removeprefix(REWARD))
            found.setdefault((strategy, name), []).append(_point(minute * 60.0, metric, each))
    series = tuple(SeriesReport(*key, tuple(points)) for key, points in sorted(found.items()))
    return TimelineReport(endpoint, first * 60.0, now, step * 60.0, series)


def _step(length_s: float, points: int) -> int:
    needed = length_s / 60 / points
    fitting = next((step for step in STEPS_MIN if step >= needed), None)
    return fitting or math.ceil(needed / STEPS_MIN[-1]) * STEPS_MIN[-1]


def _point(at: float, metric: str, sums: Sums) -> PointReport:
    if metric == SCORES:  # what is summed is wrong answers
        return PointReport(at, sums.rows, *wilson(sums.rows - round(sums.total), sums.rows))
    found = clustered_mean(*sums)
    limits = (found.low, found.high) if math.isfinite(found.low) else (None, None)
    return PointReport(at, sums.rows, found.estimate, *limits)
