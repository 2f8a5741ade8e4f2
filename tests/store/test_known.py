"""Outcomes in bulk: in the order of ids, one for each row, of the time asked for, in pieces that cut nothing apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from quorate.core.types import Outcome
from quorate.ids import DecisionId
from quorate.store import known as module
from quorate.store import ledger
from quorate.store.database import Database
from quorate.store.known import known

ORDER = ("ground_truth", "expert", "user")


@pytest.fixture
def connection(tmp_path: Path, new_store: Callable[[str], Database]) -> Iterator[sa.Connection]:
    database = new_store(f"sqlite:///{tmp_path / 'store.db'}")
    with database.begin() as connection:
        yield connection
    database.close()


def put(connection: sa.Connection, *outcomes: Outcome, state: str = ledger.JOINED) -> None:
    told = [value for outcome in outcomes for value in ledger.told(outcome)]
    ledger.put_outcomes(connection, [value._replace(state=state) for value in told])


def id_(second: int, sequence: int, slot: int = 3, boot: int = 2) -> str:
    return str(DecisionId(second * 1000, slot, boot, sequence))


@pytest.mark.parametrize("rows", [1, 2, 3, 1000])
def test_parts_order_and_precedence(connection: sa.Connection, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(module, "ROWS", rows)
    big = (1 << 40) - 1
    put(
        connection,
        Outcome(id_(20, 5), 0, "b", source="user"),
        Outcome(id_(20, 5), 0, "a", source="expert"),
        Outcome(id_(20, 5), 1, "c", source="zeta"),
        Outcome(id_(20, 5), 1, "d", source="alpha"),
        Outcome(id_(10, 4), 0, "a", source="user"),
        Outcome(id_(30, big, 4095, (1 << 22) - 1), 0, 2.5, source="user"),
        Outcome(id_(30, 6), 0, None, {"clicks": 1.0}),
    )
    put(connection, Outcome(id_(21, 9), 0, "a"), state=ledger.PENDING)
    labels: dict[str, int] = {}
    found = list(known(connection, ledger.TRUTH, labels, ORDER))
    columns = [np.concatenate(each) for each in zip(*found, strict=True)]
    names = {number: label for label, number in labels.items()} | {-1: None}
    told = [(slot, boot, seq, row, names[label]) for slot, boot, seq, row, label, _ in zip(*columns, strict=True)]
    assert told == [
        (3, 2, 4, 0, "a"),
        (3, 2, 5, 0, "a"),
        (3, 2, 5, 1, "d"),
        (4095, (1 << 22) - 1, big, 0, None),
    ]
    assert columns[5][3] == 2.5
    assert np.isnan(columns[5][:3]).all()
    assert [each.value.tolist() for each in known(connection, "clicks", {}, ORDER)] == [[1.0]]


def test_a_stretch_of_time(connection: sa.Connection) -> None:
    put(connection, *(Outcome(id_(second, second), 0, "a") for second in range(10, 20)))

    def seen(since: float | None, until: float | None) -> list[int]:
        found = known(connection, ledger.TRUTH, {}, ORDER, since=since, until=until)
        return [int(s) for each in found for s in each.sequence]

    assert seen(12.0, None) == list(range(12, 20))
    assert seen(None, 12.0) == [10, 11, 12]
    assert seen(12.5, 15.5) == [13, 14, 15]
    assert seen(50.0, None) == []
