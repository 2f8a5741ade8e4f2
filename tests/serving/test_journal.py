"""The worker's journal: acknowledged means written; a sick disk holds nobody up and is recovered from."""

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
from quorate.codecs.journal import HEADER_SIZE, OVERHEAD, Record, RecordKind, parse_name, scan
from quorate.codecs.snapshot import JournalSettings
from quorate.errors import JournalError, Overloaded, TooLarge
from quorate.serving.journal import Journal
from quorate.serving.segments import SegmentFile
from quorate.testing.disk import FaultyDisk

FAST = JournalSettings(ring=None, stall_ms=20.0)
SLOW = JournalSettings(ring=None, stall_ms=2000.0)  # no stall, however busy the machine is


class Bench:
    """A journal on such a disk, and the errors it reported."""

    def __init__(self, folder: Path, settings: JournalSettings = SLOW, slot: int = 2) -> None:
        self.folder = folder
        self.disk = FaultyDisk()
        self.errors: list[BaseException] = []
        self.journal = Journal(folder, slot, settings, SystemClock(), self.errors.append, create=self.disk.create)
        self.journal.start()

    def append(self, payload: bytes, on_full: str = "shed") -> asyncio.Future[bool] | None:
        self.journal.ids.take()
        return self.journal.append(payload, on_full=on_full)

    async def put(self, payload: bytes, on_full: str = "shed") -> None:
        future = self.append(payload, on_full)
        assert future is not None
        await future

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0)

    def payloads(self) -> list[bytes]:
        return [r.payload for r in self.records() if r.kind != RecordKind.SEAL]

    def records(self) -> list[Record]:
        return [record for path in sorted((self.folder / "2").iterdir()) for record in scan(path)]


def run(test: Callable[[Bench], Awaitable[None]], folder: Path, settings: JournalSettings = SLOW) -> None:
    async def main() -> None:
        bench = Bench(folder, settings)
        try:
            await asyncio.wait_for(test(bench), 20)
        finally:
            bench.disk.flow.set()
            await bench.journal.close()

    asyncio.run(main())


def test_an_acknowledged_record_is_in_the_file(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        for i in range(3):
            await bench.put(b"%d" % i)
            assert bench.payloads() == [b"%d" % k for k in range(i + 1)]
        assert [r.sequence for r in bench.records()] == [0, 1, 2]
        counters = bench.journal.counters
        assert (counters.appended, counters.batches, counters.written_bytes) == (3, 3, 3 * (OVERHEAD + 1))

    run(test, tmp_path)


def test_records_of_one_loop_turn_are_one_write(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        before = len(bench.disk.writes)
        await asyncio.gather(*[bench.put(b"x" * 10) for _ in range(50)])
        assert bench.disk.writes[before:] == [50 * (OVERHEAD + 10)]
        assert bench.journal.pending_bytes == 0

    run(test, tmp_path)


def test_outcomes_share_the_sequence(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.put(b"d0")
        outcome = bench.journal.append(b"o1", RecordKind.OUTCOME)
        assert outcome is not None
        await outcome
        await bench.put(b"d2")
        assert [(r.kind, r.sequence) for r in bench.records()] == [(1, 0), (2, 1), (1, 2)]

    run(test, tmp_path)


def test_a_decision_is_appended_once_and_after_its_id_was_taken(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(ValueError, match="right after its id was taken"):
            bench.journal.append(b"no id yet")
        await bench.put(b"x")
        with pytest.raises(ValueError, match="right after its id was taken"):
            bench.journal.append(b"again")

    run(test, tmp_path)


def test_every_start_is_a_new_boot_and_old_segments_stay(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.put(b"boot %d" % bench.journal.boot)

    for _ in range(3):
        run(test, tmp_path)
    names = sorted(path.name for path in (tmp_path / "2").iterdir())
    assert [parse_name(name) for name in names] == [(0, 0), (1, 0), (2, 0)]


def test_two_processes_of_one_slot_get_different_boots(tmp_path: Path) -> None:
    made: list[Journal] = []

    def racing(path: Path) -> SegmentFile:
        if not made:  # another process is quicker, between our looking and our creating
            made.append(Journal(tmp_path, 0, FAST, SystemClock(), print))
        return SegmentFile(path)

    mine = Journal(tmp_path, 0, FAST, SystemClock(), print, create=racing)
    assert (made[0].boot, mine.boot) == (0, 1)


def test_segments_rotate_and_are_sealed(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        for i in range(10):
            await bench.put(b"%03d" % i + b"." * 97)

    run(test, tmp_path, JournalSettings(ring=None, segment_bytes=HEADER_SIZE + 3 * (OVERHEAD + 100)))
    paths = sorted((tmp_path / "2").iterdir())
    assert [parse_name(path.name) for path in paths] == [(0, 0), (0, 3), (0, 6), (0, 9)]
    for path in paths:
        found = scan(path)
        sequences = [r.sequence for r in found if r.kind == RecordKind.DECISION]
        assert sequences[0] == parse_name(path.name)[1]  # type: ignore[index]
        assert (found.sealed, found.tail) == (True, 0)


def test_short_writes_are_completed(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.piece = 7
        await asyncio.gather(*[bench.put(b"record %d" % i) for i in range(20)])
        assert bench.payloads() == [b"record %d" % i for i in range(20)]
        assert bench.errors == []

    run(test, tmp_path)


@pytest.mark.parametrize("space", [0, 1, OVERHEAD + 9, 2 * (OVERHEAD + 10) - 1, 2 * (OVERHEAD + 10)])
def test_a_full_disk_keeps_what_fitted_fails_the_rest_and_recovers(tmp_path: Path, space: int) -> None:
    async def test(bench: Bench) -> None:
        await bench.put(b"before 123")
        bench.disk.space = space
        results = await asyncio.gather(*[bench.put(b"payload %02d" % i) for i in range(3)], return_exceptions=True)
        kept = space // (OVERHEAD + 10)
        assert [isinstance(result, Overloaded) for result in results] == [i >= kept for i in range(3)]
        assert not bench.journal.accepts()
        assert isinstance(bench.errors[0], OSError)
        with pytest.raises(Overloaded, match="full, failing or stalled"):
            bench.append(b"refused")
        assert bench.append(b"dropped", "drop") is None
        counters = bench.journal.counters
        assert (counters.errors, counters.shed, counters.dropped) == (1, 3 - kept + 1, 1)
        bench.disk.space = None
        await bench.until(bench.journal.accepts)
        await bench.put(b"afterwards")
        expected = [b"before 123", *[b"payload %02d" % i for i in range(kept)], b"afterwards"]
        assert bench.payloads() == expected
        assert counters.appended == len(expected)

    run(test, tmp_path)


def test_on_a_failing_disk_answers_of_drop_go_and_are_counted(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.error = errno.EIO
        await bench.put(b"lost", "drop")
        assert bench.journal.counters.dropped == 1
        bench.disk.error = 0
        await bench.until(bench.journal.accepts)
        await bench.put(b"kept", "drop")
        assert bench.payloads() == [b"kept"]

    run(test, tmp_path)


def test_segments_without_records_do_not_pile_up_on_a_full_disk(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.put(b"first")
        for _ in range(5):
            bench.disk.error = errno.ENOSPC
            with pytest.raises(Overloaded):
                await bench.put(b"never written")
            bench.disk.error = 0
            await bench.until(bench.journal.accepts)
        assert len(list((tmp_path / "2").iterdir())) <= 2

    run(test, tmp_path)


def test_a_stalled_disk_fails_shed_lets_drop_go_and_writes_it_later(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.flow.clear()
        flying = [bench.append(b"flying shed"), bench.append(b"flying drop", "drop")]
        await asyncio.sleep(0)
        queued = [bench.append(b"queued shed"), bench.append(b"queued drop", "drop")]
        for future in (flying[0], queued[0]):
            assert future is not None
            with pytest.raises(Overloaded):
                await future
        for future in (flying[1], queued[1]):
            assert future is not None
            await future
        assert not bench.journal.accepts()
        counters = bench.journal.counters
        assert (counters.stalls, counters.shed, counters.late, counters.dropped) == (1, 2, 2, 0)
        assert bench.payloads() == []
        assert isinstance(bench.errors[0], JournalError)
        bench.disk.flow.set()
        await bench.until(bench.journal.accepts)
        await bench.put(b"after")
        # What was being written when the disk stalled cannot be taken back; what was waiting can.
        assert bench.payloads() == [b"flying shed", b"flying drop", b"queued drop", b"after"]
        assert bench.journal.pending_bytes == 0

    run(test, tmp_path, FAST)


def test_the_loop_is_free_while_the_disk_stalls(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.flow.clear()
        pending = bench.append(b"x")
        assert pending is not None
        turns = 0
        while not pending.done():  # the stall is noticed by a timer of this very loop
            await asyncio.sleep(0)
            turns += 1
        assert turns > 10
        assert isinstance(pending.exception(), Overloaded)
        bench.disk.flow.set()

    run(test, tmp_path, FAST)


def test_memory_is_bounded_and_one_large_record_still_fits(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.put(b"x" * 5000)  # more than the bound, and nothing else is pending
        bench.disk.flow.clear()
        first = bench.append(b"x" * 800)
        assert bench.journal.accepts()
        with pytest.raises(Overloaded):
            bench.append(b"x" * 200)
        assert bench.append(b"x" * 200, "drop") is None
        assert bench.journal.pending_bytes == OVERHEAD + 800
        bench.disk.flow.set()
        assert first is not None
        await first

    run(test, tmp_path, JournalSettings(ring=None, pending_bytes=1000, stall_ms=60_000))


def test_a_record_no_segment_may_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.serving.journal.MAX_RECORD", 100)

    async def test(bench: Bench) -> None:
        with pytest.raises(TooLarge, match="may have 100 bytes"):
            bench.append(b"x" * 100)
        await bench.put(b"x")

    run(test, tmp_path)


def test_a_cancelled_waiter_harms_nobody(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.flow.clear()
        gone = asyncio.ensure_future(bench.put(b"cancelled"))
        stays = asyncio.ensure_future(bench.put(b"stays"))
        await asyncio.sleep(0)
        gone.cancel()
        bench.disk.flow.set()
        await stays
        assert bench.payloads() == [b"cancelled", b"stays"]

    run(test, tmp_path, SLOW)


def test_power_syncs_before_it_acknowledges_and_none_does_not_wait(tmp_path: Path) -> None:
    async def power(bench: Bench) -> None:
        before = bench.disk.synced
        await bench.put(b"x")
        assert bench.disk.synced == before + 1

    async def none(bench: Bench) -> None:
        assert bench.append(b"y") is None
        await bench.until(lambda: bench.payloads() == [b"x", b"y"])
        assert bench.journal.counters.appended <= 1

    run(power, tmp_path, JournalSettings(ring=None, durability="power"))
    run(none, tmp_path, JournalSettings(ring=None, durability="none"))


def test_closing_writes_what_is_pending_and_then_refuses(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        futures = [bench.append(b"%d" % i) for i in range(5)]
        assert await bench.journal.close()
        assert all(future is not None and future.done() for future in futures)
        assert bench.payloads() == [b"0", b"1", b"2", b"3", b"4"]
        assert bench.records()[-1].kind == RecordKind.SEAL
        assert not bench.journal.accepts()
        with pytest.raises(Overloaded):
            bench.append(b"late")
        assert await bench.journal.close()

    run(test, tmp_path)


def test_closing_does_not_wait_for_a_stalled_disk(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.flow.clear()
        future = bench.append(b"x")
        assert not await bench.journal.close(timeout=0.01)
        assert future is not None
        assert isinstance(future.exception(), Overloaded)

    run(test, tmp_path, SLOW)


WRITER = """
    import asyncio, os, sys
    from pathlib import Path
    from quorate.clock import SystemClock
    from quorate.codecs.snapshot import JournalSettings
    from quorate.serving.journal import Journal

    async def client(journal):
        while True:
            decision = str(journal.ids.take())
            await journal.append(decision.encode(), on_full="shed")
            os.write(1, decision.encode() + b"\\n")  # the answer: 37 bytes, so never torn in a pipe

    async def main():
        journal = Journal(Path(sys.argv[1]), 2, JournalSettings(ring=None, segment_bytes=4096), SystemClock(), print)
        journal.start()
        await asyncio.gather(*[client(journal) for _ in range(16)])

    asyncio.run(main())
"""


def test_after_kill_nine_every_acknowledged_record_is_there(tmp_path: Path) -> None:
    """20 kills at different moments; every id whose answer came out is found, and the next boot works."""
    answered: list[str] = []
    for kill in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            for _ in range(1 + 37 * kill):  # the moment: after so many answers
                answered.append(process.stdout.readline().decode().strip())
            process.kill()
            answered += process.stdout.read().decode().split()
    written = set()
    for path in sorted((tmp_path / "2").iterdir()):
        found = scan(path)
        written |= {record.payload.decode() for record in found if record.kind == RecordKind.DECISION}
        assert found.damage == []
    assert len(answered) > 20 * 16
    assert set(answered) <= written
