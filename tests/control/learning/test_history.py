"""Shares over time are requests that were assigned, in stretches of whole minutes, without those that callers chose."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.control.learning.history import MOST, shares
from quorate.home import Home
from quorate.store.database import Database
from quorate.store.ledger import Tally, TrafficKey, add_traffic


@pytest.mark.parametrize(("hours", "width", "count"), [(1, 60.0, 60), (24, 1440.0, 60), (0.05, 60.0, 3)])
def test_requests_by_strategy_in_stretches(tmp_path: Path, hours: float, width: float, count: int) -> None:
    database = Database(Home(tmp_path).store_url)
    database.migrate()
    minute = 30_000_000
    told = {
        ("a", "policy", minute): 3,
        ("b", "rule", minute): 1,
        ("b", "caller", minute): 100,
        ("a", "policy", minute - 2): 5,
        ("old", "policy", minute - 1): 2,
        ("a", "policy", minute - 10_000): 50,
    }
    with database.begin() as connection:
        keys = {TrafficKey("e", at, 1, name, source): Tally(requests=n) for (name, source, at), n in told.items()}
        add_traffic(connection, keys)
    with database.read() as connection:
        found = shares(connection, "e", ["a", "b"], hours, minute * 60.0 + 30)
    database.close()
    assert (found.stretch_s, len(found.stretches)) == (width, count)
    assert count <= MOST
    assert found.strategies == ["a", "b", "old"]
    total = {name: sum(each.requests.get(name, 0) for each in found.stretches) for name in found.strategies}
    assert total == {"a": 8, "b": 1, "old": 2}
    assert found.stretches[-1].at <= minute * 60.0 < found.stretches[-1].at + width
