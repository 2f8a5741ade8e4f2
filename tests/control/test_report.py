"""The report: per assigned strategy, callers' choices apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from quorate.control.report import report
from quorate.core.stats.intervals import wilson
from quorate.core.types import Outcome
from quorate.store import ledger, tallies
from quorate.store.database import Database
from quorate.store.ledger import Place, Progress, Tally, TrafficKey
from quorate.store.tallies import SCORES


@pytest.fixture
def connection(tmp_path: Path, new_store: Callable[[str], Database]) -> Iterator[sa.Connection]:
    database = new_store(f"sqlite:///{tmp_path / 'store.db'}")
    with database.begin() as connection:
        yield connection
    database.close()


def add(
    connection: sa.Connection, strategy: str, source: str, minute: int, latencies: list[float], **counts: int
) -> None:
    tally = Tally(requests=len(latencies), rows=len(latencies), **counts)
    tally.latency.add(latencies)
    ledger.add_traffic(connection, {TrafficKey("e", minute, 1, strategy, source): tally})


def judge(connection: sa.Connection, strategy: str, source: str, *, right: int, wrong: int, minute: int = 10) -> None:
    rows = right + wrong
    tallies.add_measured(
        connection, {("e", minute, 1, strategy, source, SCORES): (rows, rows, rows, wrong, wrong, wrong)}
    )


def test_strategies_are_compared_by_assignment(connection: sa.Connection) -> None:
    add(connection, "mean", "policy", 10, [float(i) for i in range(1, 101)], errors=2, degraded=3, fallbacks=1)
    add(connection, "mean", "rule", 11, [50.0] * 50)
    add(connection, "vote", "policy", 10, [1.0] * 50)
    judge(connection, "mean", "policy", right=80, wrong=20)
    judge(connection, "mean", "rule", right=10, wrong=0)
    found = report(connection, "e")
    mean, vote = found.strategies
    assert (mean.strategy, mean.requests, mean.rows, mean.errors, mean.degraded, mean.fallbacks) == (
        "mean",
        150,
        150,
        2,
        3,
        1,
    )
    assert (mean.share, vote.share) == (0.75, 0.25)
    assert [mean.p50_ms, mean.p95_ms, mean.p99_ms] == pytest.approx([50.0, 93.0, 98.0], rel=0.02)
    assert (mean.judged_rows, mean.accuracy) == (110, 90 / 110)
    assert (mean.accuracy_low, mean.accuracy_high) == wilson(90, 110)[1:]
    assert (vote.judged_rows, vote.accuracy, vote.accuracy_low, vote.accuracy_high) == (0, None, None, None)
    assert found.chosen_by_caller == ()


def test_what_callers_chose_is_apart(connection: sa.Connection) -> None:
    add(connection, "mean", "policy", 10, [1.0] * 10)
    add(connection, "mean", "caller", 10, [100.0] * 90)
    judge(connection, "mean", "policy", right=5, wrong=5)
    judge(connection, "mean", "caller", right=90, wrong=0)
    found = report(connection, "e")
    (assigned,), (chosen,) = found.strategies, found.chosen_by_caller
    assert (assigned.requests, assigned.share, assigned.accuracy, assigned.p99_ms) == (
        10,
        1.0,
        0.5,
        pytest.approx(1.0, rel=0.02),
    )
    assert (chosen.requests, chosen.share, chosen.accuracy, chosen.judged_rows) == (90, 1.0, 1.0, 90)


def test_since_counts_traffic_and_truth_of_the_same_time(connection: sa.Connection) -> None:
    for minute in (10, 20):
        add(connection, f"s{minute}", "policy", minute, [1.0])
        judge(connection, f"s{minute}", "policy", right=1, wrong=0, minute=minute)
    found = report(connection, "e", since=20 * 60 + 59.0)
    assert found.since == 20 * 60
    assert [(s.strategy, s.judged_rows, s.share) for s in found.strategies] == [("s20", 1, 1.0)]
    assert report(connection, "e", since=21 * 60).strategies == ()


def test_what_is_missing_is_said(connection: sa.Connection) -> None:
    states = (ledger.PENDING, ledger.PENDING, ledger.INVALID, ledger.GONE, ledger.LATE, ledger.JOINED)
    values = [value for row in range(6) for value in ledger.told(Outcome("d", row, "x", at=1.0))]
    ledger.put_outcomes(connection, [v._replace(state=state) for v, state in zip(values, states, strict=True)])
    ledger.set_progress(connection, Place(0, 0, 0), Progress(1, 100, damaged=7, unreadable=1))
    ledger.set_progress(connection, Place(1, 0, 0), Progress(1, 100, damaged=3))
    found = report(connection, "nothing of that name")
    assert (found.strategies, found.chosen_by_caller) == ((), ())
    assert (found.pending_outcomes, found.invalid_outcomes, found.damaged_bytes, found.unreadable_records) == (
        2,
        1,
        10,
        1,
    )
    assert (found.gone_outcomes, found.late_outcomes) == (1, 1)


def test_no_latency_is_no_number(connection: sa.Connection) -> None:
    ledger.add_traffic(connection, {TrafficKey("e", 1, 1, "s", "policy"): Tally(requests=1)})
    (found,) = report(connection, "e").strategies
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == (None, None, None)
