"""The ledger: counts that add up, every value with its state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from quorate.core.types import Outcome
from quorate.store import ledger
from quorate.store.database import Database
from quorate.store.ledger import Place, Progress, Tally, TrafficKey

KEY = TrafficKey("digits", 100, 1, "mean", "policy")


@pytest.fixture
def connection(tmp_path: Path, new_store: Callable[[str], Database]) -> Iterator[sa.Connection]:
    database = new_store(f"sqlite:///{tmp_path / 'store.db'}")
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


def values(*outcomes: Outcome, state: str = ledger.PENDING) -> list[ledger.StoredOutcome]:
    return [value._replace(state=state) for outcome in outcomes for value in ledger.told(outcome)]


def test_every_value_is_kept_with_its_state(connection: sa.Connection) -> None:
    ledger.put_outcomes(connection, values(*VALUES))
    kept = ledger.outcomes_of(connection, ["d", "nobody"])
    assert [(o.metric, o.source, o.received, o.label, o.value) for o in kept] == [
        ("clicks", "user", 1.0, None, 2.0),
        ("time", "user", 1.0, None, 1.0),
        ("truth", "expert", 1.0, None, 4.5),
        ("truth", "user", 5.0, "8", None),
        ("truth", "user", 8.0, "9", None),
        ("truth", "user", 9.0, "7", None),
    ]
    ledger.put_outcomes(connection, values(*VALUES, state=ledger.JOINED))
    assert len(ledger.outcomes_of(connection, ["d"])) == 6
    assert sum(ledger.outcome_counts(connection).values()) == 0
    ledger.drop_outcomes(connection, kept[:5])
    assert [o.label for o in ledger.outcomes_of(connection, ["d"])] == ["7"]


def test_values_in_each_state_but_joined_are_counted(connection: sa.Connection) -> None:
    states = ("pending", "pending", "gone", "joined", "replaced", "late", "late", "late", "invalid")
    for row, state in enumerate(states):
        ledger.put_outcomes(connection, values(Outcome("d", row, "7", at=1.0), state=state))
    assert ledger.outcome_counts(connection) == {"pending": 2, "gone": 1, "replaced": 1, "late": 3, "invalid": 1}


def test_who_waits_is_found_among_many(connection: sa.Connection) -> None:
    many = [f"d{i}" for i in range(1201)]
    assert ledger.waiting(connection, many) == set()
    ledger.put_outcomes(connection, values(*[Outcome(d, 0, "7", at=1.0) for d in ("d0", "d700", "d1200", "elsewhere")]))
    assert ledger.waiting(connection, many) == {"d0", "d700", "d1200"}
    ledger.put_outcomes(connection, values(Outcome("d700", 0, "7", at=1.0), state=ledger.INVALID))
    assert ledger.waiting(connection, many) == {"d0", "d1200"}
    assert len(ledger.outcomes_of(connection, many)) == 3
