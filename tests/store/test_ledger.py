"""The ledger: counts that add up, outcomes that do not depend on order, judgements."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
import sqlalchemy as sa

from quorate.core.types import Outcome
from quorate.store import ledger
from quorate.store.database import Database
from quorate.store.ledger import Judgement, Place, Progress, Tally, TrafficKey

KEY = TrafficKey("digits", 100, 1, "mean", "policy")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    database = Database(f"sqlite:///{tmp_path / 'store.db'}")
    database.migrate()
    with database.begin() as connection:
        yield connection
    database.close()


def tally(latency: float, **counts: int) -> Tally:
    made = Tally(requests=1, rows=2, **counts)
    made.latency.add(latency)
    return made


def test_progress_is_kept_by_segment(connection: sa.Connection) -> None:
    place = Place(1, 2**22 - 1, 2**40 - 1)
    assert ledger.progress(connection) == {}
    for done in (Progress(1_700_000_000_000_000_000, 40), Progress(5, 80, sealed=True, damaged=3, unreadable=1)):
        ledger.set_progress(connection, place, done)
        assert ledger.progress(connection) == {place: done}
    ledger.set_progress(connection, place._replace(slot=0), Progress(1, 1))
    assert len(ledger.progress(connection)) == 2


def test_traffic_adds_up(connection: sa.Connection) -> None:
    ledger.add_traffic(connection, {KEY: tally(1.0, errors=1), KEY._replace(minute=101): tally(8.0)})
    ledger.add_traffic(connection, {KEY: tally(100.0, degraded=1, fallbacks=1)})
    first, second = ledger.traffic(connection, "digits", 0)
    assert (first[0], second[0]) == (KEY, KEY._replace(minute=101))
    one = first[1]
    assert (one.requests, one.rows, one.errors, one.degraded, one.fallbacks) == (2, 4, 1, 1, 1)
    assert one.latency.count == 2
    assert one.latency.quantile(1.0) == pytest.approx(100.0, rel=0.01)
    assert [key.minute for key, _ in ledger.traffic(connection, "digits", 101)] == [101]
    assert list(ledger.traffic(connection, "other", 0)) == []


VALUES = [
    Outcome("d", 0, "7", source="user", at=1.0, received=9.0),
    Outcome("d", 0, "8", source="user", at=3.0, received=5.0),
    Outcome("d", 0, "9", source="user", at=2.0, received=8.0),
    Outcome("d", 0, 4.5, source="expert", at=1.0, received=1.0),
    Outcome("d", 0, None, {"clicks": 2.0, "time": 1.0}, "user", 1.0, 1.0),
]


def test_outcomes_do_not_depend_on_order_or_repetition(tmp_path: Path) -> None:
    kept = []
    for i, order in enumerate(permutations(VALUES[:4])):
        database = Database(f"sqlite:///{tmp_path / str(i)}")
        database.migrate()
        with database.begin() as connection:
            for outcome in (*order, VALUES[4], *order):
                ledger.put_outcomes(connection, [outcome])
            kept.append(ledger.outcomes_of(connection, ["d"]))
        database.close()
        if i == 7:
            break
    assert all(one == kept[0] for one in kept)
    assert [(o.metric, o.source, o.label, o.value) for o in kept[0]] == [
        ("clicks", "user", None, 2.0),
        ("time", "user", None, 1.0),
        ("truth", "expert", None, 4.5),
        ("truth", "user", "8", None),
    ]


def test_only_what_changes_is_pending_again(connection: sa.Connection) -> None:
    assert ledger.put_outcomes(connection, VALUES[:2]) == {"d"}
    ledger.settle(connection, ledger.outcomes_of(connection, ["d"]), ledger.JOINED)
    assert ledger.put_outcomes(connection, VALUES[:3]) == set()
    assert ledger.outcome_counts(connection) == {"pending": 0, "joined": 1, "invalid": 0}
    assert ledger.put_outcomes(connection, [Outcome("d", 0, "7", source="user", at=4.0)]) == {"d"}
    assert ledger.outcome_counts(connection) == {"pending": 1, "joined": 0, "invalid": 0}


def test_who_waits_is_found_among_many(connection: sa.Connection) -> None:
    many = [f"d{i}" for i in range(1201)]
    assert ledger.waiting(connection, many) == set()
    ledger.put_outcomes(connection, [Outcome(d, 0, "7", at=1.0) for d in ("d0", "d700", "d1200", "elsewhere")])
    assert ledger.waiting(connection, many) == {"d0", "d700", "d1200"}
    ledger.settle(connection, ledger.outcomes_of(connection, ["d700"]), ledger.INVALID)
    assert ledger.waiting(connection, many) == {"d0", "d1200"}
    assert len(ledger.outcomes_of(connection, many)) == 3


def test_a_later_judgement_replaces_the_earlier_one(connection: sa.Connection) -> None:
    one = Judgement("d", 0, "digits", 100, 1, "mean", "policy", "scores", 1.0, "user")
    ledger.judge(connection, [one, one._replace(row=1), one._replace(decision="e", source="caller", minute=99)])
    ledger.judge(connection, [one._replace(loss=0.0, truth_source="expert")])
    assert sorted(ledger.losses(connection, "digits", 0)) == [
        ("mean", "caller", "scores", 1, 1.0),
        ("mean", "policy", "scores", 2, 1.0),
    ]
    assert ledger.losses(connection, "digits", 100) == [("mean", "policy", "scores", 2, 1.0)]
    assert ledger.losses(connection, "other", 0) == []
