"""Appending many records at once: one future, one write, and every guarantee of a single record."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from quorate.clock import SystemClock
from quorate.codecs.journal import OVERHEAD, RecordKind, scan
from quorate.codecs.snapshot import JournalSettings
from quorate.errors import Overloaded, TooLarge
from quorate.serving.journal import Journal
from quorate.testing.disk import FaultyDisk

FAST = JournalSettings(ring=None, stall_ms=20.0)
SLOW = JournalSettings(ring=None, stall_ms=2000.0)  # no stall, however busy the machine is


class Bench:
    """A journal on a disk that can fail."""

    def __init__(self, folder: Path, settings: JournalSettings) -> None:
        self.folder = folder / "2"
        self.disk = FaultyDisk()
        self.journal = Journal(folder, 2, settings, SystemClock(), lambda _: None, create=self.disk.create)
        self.journal.start()

    def many(self, *payloads: bytes, on_full: str = "shed") -> asyncio.Future[int]:
        self.journal.ids.take_many(len(payloads))
        return self.journal.append_many(payloads, on_full=on_full)

    def payloads(self) -> list[bytes]:
        paths = sorted(self.folder.iterdir())
        return [r.payload for path in paths for r in scan(path) if r.kind != RecordKind.SEAL]

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0)


def run(test: Callable[[Bench], Awaitable[None]], folder: Path, settings: JournalSettings = SLOW) -> None:
    async def main() -> None:
        bench = Bench(folder, settings)
        try:
            await asyncio.wait_for(test(bench), 30)
        finally:
            bench.disk.flow.set()
            bench.disk.sync_flow.set()
            await bench.journal.close()

    asyncio.run(main())


def test_many_records_are_one_write_and_each_has_its_own_checksum(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        before = len(bench.disk.writes)
        assert await bench.many(b"a", b"", b"ccc") == 3
        assert bench.disk.writes[before:] == [3 * OVERHEAD + 4]
        assert bench.journal.counters.appended == 3
        assert bench.journal.pending_bytes == 0

    run(test, tmp_path)
    path = tmp_path / "2" / "0000000-0000000000000.qj"
    assert [(r.kind, r.sequence, r.payload) for r in scan(path)] == [
        (1, 0, b"a"),
        (1, 1, b""),
        (1, 2, b"ccc"),
        (3, 3, b""),
    ]
    data = bytearray(path.read_bytes())
    data[-(2 * OVERHEAD + 2)] ^= 1  # in 'ccc'
    damaged = scan(bytes(data))
    assert [r.sequence for r in damaged] == [0, 1, 3]
    assert len(damaged.damage) == 1


def test_singles_and_many_share_the_sequence_and_the_write(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        journal = bench.journal
        bench.disk.flow.clear()
        futures: list[asyncio.Future[object]] = [bench.many(b"0", b"1")]
        await asyncio.sleep(0)
        journal.ids.take()
        futures.append(journal.append(b"2", on_full="shed"))
        futures.append(journal.append_many([b"o3", b"o4"], RecordKind.OUTCOME, on_full="shed"))
        futures.append(bench.many(b"5"))
        bench.disk.flow.set()
        assert await asyncio.gather(*futures) == [2, True, 2, 1]
        assert journal.counters.batches == 2
        records = [r for path in bench.folder.iterdir() for r in scan(path)]
        assert [(r.kind, r.sequence, r.payload) for r in records] == [
            (1, 0, b"0"), (1, 1, b"1"), (1, 2, b"2"), (2, 3, b"o3"), (2, 4, b"o4"), (1, 5, b"5"),
        ]  # fmt: skip

    run(test, tmp_path)


class Told:
    """Waits for a group, and notes what it is told and when."""

    def __init__(self, notes: list[object], name: object) -> None:
        self.notes, self.name = notes, name
        self.over = False

    def done(self) -> bool:
        return self.over

    def set_result(self, kept: int, /) -> None:
        self.over = True
        self.notes.append((self.name, kept))

    def set_exception(self, error: Exception, /) -> None:
        self.notes.append(error)


def test_a_group_is_handed_over_and_told_without_a_turn_of_the_loop_between(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        journal, notes = bench.journal, list[object]()
        for name, payloads in (("a", [b"0", b"1"]), ("b", [b"2"])):
            journal.ids.take_many(len(payloads))
            journal.append_group(payloads, Told(notes, name), on_full="shed")
        while not notes:
            assert journal.counters.batches == 0  # told in the very turn in which it is known to be written
            await asyncio.sleep(0)
        await bench.until(lambda: len(notes) == 2)
        assert notes == [("a", 2), ("b", 1)]
        assert journal.counters.batches == 2  # the second gathered while the first was written

    run(test, tmp_path)


def test_a_group_is_told_at_once_where_nobody_waits_for_the_disk(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        notes = list[object]()
        bench.journal.ids.take_many(2)
        bench.journal.append_group([b"0", b"1"], Told(notes, "a"), on_full="shed")
        assert notes == [("a", 2)]
        await bench.until(lambda: bench.journal.counters.appended == 2)

    run(test, tmp_path, JournalSettings(ring=None, durability="none"))


def test_ids_must_have_been_taken_and_none_twice(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        journal = bench.journal
        journal.ids.take_many(2)
        with pytest.raises(ValueError, match="right after its id was taken"):
            journal.append_many([b"0", b"1", b"2"])
        assert await journal.append_many([b"0", b"1"]) == 2
        with pytest.raises(ValueError, match="right after its id was taken"):
            journal.append_many([b"again"])
        assert await journal.append_many([]) == 0

    run(test, tmp_path)


@pytest.mark.parametrize("on_full", ["shed", "drop"])
@pytest.mark.parametrize("space", [0, OVERHEAD + 9, OVERHEAD + 10, 3 * (OVERHEAD + 10) - 1])
def test_a_full_disk_keeps_the_first_and_counts_each_of_the_others(tmp_path: Path, on_full: str, space: int) -> None:
    async def test(bench: Bench) -> None:
        await bench.many(b"before 123")
        bench.disk.space = space
        first = bench.many(b"payload 00", b"payload 01", on_full=on_full)
        second = bench.many(b"payload 02", b"payload 03", on_full=on_full)
        kept = space // (OVERHEAD + 10)
        assert await asyncio.gather(first, second) == [min(kept, 2), max(kept - 2, 0)]
        assert await bench.many(b"refused", b"refused", on_full=on_full) == 0
        counters = bench.journal.counters
        lost = 4 - kept + 2
        assert (counters.shed, counters.dropped) == ((lost, 0) if on_full == "shed" else (0, lost))
        bench.disk.space = None
        await bench.until(bench.journal.accepts)
        assert await bench.many(b"afterwards") == 1
        expected = [b"before 123", *[b"payload %02d" % i for i in range(kept)], b"afterwards"]
        assert bench.payloads() == expected
        assert counters.appended == len(expected)
        assert bench.journal.pending_bytes == 0

    run(test, tmp_path)


def test_a_stalled_disk_sheds_whole_batches_and_lets_those_of_drop_go(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.flow.clear()
        flying = [bench.many(b"fs0", b"fs1"), bench.many(b"fd0", b"fd1", b"fd2", on_full="drop")]
        await asyncio.sleep(0)
        queued = [bench.many(b"qs0"), bench.many(b"qd0", b"qd1", on_full="drop")]
        assert await asyncio.gather(*flying, *queued) == [0, 3, 0, 2]
        counters = bench.journal.counters
        assert (counters.stalls, counters.shed, counters.late, counters.dropped) == (1, 3, 5, 0)
        bench.disk.error = errno.EIO
        bench.disk.flow.set()
        await bench.until(lambda: counters.errors == 1)
        assert (counters.shed, counters.dropped) == (3, 5)  # what was answered late is lost after all
        bench.disk.error = 0
        await bench.until(bench.journal.accepts)
        assert await bench.many(b"after") == 1
        assert bench.payloads() == [b"after"]

    run(test, tmp_path, FAST)


def test_memory_takes_the_first_that_fit(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.flow.clear()
        size = OVERHEAD + 100
        first = bench.many(b"x" * 100)
        second = bench.many(*[b"%03d" % i + b"y" * 97 for i in range(5)])
        third = bench.many(b"z" * 100, b"z" * 100, on_full="drop")
        assert bench.journal.pending_bytes == 3 * size
        counters = bench.journal.counters
        assert (counters.shed, counters.dropped) == (3, 2)
        assert third.result() == 0
        bench.disk.flow.set()
        assert await asyncio.gather(first, second) == [1, 2]
        assert [p[:3] for p in bench.payloads()] == [b"xxx", b"000", b"001"]

    run(test, tmp_path, JournalSettings(ring=None, stall_ms=60_000, pending_bytes=3 * (OVERHEAD + 100)))


def test_a_batch_larger_than_memory_lets_one_record_in(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        assert await bench.many(b"x" * 5000, b"y") == 1
        assert bench.payloads() == [b"x" * 5000]

    run(test, tmp_path, JournalSettings(ring=None, stall_ms=60_000, pending_bytes=1000))


def test_without_durability_nobody_waits_and_losses_count(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        future = bench.many(b"0", b"1")
        assert future.result() == 2
        await bench.until(lambda: bench.journal.counters.appended == 2)
        bench.disk.error = errno.ENOSPC
        assert bench.many(b"2", b"3").result() == 2
        await bench.until(lambda: bench.journal.counters.dropped == 2)

    run(test, tmp_path, JournalSettings(ring=None, durability="none", stall_ms=2000.0))


def test_a_waiter_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.flow.clear()
        gone, stays = bench.many(b"gone"), bench.many(b"stays")
        gone.cancel()
        bench.disk.flow.set()
        assert await stays == 1
        assert bench.payloads() == [b"gone", b"stays"]

    run(test, tmp_path)


def test_a_batch_no_segment_may_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.serving.journal.MAX_RECORD", 100)

    async def test(bench: Bench) -> None:
        with pytest.raises(TooLarge, match="may have 100 bytes"):
            bench.many(b"x" * 60, b"x" * 60)
        assert await bench.many(b"x") == 1

    run(test, tmp_path)


def test_a_closed_journal_refuses_all(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.journal.close()
        assert await bench.many(b"x", b"y") == 0
        assert bench.journal.counters.shed == 2
        with pytest.raises(Overloaded):
            bench.journal.append(b"o", RecordKind.OUTCOME, on_full="shed")

    run(test, tmp_path)


def test_power_is_one_sync_for_all_that_wait_together(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        disk = bench.disk
        disk.flow.clear()
        synced = disk.synced
        flying = bench.many(b"0", b"1")
        await asyncio.sleep(0)
        waiting = [bench.many(b"%d" % i, b"%d" % i) for i in range(20)]
        await asyncio.sleep(0)
        assert not flying.done()
        disk.flow.set()
        assert await flying == 2
        assert await asyncio.gather(*waiting) == [2] * 20
        assert disk.synced == synced + 2

    run(test, tmp_path, JournalSettings(ring=None, durability="power", stall_ms=60_000))


def test_power_answers_wait_for_the_sync(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.sync_flow.clear()
        future = bench.many(b"0", b"1")
        await bench.until(lambda: bench.payloads() == [b"0", b"1"])  # in the file
        assert bench.journal.counters.appended == 0
        assert not future.done()
        bench.disk.sync_flow.set()
        assert await future == 2

    run(test, tmp_path, JournalSettings(ring=None, durability="power", stall_ms=60_000))


def test_power_acknowledges_nothing_that_was_not_synced(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.many(b"before")
        bench.disk.space = 2 * (OVERHEAD + 1) + 1
        assert await bench.many(b"0", b"1", b"2") == 0  # two are in the file, but nobody synced them
        assert bench.journal.counters.shed == 3

    run(test, tmp_path, JournalSettings(ring=None, durability="power", stall_ms=60_000))


WRITER = """
    import asyncio, os, sys
    from pathlib import Path
    from quorate.clock import SystemClock
    from quorate.codecs.snapshot import JournalSettings
    from quorate.serving.journal import Journal

    async def client(journal):
        while True:
            ids = journal.ids.take_many(16)
            assert await journal.append_many([each.encode() for each in ids], on_full="shed") == 16
            os.write(1, b"".join(each.encode() + b"\\n" for each in ids))  # 592 bytes: never torn in a pipe

    async def main():
        journal = Journal(Path(sys.argv[1]), 2, JournalSettings(ring=None, segment_bytes=8192), SystemClock(), print)
        journal.start()
        await asyncio.gather(*[client(journal) for _ in range(3)])

    asyncio.run(main())
"""


def test_after_kill_nine_every_acknowledged_record_is_there(tmp_path: Path) -> None:
    answered: list[str] = []
    for kill in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            answered += [process.stdout.readline().decode().strip() for _ in range(1 + 111 * kill)]
            process.kill()
            answered += process.stdout.read().decode().split()
    written = set()
    for path in sorted((tmp_path / "2").iterdir()):
        found = scan(path)
        written |= {record.payload.decode() for record in found if record.kind == RecordKind.DECISION}
        assert found.damage == []
    assert len(answered) > 8 * 16
    assert set(answered) <= written
