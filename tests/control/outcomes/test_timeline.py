"""How answers turned out over time: equal stretches, every metric with its interval, callers' choices left out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from quorate.control.outcomes.timeline import timeline
from quorate.core.stats.intervals import wilson
from quorate.store import tallies
from quorate.store.database import Database

HOUR = 60
NOW = 100 * HOUR * 60.0


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    database = Database(f"sqlite:///{tmp_path / 'store.db'}")
    database.migrate()
    with database.begin() as connection:
        yield connection
    database.close()


def measure(connection: sa.Connection, minute: int, metric: str, *values: float, source: str = "policy") -> None:
    """Rows of decisions of their own; of classes, 1 for a wrong answer."""
    n, total = len(values), sum(values)
    sums = (n, n, n, total, sum(value**2 for value in values), total)
    tallies.add_measured(connection, {("e", minute, 1, "s", source, metric): sums})


def test_minutes_of_one_stretch_are_one_point(connection: sa.Connection) -> None:
    measure(connection, 98 * HOUR, "truth.scores", 1, 0, 0)
    measure(connection, 98 * HOUR + 59, "truth.scores", 0, source="rule")
    measure(connection, 99 * HOUR, "truth.scores", 1, 1)
    found = timeline(connection, "e", since=90 * HOUR * 60.0, now=NOW, points=10)
    (series,) = found.series
    assert (found.step_s, found.since) == (3600.0, 90 * HOUR * 60.0)
    assert (series.strategy, series.metric) == ("s", "accuracy")
    assert [(point.at, point.rows, point.mean) for point in series.points] == [
        (98 * HOUR * 60.0, 4, 0.75),
        (99 * HOUR * 60.0, 2, 0.0),
    ]
    assert (series.points[0].low, series.points[0].high) == wilson(3, 4)[1:]


def test_metrics_have_their_names_and_what_callers_chose_is_left_out(connection: sa.Connection) -> None:
    for metric in ("truth.values", "value", "reward.clicks"):
        measure(connection, 99 * HOUR, metric, 1.0, 3.0)
        measure(connection, 99 * HOUR, metric, 50.0, source="caller")
    measure(connection, 99 * HOUR + 1, "reward.once", 2.0)
    found = timeline(connection, "e", since=NOW - 3600, now=NOW, points=1)
    assert [each.metric for each in found.series] == ["clicks", "error", "once", "value"]
    clicks, once = found.series[0].points[0], found.series[2].points[0]
    half = 1.959963984540054 * math.sqrt(2) / math.sqrt(2)  # the standard deviation of 1 and 3 is the root of 2
    assert (clicks.mean, clicks.low, clicks.high) == pytest.approx((2.0, 2.0 - half, 2.0 + half))
    assert (once.mean, once.low, once.high) == (2.0, None, None)


@pytest.mark.parametrize(("hours", "points", "step"), [(1, 60, 1), (1, 40, 2), (24, 60, 30), (24 * 700, 10, 70 * 1440)])
def test_stretches_are_round_and_no_more_than_asked_for(
    connection: sa.Connection, hours: int, points: int, step: int
) -> None:
    now = 24 * 700 * 3600.0
    found = timeline(connection, "e", since=now - hours * 3600.0, now=now, points=points)
    assert found.step_s == step * 60.0
    assert found.since <= now - hours * 3600.0 < found.since + found.step_s
    assert found.series == ()
