"""When workers changed over, from their journals."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.control.switching.report import report
from quorate.control.switching.warming import Warming, warmings
from quorate.store import ledger


def _warmings(history: Any, at: float) -> list[Warming]:
    with history.database.read() as connection:
        return warmings(history.reader, ledger.progress(connection), "main", 2, at)


def test_each_worker_from_publication_to_its_first_answer(history: Any) -> None:
    history.apply()
    at = history.at(10)
    history.apply("best")
    for slot, old, new in ((0, 0.05, 0.2), (1, 0.4, 1.5)):
        history.journal(
            slot,
            [
                history.decision(slot, 0, at - 1, 1),
                history.decision(slot, 1, at + old, 1),
                history.decision(slot, 2, at + new, 2, latency_ms=30.0 + slot),
                history.decision(slot, 3, at + 5, 2),
            ],
            created=at - 100,
        )
    found = _warmings(history, at)
    assert [(each.worker, each.first_latency_ms) for each in found] == [(0, 30.0), (1, 31.0)]
    assert [each.first_answer_s for each in found] == pytest.approx([0.23, 1.531])
    assert [each.still_before_s for each in found] == pytest.approx([0.05, 0.4])
    history.at(40)
    shown = report(history.database, history.reader, history.served, "main", 1, now=history.clock.now())
    assert shown.warm_up_s == pytest.approx(1.531)
    assert len(shown.warm_up) == 2


def test_a_worker_without_requests_for_an_hour_was_not_seen(history: Any) -> None:
    history.apply()
    at = history.at(10)
    history.apply("best")
    history.journal(0, [history.decision(0, 0, at + 4000, 2)], created=at - 1)
    history.journal(1, [history.decision(1, 0, at + 10, 1)], created=at - 1)
    assert _warmings(history, at) == []
    shown = report(history.database, history.reader, history.served, "main", 1, now=history.clock.now())
    assert shown.warm_up_s is None
    history.at(40)
    history.traffic(range(10), 1, "average", [1.0])
    shown = report(history.database, history.reader, history.served, "main", 1, now=history.clock.now())
    assert any("The warm-up was not seen" in note for note in shown.notes)


def test_what_cannot_be_read_is_left_out(history: Any, caplog: pytest.LogCaptureFixture) -> None:
    history.apply()
    at = history.at(10)
    history.apply("best")
    history.journal(0, [history.decision(0, 0, at + 1, 2)], created=at - 1)
    (history.home.journal / "1").mkdir()
    (history.home.journal / "1" / "0000000-0000000000000.qj").write_bytes(b"nothing")
    assert [each.worker for each in _warmings(history, at)] == [0]
