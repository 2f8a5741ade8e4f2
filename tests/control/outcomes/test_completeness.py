"""How complete outcomes are: from sums by minute, allowing for decisions that have none yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from quorate.control.outcomes.completeness import completeness, outcomes_report
from quorate.core.stats.survival import bucket
from quorate.store import ledger, tallies
from quorate.store.database import Database
from quorate.store.ledger import Tally, TrafficKey
from quorate.store.revisions import add_revision

NOW = 6000 * 60.0
EACH = 400


@pytest.fixture
def connection(tmp_path: Path, new_store: Callable[[str], Database]) -> Iterator[sa.Connection]:
    database = new_store(f"sqlite:///{tmp_path / 'store.db'}")
    with database.begin() as connection:
        yield connection
    database.close()


def traffic(connection: sa.Connection, minutes: range, mean_s: float = 1800.0, share: float = 0.6) -> float:
    """Rows each minute whose outcomes take exponential times, as seen now; the share that has one."""
    rng, seen = np.random.default_rng(1), 0
    for minute in minutes:
        ledger.add_traffic(connection, {TrafficKey("e", minute, 1, "s", "policy"): Tally(requests=EACH, rows=EACH)})
        arrived = minute * 60 + rng.random(EACH) * 60
        delays = np.where(rng.random(EACH) < share, rng.exponential(mean_s, EACH), np.inf)
        told = delays[arrived + delays <= NOW]
        seen += len(told)
        counts: dict[int, int] = {}
        for delay in told:
            counts[bucket(delay)] = counts.get(bucket(delay), 0) + 1
        tallies.add_delays(connection, {("e", minute, "truth"): counts})
    return seen / (len(minutes) * EACH)


def test_what_is_missing_of_recent_decisions_is_estimated(connection: sa.Connection) -> None:
    share = traffic(connection, range(5700, 6000))
    tallies.add_told(connection, {("e", 5900, "truth", "user"): (100, 3, 2, 1)})
    found = outcomes_report(connection, "e", now=NOW)
    (truth,) = found.metrics
    assert found.rows == 300 * EACH
    assert truth.share == pytest.approx(share)
    assert share < 0.56
    assert truth.final_share == pytest.approx(0.6, abs=0.01)
    assert truth.final_low < 0.6 < truth.final_high
    assert truth.p50_s == pytest.approx(-1800 * math.log(1 - 0.5 / 0.6), rel=0.06)
    assert truth.p90_s is None  # 40 % never have one
    assert truth.seen_p50_s == pytest.approx(1800 * math.log(2), rel=0.15)
    assert truth.completeness == pytest.approx(share / 0.6, abs=0.02)
    curve = {each.delay_s: each for each in truth.curve}
    assert len(curve) <= 49
    assert sorted(curve) == [each.delay_s for each in truth.curve]
    for delay, each in curve.items():
        assert each.share == pytest.approx(0.6 * (1 - math.exp(-delay / 1800)), abs=0.02)
        assert each.low <= each.share <= each.high
    assert truth.curve[-1].delay_s == pytest.approx(300 * 60.0, abs=60)
    ages = {age.age_s: age for age in truth.by_age}
    assert sorted(ages) == [60.0, 600.0, 3600.0]
    assert ages[3600.0].share == pytest.approx(0.6 * (1 - math.exp(-2)), abs=0.01)
    assert ages[600.0].completeness == pytest.approx(1 - math.exp(-1 / 3), abs=0.02)
    assert [(s.source, s.joined, s.replaced, s.late, s.invalid) for s in truth.sources] == [("user", 100, 3, 2, 1)]


def test_the_latest_decisions_are_the_least_complete(connection: sa.Connection) -> None:
    traffic(connection, range(5700, 6000))
    last_10 = completeness(connection, "e", "truth", now=NOW, since=5990 * 60.0)
    expected = np.mean([1 - math.exp(-(60 * m + 30) / 1800) for m in range(10)])
    assert last_10 == pytest.approx(expected, abs=0.02)
    everything = completeness(connection, "e", "truth", now=NOW)
    assert everything is not None
    assert everything > 0.88
    assert completeness(connection, "e", "clicks", now=NOW) is None
    assert completeness(connection, "nobody", "truth", now=NOW) is None


def test_the_horizon_is_what_the_endpoint_expects(connection: sa.Connection) -> None:
    settings = (
        '{"endpoint": {"outcomes": {"precedence": ["expert"], "correction_s": 5.0, "expected_within_s": 1800.0}}}'
    )
    add_revision(connection, "e", settings, author="a", now=1.0)
    traffic(connection, range(5700, 6000))
    found = outcomes_report(connection, "e", now=NOW)
    assert (found.precedence, found.correction_s, found.expected_within_s, found.horizon_s) == (
        ("expert",), 5.0, 1800.0, 1800.0
    )  # fmt: skip
    (truth,) = found.metrics
    assert truth.final_share == pytest.approx(0.6 * (1 - math.exp(-1)), abs=0.01)
    assert [age.completeness for age in truth.by_age if age.age_s >= 1800] == [1.0]


def test_nothing_to_tell_of(connection: sa.Connection) -> None:
    found = outcomes_report(connection, "e", now=NOW)
    assert (found.rows, found.metrics, found.horizon_s) == (0, (), 0.0)
    key = TrafficKey("e", 5999, 1, "s", "policy")
    ledger.add_traffic(connection, {key: Tally(requests=1, rows=3)})
    tallies.add_told(connection, {("e", 5999, "truth", "user"): (0, 0, 0, 1)})
    (truth,) = outcomes_report(connection, "e", now=NOW).metrics
    assert (truth.known_rows, truth.share, truth.final_share, truth.completeness, truth.p50_s) == (
        0,
        0.0,
        None,
        None,
        None,
    )
