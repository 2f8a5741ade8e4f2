"""The record of lessons: a step a version, bounded, and cut only where a state lets a replay begin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from quorate.store import lessons
from quorate.store.database import Database
from quorate.store.lessons import BEGAN, SEEN, TAUGHT, Step


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    database = Database(f"sqlite:///{tmp_path / 'store.db'}")
    database.migrate()
    with database.begin() as connection:
        yield connection
    database.close()


def step(version: int, *, kind: str = TAUGHT, state: bytes | None = None, size: int = 10, endpoint: str = "e") -> Step:
    return Step(endpoint, version, 100.0 * version, kind, 3, 0, "{}" if state else None, b"x" * size, state)


def versions(connection: sa.Connection, endpoint: str = "e") -> list[int]:
    return [each.version for each in lessons.steps(connection, endpoint, -1, 100)]


def test_steps_come_back_in_order_page_by_page(connection: sa.Connection) -> None:
    made = [step(1, kind=BEGAN, state=b"s"), step(2), step(3, kind=SEEN), step(4, state=b"t")]
    for each in (*reversed(made), step(9, endpoint="other")):
        lessons.put(connection, each)
    assert lessons.steps(connection, "e", 0, 2) == made[:2]
    assert lessons.steps(connection, "e", 2, 9) == made[2:]
    assert (lessons.first(connection, "e"), lessons.last(connection, "e")) == (made[0], 4)
    assert (lessons.first(connection, "none"), lessons.last(connection, "none")) == (None, None)
    assert lessons.with_states(connection, "e") == [1, 4]
    lessons.put(connection, made[3]._replace(kind=BEGAN))
    assert lessons.steps(connection, "e", 3, 9) == [made[3]._replace(kind=BEGAN)]


def test_what_no_decision_needs_goes_up_to_a_state(connection: sa.Connection) -> None:
    for version in range(1, 9):
        lessons.put(connection, step(version, state=b"s" if version in (1, 4, 7) else None))
    lessons.put(connection, step(2, endpoint="other"))
    assert lessons.prune(connection, 650.0) == 3
    assert versions(connection) == [4, 5, 6, 7, 8]
    assert versions(connection, "other") == [2]  # without a state nothing could begin behind it
    assert lessons.prune(connection, 650.0) == 0


def test_an_endpoints_record_is_bounded(connection: sa.Connection) -> None:
    for version in range(1, 9):
        lessons.put(connection, step(version, state=b"s" if version in (1, 4, 7) else None, size=99))
    assert lessons.bound(connection, "e", 1000) == 0
    assert lessons.bound(connection, "e", 550) == 3
    assert versions(connection) == [4, 5, 6, 7, 8]
    assert lessons.bound(connection, "e", 10) == 0  # the newest is kept, whatever it takes
    assert lessons.bound(connection, "e", 250) == 3
    assert versions(connection) == [7, 8]


def test_lessons_are_replaced_by_what_is_left_of_them(connection: sa.Connection) -> None:
    for version in (1, 2, 3):
        lessons.put(connection, step(version, kind=SEEN if version == 2 else TAUGHT, state=b"s"))
    found = list(lessons.taught_since(connection, "e", 150.0))
    assert [(each.version, each.state) for each in found] == [(3, None)]
    lessons.erase(connection, found[0], b"yy", 1, 2)
    lessons.erase(connection, found[0]._replace(body=b"yy", erased=2), b"y", 0, 1)
    assert lessons.steps(connection, "e", 2, 9) == [step(3, state=b"s")._replace(body=b"y", rows=0, erased=3)]
    size = connection.exec_driver_sql("SELECT size FROM lessons WHERE version = 3").scalar()
    assert size == 2
