"""Sums by minute: they add up, and carry over what an older store knew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import quorate.store
from quorate.store import ledger, tallies
from quorate.store.database import Database
from quorate.store.ledger import Tally, TrafficKey
from quorate.store.tallies import SCORES, VALUES, Sums, ToldCounts

KEY = ("e", 10, 1, "mean", "policy", SCORES)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'store.db'}")
    yield database
    database.close()


@pytest.fixture
def connection(database: Database) -> Iterator[sa.Connection]:
    database.migrate()
    with database.begin() as connection:
        yield connection


def test_measures_add_up_and_can_be_taken_away(connection: sa.Connection) -> None:
    one, two = Sums(1, 2, 4, 0.5, 0.25, 1.0), Sums(3, 3, 3, 2.0, 2.0, 2.0)
    tallies.add_measured(connection, {KEY: one, (*KEY[:1], 11, *KEY[2:]): two})
    tallies.add_measured(connection, {KEY: two})
    mine = ("mean", "policy", SCORES)
    assert tallies.measured(connection, "e", 0) == {mine: one.plus(two).plus(two)}
    assert tallies.measured(connection, "e", 11) == {mine: two}
    tallies.add_measured(connection, {KEY: [-number for number in two]})
    assert tallies.measured(connection, "e", 0) == {mine: one.plus(two)}
    assert tallies.measured(connection, "other", 0) == {}


def test_values_told_are_counted_by_metric_and_source(connection: sa.Connection) -> None:
    tallies.add_told(connection, {("e", 10, "truth", "user"): (3, 1, 0, 0), ("e", 11, "truth", "user"): (1, 0, 2, 0)})
    tallies.add_told(connection, {("e", 10, "truth", "user"): (-1, 1, 0, 0), ("e", 10, "a", "shop"): (0, 0, 0, 5)})
    assert tallies.told_counts(connection, "e", 0) == {
        ("a", "shop"): ToldCounts(invalid=5),
        ("truth", "user"): ToldCounts(3, 2, 2, 0),
    }
    assert tallies.told_counts(connection, "e", 11) == {("truth", "user"): ToldCounts(1, 0, 2, 0)}


def test_delays_add_up_by_bucket(connection: sa.Connection) -> None:
    tallies.add_delays(connection, {("e", 10, "truth"): {3: 2, -5: 1}, ("e", 11, "truth"): {3: 1}})
    tallies.add_delays(connection, {("e", 10, "truth"): {3: 1, -5: -1}, ("e", 10, "clicks"): {0: 4}})
    assert tallies.delays(connection, "e", 0) == {"clicks": {10: {0: 4}}, "truth": {10: {3: 3}, 11: {3: 1}}}
    assert tallies.delays(connection, "e", 11) == {"truth": {11: {3: 1}}}


def test_rows_are_those_of_all_traffic(connection: sa.Connection) -> None:
    for strategy, minute, rows in (("a", 10, 3), ("b", 10, 4), ("a", 12, 5)):
        key = TrafficKey("e", minute, 1, strategy, "policy")
        ledger.add_traffic(connection, {key: Tally(requests=1, rows=rows)})
    assert tallies.rows_by_minute(connection, "e", 0) == {10: 7, 12: 5}
    assert tallies.rows_by_minute(connection, "e", 11) == {12: 5}


def test_what_an_older_store_knew_is_carried_over(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(quorate.store.__path__[0]) / "migrations"))
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        judged = "INSERT INTO judged VALUES (?, ?, 'e', 10, 1, 'mean', 'policy', ?, ?, 'user')"
        for decision, row, kind, loss in (
            ("d1", 0, "scores", 1.0),
            ("d1", 1, "scores", 0.0),
            ("d2", 0, "scores", 1.0),
            ("d3", 0, "values", 2.5),
        ):
            connection.exec_driver_sql(judged, (decision, row, kind, loss))
        outcome = "INSERT INTO outcomes VALUES ('d1', ?, 'truth', 'user', 'yes', NULL, 5.0, 6.0, ?)"
        for row, state in enumerate(("joined", "joined", "pending", "invalid")):
            connection.exec_driver_sql(outcome, (row, state))
    database.migrate()
    with database.read() as connection:
        assert tallies.measured(connection, "e", 0) == {
            ("mean", "policy", SCORES): Sums(2, 3, 5, 2.0, 2.0, 3.0),
            ("mean", "policy", VALUES): Sums(1, 1, 1, 2.5, 6.25, 2.5),
        }
        kept = ledger.outcomes_of(connection, ["d1"])
        assert [(o.row, o.label, o.at, o.received, o.state) for o in kept] == [
            (row, "yes", 5.0, 6.0, state) for row, state in enumerate(("joined", "joined", "pending", "invalid"))
        ]
        assert ledger.waiting(connection, ["d1", "d2"]) == {"d1"}
