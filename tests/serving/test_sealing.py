"""Segments are ended on request: what came before may be rewritten, what comes goes into another."""

from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path

import pytest

from quorate.clock import SystemClock
from quorate.codecs import sealing
from quorate.codecs.journal import RecordKind, scan
from quorate.codecs.snapshot import JournalSettings
from quorate.serving.journal import Journal
from quorate.testing.disk import FaultyDisk


async def keep(journal: Journal, payload: bytes) -> None:
    journal.ids.take()
    kept = journal.append(payload)
    assert kept is not None
    assert await kept


def test_a_segment_is_ended_on_request_and_the_next_one_begun(tmp_path: Path) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, 0, JournalSettings(ring=None), SystemClock(), print)
        journal.start()
        journal.seal()  # there is nothing in it to be ended
        await keep(journal, b"one")
        journal.seal()
        journal.seal()
        await keep(journal, b"two")
        await keep(journal, b"three")
        first, second = sorted((tmp_path / "0").iterdir())
        with first.open("rb") as file:  # nobody writes to it any more
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with second.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert await journal.close()
        journal.seal()  # and none is begun after the end
        found = [(r.kind, r.payload) for path in (first, second) for r in scan(path)]
        end = (RecordKind.SEAL, b"")
        kind = RecordKind.DECISION
        assert found == [(kind, b"one"), end, (kind, b"two"), (kind, b"three"), end]

    asyncio.run(main())


def test_where_no_segment_can_follow_the_journal_mends_itself(tmp_path: Path) -> None:
    disk = FaultyDisk()

    async def main() -> None:
        journal = Journal(
            tmp_path, 0, JournalSettings(ring=None, stall_ms=40), SystemClock(), lambda error: None, create=disk.create
        )
        journal.start()
        await keep(journal, b"one")
        disk.error = 28
        journal.seal()
        journal.ids.take()
        lost = journal.append(b"lost")
        assert lost is None or not await lost
        disk.error = 0
        while not journal.accepts():
            await asyncio.sleep(0.005)
        await keep(journal, b"two")
        assert await journal.close()
        payloads = [r.payload for path in sorted((tmp_path / "0").iterdir()) for r in scan(path)]
        assert [p for p in payloads if p] == [b"one", b"two"]

    asyncio.run(asyncio.wait_for(main(), 30))


def test_every_request_to_seal_is_told_from_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "run" / "seal"
    stamps = {sealing.stamp(path)}
    for _ in range(3):
        sealing.ask(path)
        stamps.add(sealing.stamp(path))
    assert None in stamps
    assert len(stamps) >= 3
