"""Trust over time: a point a minute, of what is learned now, and not more of them than is kept."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from quorate.store import experts
from quorate.store.database import Database
from quorate.store.experts import MOST, Point


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    database = Database(f"sqlite:///{tmp_path / 'store.db'}")
    database.migrate()
    with database.begin() as connection:
        yield connection
    database.close()


def point(minute: float, rows: int = 1) -> Point:
    return Point(minute * 60.0, rows, 0.5, 2.0, {"a": 0.25, "b": 0.75}, {"a": 3.0, "b": 1.0})


def test_points_come_back_the_last_one_of_a_minute(connection: sa.Connection) -> None:
    for made in (point(5, 1), point(5.5, 2), point(7, 3)):
        experts.put(connection, "e", "s", "k", made)
    experts.put(connection, "e", "other", "k", point(6, 9))
    assert experts.points(connection, "e", "s", "k") == [point(5.5, 2), point(7, 3)]
    assert experts.points(connection, "e", "s", "another key") == []
    experts.put(connection, "e", "s", "k", point(8)._replace(own=None))
    assert experts.points(connection, "e", "s", "k")[-1].own is None


def test_what_was_learned_of_other_members_goes(connection: sa.Connection) -> None:
    experts.put(connection, "e", "s", "old", point(5))
    experts.put(connection, "e", "s", "new", point(6))
    assert experts.points(connection, "e", "s", "old") == []
    assert [each.at for each in experts.points(connection, "e", "s", "new")] == [360.0]


def test_an_endpoint_is_forgotten_and_no_other(connection: sa.Connection) -> None:
    for name in ("e", "f"):
        experts.put(connection, name, "s", "k", point(5))
    experts.drop(connection, "e")
    assert experts.points(connection, "e", "s", "k") == []
    assert len(experts.points(connection, "f", "s", "k")) == 1


def test_there_are_never_more_than_are_kept_and_they_lie_evenly(connection: sa.Connection) -> None:
    last = 8 * MOST
    for minute in range(last + 1):
        experts.put(connection, "e", "s", "k", point(minute, minute))
        if minute % 50 == 0:
            assert len(experts.points(connection, "e", "s", "k")) <= MOST
    kept = [each.rows for each in experts.points(connection, "e", "s", "k")]
    assert kept[-1] == last
    assert kept[0] < 2 * last / (MOST / 2)
    assert max(b - a for a, b in pairwise(kept)) <= 2 * last / (MOST / 2)
