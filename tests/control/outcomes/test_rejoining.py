"""Past decisions are joined again with what counted of them when it was ingested: the newest first, and no more than
is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.codecs.lookup import JournalReader
from quorate.control.outcomes import rejoining
from quorate.control.outcomes.joined import Joined
from quorate.control.outcomes.rejoining import Newest, by_revision, known_since
from quorate.store.ledger import TRUTH


def newest(books: Any, looked: int = 100, metric: str | None = None) -> tuple[list[list[Joined]], bool]:
    with books.database.read() as connection:
        reading = Newest(connection, JournalReader(books.home.journal), "e", looked=looked, metric=metric)
        return list(reading), reading.whole


def ids(stretches: list[list[Joined]]) -> list[list[str]]:
    return [[each.decision.id for each in some] for some in stretches]


def told(books: Any) -> list[str]:
    """Six decisions, the oldest first: a truth, a reward, nothing, a truth of another endpoint, both in another slot,
    a truth."""
    found = []
    for slot, endpoint, revision in (
        (0, "e", 1), (0, "e", 1), (0, "e", 1), (0, "other", 1), (1, "e", 2), (0, "e", 1),
    ):  # fmt: skip
        id_, record = books.decision(slot, endpoint=endpoint, revision=revision)
        books.write(record, slot=slot)
        found.append(id_)
    for place, truth, rewards in (
        (0, "yes", None), (1, None, {"clicks": 2.0}), (3, "yes", None), (4, "no", None), (4, None, {"clicks": 1.0}),
        (5, "no", None), (5, "yes", None),
    ):  # fmt: skip
        at = 700.0 + (truth == "yes")
        books.write(books.outcome(found[place], truth, at=at, rewards=rewards or {}))
    books.ingest.catch_up()
    return found


def test_the_newest_come_first_whichever_slot_made_them_and_the_metric_says_what_is_known(books: Any) -> None:
    books.rules("{}")
    truth, reward, _, _, both, corrected = made = told(books)
    order = sorted((corrected, both, reward, truth), reverse=True)
    assert made == [truth, reward, *made[2:4], both, corrected]
    assert (found := newest(books))[1]
    assert ids(found[0]) == [order]
    assert ids(newest(books, metric=TRUTH)[0]) == [[each for each in order if each != reward]]
    assert ids(newest(books, metric="clicks")[0]) == [[each for each in order if each in (both, reward)]]


def test_what_counts_is_what_counted_when_it_was_ingested(books: Any) -> None:
    books.rules("{}")
    told(books)
    last = {each.decision.id: each for each in books.joined if each.decision.endpoint == "e"}
    (again,) = newest(books)[0]
    assert len(again) == 4
    for each in again:
        then = last[each.decision.id]
        assert (each.truths, each.rewards, each.values) == (then.truths, then.rewards, then.values)


def test_no_more_are_read_than_is_allowed_of_all_endpoints_together(
    books: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.rules("{}")
    told(books)
    (whole,), _ = newest(books)
    monkeypatch.setattr(rejoining, "AT_ONCE", 2)
    stretches, all_there = newest(books, looked=100)
    assert all_there
    assert [each for some in ids(stretches) for each in some] == ids([whole])[0]
    assert max(map(len, stretches)) == 2
    for looked in (1, 2, 3, 4, 5):  # five decisions have an outcome, one of them of the other endpoint
        some, all_there = newest(books, looked=looked)
        assert not all_there
        assert sum(map(len, some)) in (looked - 1, looked)


def test_those_since_a_time_come_oldest_first_and_are_the_same(books: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    books.rules("{}")
    told(books)
    (all_,), _ = newest(books)
    monkeypatch.setattr(rejoining, "AT_ONCE", 1)
    with books.database.read() as connection:
        reader = JournalReader(books.home.journal)
        found = [each for some in known_since(connection, reader, "e", 0.0) for each in some]
        later = [each for some in known_since(connection, reader, "e", 1.005) for each in some]
    assert found == all_[::-1]
    assert [each.decision.id for each in later] == [each.decision.id for each in found][-len(later) :]
    assert 0 < len(later) < len(found)


def test_decisions_are_grouped_by_revision_in_their_order(books: Any) -> None:
    books.rules("{}")
    books.rules("{}")
    told(books)
    (found,), _ = newest(books)
    groups = by_revision(found)
    assert set(groups) == {1, 2}
    for number, some in groups.items():
        assert some == [each for each in found if each.decision.revision == number]
