"""Outcomes and decisions are merged by slot, boot and sequence, whatever order they come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from quorate.control.replay.joining import Outcomes
from quorate.core.types import Outcome
from quorate.ids import DecisionId
from quorate.store import ledger


def test_boots_slots_and_a_clock_that_was_set_back(project: Any, tmp_path: Path) -> None:
    """Boot 2 of slot 0 is earlier than boot 1 by its ids' times."""
    ids = [DecisionId(9000 + s, 0, 1, s) for s in (0, 1, 5)] + [DecisionId(1000 + s, 0, 2, s) for s in (0, 1)]
    ids += [DecisionId(5000, 7, 1, 1)]
    told = [Outcome(str(id_), row, float(id_.boot * 100 + id_.sequence * 10 + row)) for id_ in ids for row in (0, 1)]
    found = Outcomes(tmp_path / "run")
    with project.database.begin() as connection:
        values = [value._replace(state=ledger.JOINED) for outcome in told for value in ledger.told(outcome)]
        ledger.put_outcomes(connection, values)
        assert list(found.load(connection, ledger.TRUTH, (), None, None))[-1] == 12
    assert list((tmp_path / "run").iterdir()) == []  # its files have no name

    def of(slot: int, boot: int, *sequences: int) -> list[tuple[int, int, float]]:
        mine = found.of(slot, boot, np.array(sequences))
        return list(zip(mine.decision.tolist(), mine.row.tolist(), mine.value.tolist(), strict=True))

    assert of(0, 1, 0, 1, 2, 5) == [(0, 0, 100), (0, 1, 101), (1, 0, 110), (1, 1, 111), (3, 0, 150), (3, 1, 151)]
    assert of(0, 1, 2, 3, 4) == []
    assert of(0, 2, 1) == [(0, 0, 210), (0, 1, 211)]
    assert of(7, 1, 0, 1) == [(1, 0, 110), (1, 1, 111)]
    assert of(7, 2, 1) == of(3, 1, 1) == of(0, 1) == []
    found.close()
