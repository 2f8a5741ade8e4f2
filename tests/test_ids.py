"""Decision ids: many at once are what one after the other would be."""

from __future__ import annotations

from quorate.ids import DecisionId, IdSource
from quorate.testing.clock import FakeClock


def test_many_ids_are_those_that_come_one_by_one() -> None:
    one, many = (IdSource(5, 7, FakeClock()) for _ in range(2))
    texts = [str(one.take()) for _ in range(300)]
    assert many.take_many(1) + many.take_many(299) == texts
    assert many.take_many(0) == []
    assert (many.last, str(many.take())) == (299, str(one.take()))
    assert [DecisionId.parse(text).sequence for text in texts] == list(range(300))


def test_sequences_may_be_skipped() -> None:
    ids = IdSource(0, 0, FakeClock())
    ids.skip(3)
    assert ids.last == 2
    assert DecisionId.parse(ids.take_many(1)[0]).sequence == 3
