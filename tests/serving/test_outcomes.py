"""Taking outcomes in: each judged for itself, in the journal before they are acknowledged, idempotent, any order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.clock import SystemClock
from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.journal import HEADER_SIZE, RecordKind, scan
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import JournalSettings
from quorate.core.types import Decision, Outcome, OutputKind
from quorate.errors import Overloaded
from quorate.ids import DecisionId
from quorate.serving.idempotency import IdempotencyTable
from quorate.serving.journal import Journal
from quorate.serving.outcomes import OutcomeDesk
from quorate.testing.clock import FakeClock
from quorate.testing.disk import FaultyDisk

UNKNOWN = str(DecisionId(1_700_000_000_000, 9, 9, 9))


class Worker:
    """A desk with its journal and table, in a folder."""

    def __init__(self, folder: Path, slot: int = 0, ring: Path | None = None) -> None:
        self.root = folder / "journal"
        self.clock = FakeClock()
        self.disk = FaultyDisk()
        settings = JournalSettings(ring=None if ring is None else str(ring), stall_ms=60_000.0)
        self.journal = Journal(self.root, slot, settings, SystemClock(), print, create=self.disk.create)
        self.journal.start()
        self.table = IdempotencyTable(folder / "i.db", slot=slot, boot=self.journal.boot, clock=self.clock)
        self.desk = OutcomeDesk(JournalReader(self.root), self.table, self.journal, self.clock)

    async def decide(self, *, rows: int = 2, kind: OutputKind = "scores") -> str:
        decision_id = str(self.journal.ids.take())
        classes = ("cat", "dog") if kind == "scores" else ()
        decision = Decision(
            decision_id, "pets", 1, 0, "policy", 1.0, 0.0, 1.0, {}, ("s",), (1.0,), "s", "s", (),
            np.zeros((rows, 0, 2), np.float32), np.zeros((rows, 0), np.int8), None, False, rows, b"",
            output_kind=kind, classes=classes,
        )  # fmt: skip
        written = self.journal.append(decision_codec.encode(decision))
        if written is not None:
            await written
        return decision_id

    async def accept(self, *items: dict[str, Any]) -> dict[str, Any]:
        return await self.desk.accept(items)

    def journaled(self) -> list[Outcome]:
        records = [record for path in sorted(self.root.glob("*/*.qj")) for record in scan(path)]
        return [outcome_codec.decode(record.payload) for record in records if record.kind == RecordKind.OUTCOME]


def run(test: Callable[[Worker], Awaitable[None]], folder: Path) -> None:
    async def main() -> None:
        worker = Worker(folder)
        try:
            await asyncio.wait_for(test(worker), 20)
        finally:
            await worker.journal.close()
            worker.table.close()

    asyncio.run(main())


def counts(answer: dict[str, Any]) -> tuple[int, int, int, int]:
    return answer["accepted"], answer["duplicate"], answer["pending"], len(answer["rejected"])


def test_an_accepted_outcome_is_in_the_journal(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        one, now = await worker.decide(), worker.clock.now()
        answer = await worker.accept(
            {"id": one, "truth": "dog"},
            {"id": one, "row": 1, "truth": "cat", "source": "expert", "at": now - 5},
            {"id": one, "reward": 1},
            {"id": one, "rewards": {"clicks": 2, "time": 0.5}},
        )
        assert answer == {"accepted": 4, "duplicate": 0, "pending": 0, "rejected": []}
        assert worker.journaled() == [
            Outcome(one, 0, "dog", {}, "user", now, now),
            Outcome(one, 1, "cat", {}, "expert", now - 5, now),
            Outcome(one, 0, None, {"reward": 1.0}, "user", now, now),
            Outcome(one, 0, None, {"clicks": 2.0, "time": 0.5}, "user", now, now),
        ]

    run(test, tmp_path)


def test_repetition_changes_nothing_and_correction_is_accepted(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        one = await worker.decide()
        dog, cat = {"id": one, "truth": "dog"}, {"id": one, "truth": "cat"}
        assert counts(await worker.accept(dog, dog)) == (1, 1, 0, 0)
        worker.clock.advance(1)
        assert counts(await worker.accept(dog)) == (0, 1, 0, 0)
        assert counts(await worker.accept({**dog, "id": one.upper()})) == (0, 1, 0, 0)
        assert counts(await worker.accept(cat)) == (1, 0, 0, 0)
        worker.clock.advance(1)
        assert counts(await worker.accept(dog)) == (1, 0, 0, 0)
        assert [outcome.truth for outcome in worker.journaled()] == ["dog", "cat", "dog"]
        rewards = {"id": one, "rewards": {"a": 1, "b": 2}}
        assert counts(await worker.accept(rewards, {**rewards, "rewards": {"a": 1, "b": 3}}, rewards)) == (3, 0, 0, 0)
        assert counts(await worker.accept({**rewards, "rewards": {"a": 1}})) == (0, 1, 0, 0)

    run(test, tmp_path)


def test_an_unknown_decision_is_pending_and_journaled(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        early = {"id": UNKNOWN, "truth": "anything", "row": 77}
        assert counts(await worker.accept(early, early)) == (0, 1, 1, 0)
        assert [outcome.decision for outcome in worker.journaled()] == [UNKNOWN]

    run(test, tmp_path)


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"id": "x"}, "", "exactly one of"),
    ({"truth": "dog"}, ".id", "needs the 'id'"),
    ({"id": 7, "truth": "dog"}, ".id", "got 7"),
    ({"id": "nonsense", "truth": "dog"}, ".id", "not a decision id"),
    ({"id": "{}", "truth": "dog", "reward": 1}, "", "got truth and reward"),
    ({"id": "{}", "truth": None}, ".truth", "null"),
    ({"id": "{}", "truth": "dog", "labl": 1}, ".labl", "no field 'labl'"),
    ({"id": "{}", "truth": "dog", "row": -1}, ".row", "got -1"),
    ({"id": "{}", "truth": "dog", "row": True}, ".row", "got True"),
    ({"id": "{}", "truth": "dog", "row": 1.0}, ".row", "got 1.0"),
    ({"id": "{}", "truth": "dog", "row": 2**70}, ".row", "index"),
    ({"id": "{}", "truth": "dog", "row": 2}, ".row", "has 2 rows"),
    ({"id": "{}", "truth": "bird"}, ".truth", "'cat', 'dog'; got 'bird'"),
    ({"id": "{}", "truth": 1}, ".truth", "a string: 'cat', 'dog'; got 1.0"),
    ({"id": "{}", "truth": True}, ".truth", "got True"),
    ({"id": "{}", "truth": ["dog"]}, ".truth", "a class"),
    ({"id": "{}", "truth": "x" * 1001}, ".truth", "at most 1000"),
    ({"id": "{}", "truth": 10**400}, ".truth", "finite"),
    ({"id": "{}", "reward": "1"}, ".reward", "finite number"),
    ({"id": "{}", "reward": float("nan")}, ".reward", "finite number"),
    ({"id": "{}", "rewards": {}}, ".rewards", "1 to 32"),
    ({"id": "{}", "rewards": 1}, ".rewards", "1 to 32"),
    ({"id": "{}", "rewards": {f"m{i}": 1 for i in range(33)}}, ".rewards", "1 to 32"),
    ({"id": "{}", "rewards": {"a": None}}, ".rewards.a", "finite"),
    ({"id": "{}", "rewards": {"": 1}}, ".rewards", "metric has 1 to 64"),
    ({"id": "{}", "rewards": {"truth": 1}}, ".rewards", "cannot be called 'truth'"),
    ({"id": "{}", "truth": "dog", "source": ""}, ".source", "1 to 64"),
    ({"id": "{}", "truth": "dog", "source": "x" * 65}, ".source", "1 to 64"),
    ({"id": "{}", "truth": "dog", "source": "a\nb"}, ".source", "printable"),
    ({"id": "{}", "truth": "dog", "source": "\ud800"}, ".source", "printable"),
    ({"id": "{}", "truth": "dog", "source": 1}, ".source", "got 1"),
    ({"id": "{}", "truth": "dog", "at": "yesterday"}, ".at", "finite"),
    ({"id": "{}", "truth": "dog", "at": 0}, ".at", "Unix seconds"),
    ({"id": "{}", "truth": "dog", "at": 1_700_000_000_000}, ".at", "not in the future"),
]


def test_each_wrong_outcome_is_rejected_for_itself(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        one = await worker.decide()
        items = [{**item, "id": one} if item.get("id") == "{}" else item for item, _, _ in WRONG]
        good = {"id": one, "truth": "dog"}
        answer = await worker.accept(*items, good)
        assert counts(answer) == (1, 0, 0, len(WRONG))
        for index, (rejected, (_, path, message)) in enumerate(zip(answer["rejected"], WRONG, strict=True)):
            assert (rejected["index"], rejected["code"]) == (index, "invalid_input")
            assert rejected["path"] == f"[{index}]{path}", rejected
            assert message in rejected["detail"]
        assert len(worker.journaled()) == 1

    run(test, tmp_path)


def test_a_regression_takes_numbers_only(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        one = await worker.decide(kind="values")
        answer = await worker.accept({"id": one, "truth": 3}, {"id": one, "row": 1, "truth": "3"})
        assert counts(answer) == (1, 0, 0, 1)
        assert "a number" in answer["rejected"][0]["detail"]
        assert worker.journaled()[0].truth == 3.0

    run(test, tmp_path)


def test_what_was_not_journaled_is_not_a_duplicate_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(worker: Worker) -> None:
        one = await worker.decide()
        item = {"id": one, "truth": "dog"}

        def full(*_: object, **__: object) -> None:
            raise Overloaded("The journal is full.")

        with monkeypatch.context() as patch:
            patch.setattr(worker.journal, "append_many", full)
            with pytest.raises(Overloaded):
                await worker.accept(item)
        assert counts(await worker.accept(item)) == (1, 0, 0, 0)

    run(test, tmp_path)


def test_decisions_that_the_disk_does_not_have_yet_are_known(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        other = Worker(tmp_path, slot=5, ring=tmp_path)
        other.disk.flow.clear()
        elsewhere = await other.decide()
        assert [path.stat().st_size for path in other.root.glob("5/*.qj")] == [HEADER_SIZE]
        assert counts(await worker.accept({"id": elsewhere, "truth": "dog"})) == (1, 0, 0, 0)
        assert counts(await other.accept({"id": elsewhere, "truth": "cat"})) == (1, 0, 0, 0)  # acknowledged as well
        changed = str(DecisionId.parse(elsewhere)._replace(milliseconds=1))
        assert counts(await worker.accept({"id": changed, "truth": "dog"}))[:2] == (0, 0)
        other.disk.flow.set()
        await other.journal.close()
        assert [outcome.decision for outcome in other.journaled()].count(elsewhere) == 2
        other.table.close()

    run(test, tmp_path)


def test_decisions_of_other_slots_are_known(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        other = Worker(tmp_path, slot=5)
        elsewhere = await other.decide()
        assert counts(await worker.accept({"id": elsewhere, "truth": "dog"})) == (1, 0, 0, 0)
        assert counts(await other.accept({"id": elsewhere, "truth": "dog"})) == (0, 1, 0, 0)
        await other.journal.close()
        other.table.close()

    run(test, tmp_path)
