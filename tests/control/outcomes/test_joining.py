"""Joining: what counts of a decision, in any order and over any batches; what learners are told; what values are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from quorate.codecs.lookup import JournalReader
from quorate.control.journal import ingest as ingesting
from quorate.control.journal.ingest import Ingest
from quorate.control.outcomes import joining
from quorate.control.outcomes.joined import Joined, Listener
from quorate.core.stats.survival import seconds
from quorate.store import ledger, tallies
from quorate.store.audit import add_entry
from quorate.store.ledger import GONE, PENDING

Books = Any  # of conftest
RULES = '{"outcomes": {"precedence": ["ground_truth", "audit", "user"], "correction_s": 100.0}}'
VALUE = """{"value": {"correct": 1.0, "error": -5.0, "per_ms": -0.1, "rewards": {"revenue": 2.0},
            "absent": {"revenue": 0.0}, "confusion": {"yes": {"no": -50.0}}}}"""


def test_what_counts_does_not_depend_on_order_or_batches(more_books: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many values of few rows, from four sources over two slots: all tables are the same, whatever was read when."""
    rng = random.Random(7)
    found = []
    plan = [
        (
            rng.randrange(6),
            rng.randrange(2),
            rng.choice(["truth", "truth", "revenue", "clicks"]),
            rng.choice(["user", "audit", "zoo", "ground_truth"]),
            rng.choice(["no", "yes", "maybe"]),
            round(rng.uniform(600.0, 1100.0), 1),
        )
        for _ in range(70)
    ]
    for trial in range(4):
        books = more_books()
        books.rules(VALUE[:-1] + "," + RULES[1:])
        monkeypatch.setattr(ingesting, "BATCH", (1, 3, 7, 1000)[trial % 4])
        decided = [books.decision(says="yes", rows=2, arrived=600.0 + 100 * i, assigned="ab"[i % 2]) for i in range(6)]
        records = []
        for number, row, metric, source, label, at in plan:
            told = {"truth": label} if metric == "truth" else {"rewards": {metric: at / 7}}
            records.append(books.outcome(decided[number][0], row=row, source=source, slot=1, at=at, **told))
        order = rng.sample(range(len(records)), len(records)) if trial else range(len(records))
        waiting = [record for _, record in decided]
        for i, at in enumerate(order):
            if waiting and (trial == 1 or rng.random() < 0.1):
                books.write(waiting.pop(0))
            books.write(records[at], slot=1)
            if i % (5 * trial + 1) == 0:
                books.ingest.catch_up()
        books.write(*waiting)
        books.ingest.catch_up()
        found.append(books.tables())
        again = Ingest(JournalReader(books.home.journal), books.database)
        assert again.catch_up() == 0
        # Everything that learners were told first adds up to what counts.
        last = {joined.decision.id: joined for joined in books.joined}
        new = [
            (joined.decision.id, row, metric)
            for joined in books.joined
            for row in joined.new
            for metric in joined.new[row]
        ]
        assert (
            len(new) == len(set(new)) == sum(len(j.truths) + sum(map(len, j.rewards.values())) for j in last.values())
        )
    assert found[0]["measured"]
    for other in found[1:]:
        assert other == found[0]


def test_learners_are_told_what_is_new_and_what_has_changed(books: Books) -> None:
    books.rules(RULES)
    one, decision = books.decision(says="yes", rows=2)
    two, second = books.decision(says="yes")

    def told() -> list[Any]:
        books.ingest.catch_up()
        heard = [
            (j.decision.id, {r: t.label for r, t in j.truths.items()}, j.rewards, j.new, j.changed)
            for j in books.joined
        ]
        books.joined.clear()
        return heard

    books.write(decision, second)
    assert told() == []
    books.write(books.outcome(one, "yes", at=10.0), books.outcome(one, rewards={"clicks": 2.0, "time": 1.0}, row=1))
    assert told() == [
        (one, {0: "yes"}, {1: {"clicks": 2.0, "time": 1.0}},
         {0: frozenset({"truth"}), 1: frozenset({"clicks", "time"})}, {}),
    ]  # fmt: skip
    books.write(books.outcome(one, "no", at=20.0))  # corrected in time
    assert told()[0][1:] == ({0: "no"}, {1: {"clicks": 2.0, "time": 1.0}}, {}, {0: frozenset({"truth"})})
    books.write(books.outcome(one, "yes", at=200.0))  # too late
    books.write(books.outcome(one, "no", at=30.0, source="ground_truth"))  # says the same
    books.write(books.outcome(one, "yes", at=30.0, source="zoo"))  # does not count
    assert told() == []
    books.write(books.outcome(two, "no"), books.outcome(one, "yes", at=31.0, source="ground_truth"))
    assert [(id_, new, changed) for id_, _, _, new, changed in told()] == [
        (one, {}, {0: frozenset({"truth"})}),
        (two, {0: frozenset({"truth"})}, {}),
    ]
    states = [
        state for _, row, metric, source, _, state in books.values() if (row, metric, source) == (0, "truth", "user")
    ]
    assert states[:3] == ["replaced", "joined", "late"]
    assert books.report().late_outcomes == 1


def test_what_a_learner_writes_is_there_exactly_once(books: Books) -> None:
    one, decision = books.decision()
    fail = True

    def learn(connection: Any, joined: Sequence[Joined]) -> None:
        for each in joined:
            add_entry(connection, at=1.0, actor="l", action="learned", subject=each.decision.id, detail={})
        if fail:
            raise RuntimeError("a bug")

    hearing = Listener()
    hearing.learn = learn  # type: ignore[method-assign]
    ingest = Ingest(JournalReader(books.home.journal), books.database, listener=hearing)
    books.write(decision, books.outcome(one, "no"))
    with pytest.raises(RuntimeError):
        ingest.catch_up()
    assert (books.totals(), books.values()) == ((0, 0, 0), [])
    fail = False
    assert ingest.catch_up() == 2
    assert ingest.catch_up() == 0
    with books.database.read() as connection:
        assert connection.exec_driver_sql("SELECT subject FROM audit").scalars().all() == [one]
    assert books.totals() == (1, 1, 1)


def test_rules_are_those_of_the_decisions_revision(books: Books) -> None:
    books.rules('{"outcomes": {"precedence": ["user"]}}')
    books.rules('{"outcomes": {"precedence": ["expert"]}}')
    for revision, right in ((1, "no"), (2, "yes"), (3, "yes")):  # the third is not in the store: the default
        books.joined.clear()
        one, decision = books.decision(revision=revision)
        books.write(decision, books.outcome(one, "no"), books.outcome(one, "yes", source="expert"))
        books.ingest.catch_up()
        assert books.joined[-1].truths[0].label == right


def test_outcomes_of_decisions_that_are_no_longer_kept_are_gone(books: Books) -> None:
    one, decision = books.decision()
    two, _ = books.decision()
    books.write(decision)
    books.write(books.outcome(two, "no", slot=1), slot=1)
    books.ingest.catch_up()
    assert books.outcome_counts() == {PENDING: 1}  # it may still come
    books.path().unlink()
    later, third = books.decision()
    first = books._sequences[0, 0]
    books.write(third, first=first)
    books.write(books.outcome(one, "no", slot=1), books.outcome(later, "no", slot=1), slot=1)
    books.write(books.outcome(two, "yes", slot=1, at=5.0), slot=1)
    books.ingest.catch_up()
    assert books.outcome_counts() == {GONE: 3, "joined": 1}
    assert (books.report().gone_outcomes, books.report().pending_outcomes) == (3, 0)
    assert books.totals() == (2, 1, 1)


def test_a_gone_decision_that_is_restored_is_joined_when_it_is_told_of_again(books: Books) -> None:
    one, decision = books.decision()
    books.write(decision)
    kept = books.path().read_bytes()
    books.ingest.catch_up()
    books.path().unlink()
    books.write(books.decision()[1], first=1)
    books.write(books.outcome(one, "no", slot=1), slot=1)
    books.ingest.catch_up()
    assert books.outcome_counts() == {GONE: 1}
    books.path().write_bytes(kept)
    books.write(books.outcome(one, "no", slot=1, at=9.0), slot=1)
    books.ingest.catch_up()
    assert books.outcome_counts() == {"joined": 1, "replaced": 1}


def test_the_business_value_of_each_row_and_strategy(books: Books) -> None:
    books.rules(VALUE)
    told: list[bytes] = []
    for says, truth, revenue in (("yes", "yes", 3.0), ("yes", "no", None), ("no", "yes", None), ("no", None, 7.0)):
        one, decision = books.decision(says=says, assigned="b" if says == "no" else "a", latency_ms=10.0)
        books.write(decision)
        told += [books.outcome(one, truth)] if truth else []
        told += [books.outcome(one, rewards={"revenue": revenue})] if revenue else []
    books.write(*told)
    books.ingest.catch_up()
    a, b = books.report().strategies
    assert (a.value.rows, a.value.mean) == (2, pytest.approx(((1 + 6 - 1) + (-5 - 1)) / 2))
    assert a.value.low < a.value.mean < a.value.high
    assert (b.value.rows, b.value.mean, b.value.low) == (1, pytest.approx(-51.0), None)
    assert [(m.metric, m.rows, m.mean) for m in a.rewards] == [("revenue", 1, 3.0)]
    assert [(m.metric, m.rows, m.mean) for m in b.rewards] == [("revenue", 1, 7.0)]
    values = sorted(value for joined in books.joined for value in joined.values.values())
    assert values == pytest.approx([-51.0, -6.0, 6.0])
    assert all(joined.valued == frozenset(joined.values) for joined in books.joined)


def test_a_value_that_becomes_known_later_is_said_to_be_new_then(books: Books) -> None:
    books.rules('{"value": {"correct": 1.0, "rewards": {"revenue": 2.0}}}')
    one, decision = books.decision()
    heard = []
    for record in (decision, books.outcome(one, "no"), books.outcome(one, rewards={"revenue": 4.0}, at=2.0),
                   books.outcome(one, rewards={"revenue": 5.0}, at=3.0)):  # fmt: skip
        books.write(record)
        books.ingest.catch_up()
        heard += [(dict(joined.values), joined.valued) for joined in books.joined]
        books.joined.clear()
    assert heard == [({}, frozenset()), ({0: 9.0}, frozenset({0})), ({0: 11.0}, frozenset())]


def test_a_reward_counts_also_where_there_was_no_answer(books: Books) -> None:
    books.rules('{"value": {"rewards": {"revenue": 1.0}}}')
    one, decision = books.decision(answer=None, error="no_quorum")
    books.write(decision, books.outcome(one, rewards={"revenue": 4.0}))
    books.ingest.catch_up()
    (strategy,) = books.report().strategies
    assert (strategy.value.mean, strategy.judged_rows) == (4.0, 0)


def test_numbers_that_are_none_never_count(books: Books) -> None:
    one, decision = books.decision()
    books.write(
        decision, books.outcome(one, rewards={"a": float("nan")}), books.outcome(one, rewards={"b": 1.0}, at=2.0)
    )
    books.ingest.catch_up()
    assert sorted((metric, state) for _, _, metric, _, _, state in books.values()) == [
        ("a", "invalid"),
        ("b", "joined"),
    ]
    (strategy,) = books.report().strategies
    assert [mean.metric for mean in strategy.rewards] == ["b"]


def test_delays_are_counted_from_the_decision_to_the_first_value(books: Books) -> None:
    one, decision = books.decision(arrived=600.0)
    books.write(decision, books.outcome(one, "no", at=700.0), books.outcome(one, "yes", at=5000.0))
    books.write(books.decision(arrived=660.0)[1])
    books.ingest.catch_up()
    with books.database.read() as connection:
        found = tallies.delays(connection, "e", 0)
        assert tallies.rows_by_minute(connection, "e", 0) == {10: 1, 11: 1}
    ((minute, counts),) = found["truth"].items()
    assert minute == 10
    (each,) = counts
    assert counts[each] == 1
    assert float(seconds(each)) == pytest.approx(100.0, rel=0.05)


def test_many_outcomes_in_small_batches(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches and chunks of decisions end anywhere; nothing is lost or counted twice between them."""
    monkeypatch.setattr(ingesting, "BATCH", 11)
    monkeypatch.setattr(joining, "AT_ONCE", 4)
    ids, decisions = zip(*[books.decision(says="yes") for _ in range(200)], strict=True)
    books.write(*decisions)
    order = np.random.default_rng(1).permutation(200)
    books.write(*[books.outcome(ids[i], "yes" if i % 4 else "no", slot=1) for i in order], slot=1)
    assert books.ingest.catch_up() == 400
    assert books.totals() == (200, 200, 150)
    assert len(books.joined) == len({joined.decision.id for joined in books.joined}) == 200
    with books.database.read() as connection:
        assert {place.slot: done.offset for place, done in ledger.progress(connection).items()} == {
            0: books.path().stat().st_size, 1: books.path(1).stat().st_size
        }  # fmt: skip


def test_what_is_in_memory_is_bounded_in_bytes_too(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks: list[int] = []
    join = joining.Joiner._join

    def counted(self: Any, connection: Any, some: Any, *more: Any) -> None:
        chunks.append(len(some))
        join(self, connection, some, *more)

    monkeypatch.setattr(joining.Joiner, "_join", counted)
    monkeypatch.setattr(joining, "BYTES", 1)
    ids, decisions = zip(*[books.decision(says="yes") for _ in range(5)], strict=True)
    books.write(*decisions, *[books.outcome(each, "no") for each in ids])
    assert books.ingest.catch_up() == 10
    assert books.totals() == (5, 5, 0)
    assert chunks == [1] * 5
