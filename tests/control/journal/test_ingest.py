"""Ingesting journals: everything once, in any order, across crashes, damage and rotation."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest

from quorate.codecs import change as change_codec
from quorate.codecs.change import Change
from quorate.codecs.journal import RecordKind, encode_record, segment_name
from quorate.codecs.lookup import JournalReader
from quorate.control.journal.ingest import Ingest, follow, ingest_lock
from quorate.control.report import report
from quorate.store import ledger, tallies
from quorate.store.audit import entries

SALT = 3


Books = Any  # of conftest


def test_every_record_counts_once(books: Books) -> None:
    for slot in (0, 1):
        one, first = books.decision(slot, says="yes")
        _, second = books.decision(slot)
        books.write(first, second, books.outcome(one, "yes", slot=slot), slot=slot)
    assert books.ingest.catch_up() == 6
    assert books.ingest.catch_up() == 0
    assert books.totals() == (4, 2, 2)
    again = Ingest(JournalReader(books.home.journal), books.database)
    assert again.catch_up() == 0
    assert books.totals() == (4, 2, 2)


def test_changes_are_in_the_audit_trail_once(books: Books) -> None:
    asked = Change(7.5, "key k1", "model.unload", "digits", {"pool": "p"})
    record = encode_record(RecordKind.CHANGE, books.identity().sequence, change_codec.encode(asked), SALT)
    books.write(books.decision()[1], record)
    assert books.ingest.catch_up() == 2
    assert Ingest(JournalReader(books.home.journal), books.database).catch_up() == 0
    with books.database.read() as connection:
        [entry] = entries(connection)
    assert (entry.at, entry.actor, entry.action, entry.subject) == (7.5, "key k1", "model.unload", "digits")
    assert entry.detail == {"pool": "p"}


def test_a_change_that_cannot_be_read_is_counted(books: Books) -> None:
    books.write(encode_record(RecordKind.CHANGE, books.identity().sequence, b"\x09", SALT), books.decision()[1])
    assert books.ingest.catch_up() == 1
    with books.database.read() as connection:
        assert entries(connection) == []
        [progress] = ledger.progress(connection).values()
    assert progress.unreadable == 1


def test_nothing_to_read_is_fine(books: Books) -> None:
    assert books.ingest.catch_up() == 0
    books.path()
    assert books.ingest.catch_up() == 0
    path = books.home.journal / "0" / segment_name(1, 0)
    path.write_bytes(b"QJ")  # killed while it wrote the header
    assert books.ingest.catch_up() == 0


def test_a_segment_may_grow_byte_by_byte(books: Books) -> None:
    one, decision = books.decision(says="yes")
    stream = decision + books.outcome(one, "yes") + books.decision()[1]
    count = 0
    for i in range(len(stream)):
        books.write(stream[i : i + 1])
        count += books.ingest.catch_up()
    assert count == 3
    assert books.totals() == (2, 1, 1)


def test_outcomes_and_decisions_join_in_any_order(more_books: Any) -> None:
    """One right, one wrong and one corrected row, each record ingested alone, in six orders, over two slots."""
    rng = random.Random(5)
    for _ in range(6):
        books = more_books()
        ids, decisions = zip(*[books.decision(0, says="yes") for _ in range(3)], strict=True)
        outcomes = [
            books.outcome(ids[0], "yes", slot=1),
            books.outcome(ids[1], "no", slot=1),
            books.outcome(ids[2], "no", slot=1, at=1.0),
            books.outcome(ids[2], "yes", slot=1, at=2.0),
        ]
        # Within a slot records come in order of their sequence; between slots in any.
        queues = {0: list(decisions), 1: rng.sample(outcomes, 4)}
        while any(queues.values()):
            slot = rng.choice([slot for slot, queue in queues.items() if queue])
            books.write(queues[slot].pop(0), slot=slot)
            books.ingest.catch_up()
        assert books.totals() == (3, 3, 2)
        assert books.outcome_counts() == {"joined": 3, "replaced": 1}


def test_the_better_source_has_precedence_whatever_the_time(books: Books) -> None:
    one, decision = books.decision(says="yes")
    books.write(decision)
    for source, truth, right in (
        ("zebra", "no", 0),
        ("aardvark", "yes", 1),
        ("user", "no", 0),
        ("expert", "yes", 1),
        ("ground_truth", "no", 0),
        ("expert", "yes", 0),
    ):
        books.write(books.outcome(one, truth, source=source, at=100.0))
        books.ingest.catch_up()
        assert books.totals() == (1, 1, right), source


def test_outcomes_that_do_not_fit_are_set_aside(books: Books) -> None:
    one, decision = books.decision(rows=2)
    early = [books.outcome(one, "no", row=2), books.outcome(one, "maybe", row=0), books.outcome(one, 1.0, row=1)]
    books.write(*early)
    books.ingest.catch_up()
    assert books.outcome_counts() == {"pending": 3}
    books.write(decision, books.outcome(one, "no", row=1, at=2.0), books.outcome(one, rewards={"clicks": 1.0}))
    books.ingest.catch_up()
    assert books.outcome_counts() == {"joined": 2, "invalid": 3}
    assert books.totals() == (1, 1, 1)


def test_only_answered_rows_are_judged(books: Books) -> None:
    half = np.float32([[1, 0], [np.nan, np.nan]])
    cases = [books.decision(answer=None, error="no_quorum"), books.decision(abstained=True)]
    cases.append(books.decision(rows=2, answer=half))
    cases.append(books.decision(rows=2, abstained=True, withheld=(1,)))
    books.write(*[record for _, record in cases])
    books.write(*[books.outcome(id_, "no", row=row) for id_, _ in cases for row in (0, 1)])
    books.ingest.catch_up()
    assert books.totals() == (4, 2, 2)


def test_regression_is_judged_by_absolute_error(books: Books) -> None:
    fields: dict[str, Any] = {"output_kind": "values", "classes": ()}
    one, first = books.decision(answer=np.float32([[2.5]]), **fields)
    two, second = books.decision(answer=np.float32([[2.0, 9.0]]), **fields)
    books.write(first, second, books.outcome(one, 4.0), books.outcome(two, 4.0))
    books.ingest.catch_up()
    with books.database.read() as connection:
        (strategy,) = report(connection, "e").strategies
    assert (strategy.judged_rows, strategy.mean_absolute_error, strategy.accuracy) == (1, 1.5, None)


def test_a_crash_before_the_commit_loses_and_doubles_nothing(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    one, decision = books.decision(says="yes")
    books.write(decision, books.outcome(one, "yes"))

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    for module, step in (
        (ledger, "add_traffic"),
        (ledger, "put_outcomes"),
        (tallies, "add_measured"),
        (tallies, "add_delays"),
        (ledger, "set_progress"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, step, crash)
            with pytest.raises(KeyboardInterrupt):
                books.ingest.catch_up()
        assert books.totals() == (0, 0, 0)
    assert books.ingest.catch_up() == 2
    assert books.totals() == (1, 1, 1)


def test_damage_is_skipped_counted_once_and_reported(books: Books) -> None:
    records = [books.decision()[1] for _ in range(3)]
    broken = bytearray(records[1])
    broken[30] ^= 1
    unreadable = encode_record(RecordKind.DECISION, books.identity().sequence, b"\x63?", SALT)
    books.write(records[0], bytes(broken), records[2], unreadable)
    for _ in range(2):
        Ingest(JournalReader(books.home.journal), books.database).catch_up()
    with books.database.read() as connection:
        found = report(connection, "e")
    assert (books.totals()[0], found.damaged_bytes, found.unreadable_records) == (2, len(broken), 1)


def test_a_sealed_segment_is_not_opened_again(books: Books) -> None:
    books.write(books.decision()[1], encode_record(RecordKind.SEAL, 1, b"", SALT))
    assert books.ingest.catch_up() == 1
    books.path().write_bytes(b"not even a header any more, but longer than one is")
    assert books.ingest.catch_up() == 0


def test_another_journal_of_the_same_name_is_read_from_the_start(books: Books) -> None:
    books.write(books.decision()[1], books.decision()[1])
    books.ingest.catch_up()
    books.path().unlink()
    books.path(created=2)
    books.write(books.decision()[1])
    assert books.ingest.catch_up() == 1
    assert books.totals()[0] == 3


def test_one_bad_segment_does_not_hold_the_others_up(books: Books) -> None:
    (books.home.journal / "0" / segment_name(0, 0)).mkdir(parents=True)
    books.write(books.decision(1)[1], slot=1)
    assert books.ingest.catch_up() == 1


def test_one_process_ingests_at_a_time(books: Books) -> None:
    with ingest_lock(books.home) as first:
        with ingest_lock(books.home) as second:
            assert (first, second) == (True, False)
        with ingest_lock(books.home) as third:
            assert not third
    with ingest_lock(books.home) as fourth:
        assert fourth


def test_follow_ingests_until_it_is_stopped(books: Books) -> None:
    books.write(books.decision()[1])

    class Stop(threading.Event):
        turns = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.turns += 1
            if self.turns == 1:
                books.write(books.decision()[1])
            if self.turns == 2:
                self.set()
            return self.is_set()

    follow(books.home, books.database, Stop())
    assert books.totals()[0] == 2
