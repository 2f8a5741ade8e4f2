"""A journal with a ring: acknowledged at once, and kept whatever becomes of the disk and of the worker."""

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
from quorate.codecs import ring
from quorate.codecs.journal import OVERHEAD, RecordKind, scan
from quorate.codecs.snapshot import JournalSettings
from quorate.errors import Overloaded
from quorate.serving.journal import Journal
from quorate.serving.ring import RING_BYTES
from quorate.testing.disk import FaultyDisk

PATIENT = 60_000.0  # ms: no stall, however busy the machine is


class Bench:
    """A journal with a ring on a disk that can fail."""

    def __init__(self, root: Path, *, stall_ms: float = PATIENT, segment_bytes: int = 1 << 24) -> None:
        self.memory = root / "memory"
        self.memory.mkdir(exist_ok=True)
        self.root = root / "journal"
        self.disk = FaultyDisk()
        settings = JournalSettings(ring=str(self.memory), stall_ms=stall_ms, segment_bytes=segment_bytes)
        self.journal = Journal(self.root, 2, settings, SystemClock(), lambda _: None, create=self.disk.create)
        self.journal.start()

    def append(self, payload: bytes, on_full: str = "shed") -> asyncio.Future[bool] | None:
        self.journal.ids.take()
        return self.journal.append(payload, on_full=on_full)

    def many(self, *payloads: bytes, on_full: str = "shed") -> asyncio.Future[int]:
        self.journal.ids.take_many(len(payloads))
        return self.journal.append_many(payloads, on_full=on_full)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0.001)

    def written(self) -> list[bytes]:
        return written(self.root)

    @property
    def link(self) -> Path:
        return ring.link_of(self.root / "2", self.journal.boot)


def written(root: Path) -> list[bytes]:
    """All payloads in the slot's segments, in their order."""
    paths = sorted((root / "2").glob("*.qj"))
    return [r.payload for path in paths for r in scan(path) if r.kind != RecordKind.SEAL]


def run(test: Callable[[Bench], Awaitable[None]], bench: Callable[[], Bench]) -> None:
    async def main() -> None:
        made = bench()
        try:
            await asyncio.wait_for(test(made), 30)
        finally:
            made.disk.flow.set()
            made.disk.space, made.disk.error = None, 0
            await made.journal.close()

    asyncio.run(main())


def test_a_record_is_acknowledged_while_the_disk_waits_and_follows(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.flow.clear()
        assert bench.append(b"one") is None
        assert await bench.many(b"two", b"three") == 2
        assert bench.written() == []
        assert ring.find(bench.root / "2", 0, 2) == b"two"
        assert bench.journal.pending_bytes == 3 * OVERHEAD + 11
        bench.disk.flow.set()
        await bench.until(lambda: bench.journal.counters.appended == 3)
        assert bench.written() == [b"one", b"two", b"three"]
        assert bench.journal.pending_bytes == 0

    run(test, lambda: Bench(tmp_path))
    assert not list((tmp_path / "memory").iterdir())
    assert not list((tmp_path / "journal" / "2").glob("*.ring"))


def test_a_group_is_told_before_append_returns(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        assert bench.many(b"a", b"b").done()

    run(test, lambda: Bench(tmp_path))


def test_what_comes_within_milliseconds_is_one_write(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        before = len(bench.disk.writes)
        for index in range(50):
            bench.append(b"%d" % index)
            await asyncio.sleep(0)
        await bench.until(lambda: bench.journal.counters.appended == 50)
        assert len(bench.disk.writes) - before < 25

    run(test, lambda: Bench(tmp_path))


def test_a_full_ring_has_records_wait_for_the_disk_in_their_order(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.flow.clear()
        large = b"x" * (RING_BYTES // 3)
        assert [bench.append(large) for _ in range(2)] == [None, None]
        third = bench.append(large)
        assert third is not None
        assert bench.append(b"small") is None  # there is room for that one
        await asyncio.sleep(0.02)
        assert not third.done()
        bench.disk.flow.set()
        assert await third
        await bench.until(lambda: bench.journal.pending_bytes == 0)
        assert bench.written() == [large, large, large, b"small"]
        beyond = bench.append(b"y" * RING_BYTES)
        assert beyond is not None
        assert await beyond

    run(test, lambda: Bench(tmp_path))


@pytest.mark.parametrize("space", [0, 1, OVERHEAD + 3, OVERHEAD + 4, 2 * (OVERHEAD + 3) + 5, 3 * (OVERHEAD + 3)])
def test_what_a_full_disk_did_not_take_is_written_when_there_is_room(tmp_path: Path, space: int) -> None:
    async def test(bench: Bench) -> None:
        bench.disk.space = space
        payloads = [b"%03d" % index for index in range(6)]
        assert bench.append(payloads[0]) is None
        assert await bench.many(*payloads[1:]) == 5
        await bench.until(lambda: bench.journal.counters.errors > 0)
        assert not bench.journal.accepts()
        with pytest.raises(Overloaded):
            bench.append(b"later")
        assert bench.journal.counters.dropped == 0
        bench.disk.space = None
        await bench.until(lambda: bench.journal.counters.appended == 6)
        assert bench.append(b"after") is None
        await bench.until(lambda: bench.journal.pending_bytes == 0)
        assert bench.written() == [*payloads, b"after"]

    run(test, lambda: Bench(tmp_path, stall_ms=400))
    segments = sorted((tmp_path / "journal" / "2").glob("*.qj"))
    for path in segments:  # a segment's name is not greater than what is in it, so that ids find it
        sequences = [r.sequence for r in scan(path)]
        assert all(sequence >= int(path.stem.partition("-")[2]) for sequence in sequences)


def test_what_could_not_be_written_at_the_end_is_there_after_the_next_start(tmp_path: Path) -> None:
    async def first() -> None:
        bench = Bench(tmp_path, stall_ms=100)
        bench.disk.error = errno.EIO
        assert bench.append(b"one") is None
        await bench.until(lambda: bench.journal.counters.errors > 0)
        assert not await bench.journal.close(timeout=0.05)
        assert bench.link.exists()

    async def second(bench: Bench) -> None:
        assert bench.append(b"two") is None

    asyncio.run(first())
    assert written(tmp_path / "journal") == []
    run(second, lambda: Bench(tmp_path))
    assert written(tmp_path / "journal") == [b"one", b"two"]
    assert not list((tmp_path / "memory").iterdir())


def test_a_seal_ends_what_was_acknowledged_before_and_empties_the_ring(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.append(b"secret")
        bench.journal.seal()
        first = sorted((bench.root / "2").glob("*.qj"))[0]
        await bench.until(lambda: RecordKind.SEAL in [r.kind for r in scan(first)])
        assert [r.payload for r in scan(first)] == [b"secret", b""]
        await bench.until(lambda: bench.journal.pending_bytes == 0)
        assert b"secret" not in bench.link.read_bytes()

    run(test, lambda: Bench(tmp_path))


def test_segments_rotate(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        for index in range(40):
            bench.append(b"%04d" % index * 10)
            await asyncio.sleep(0.001)

    run(test, lambda: Bench(tmp_path, segment_bytes=400))
    assert len(list((tmp_path / "journal" / "2").glob("*.qj"))) > 3
    assert written(tmp_path / "journal") == [b"%04d" % index * 10 for index in range(40)]


def test_other_durabilities_have_no_ring(tmp_path: Path) -> None:
    async def main() -> None:
        for durability in ("power", "none"):
            settings = JournalSettings(durability=durability, ring=str(tmp_path))
            journal = Journal(tmp_path / durability, 0, settings, SystemClock(), lambda _: None)
            journal.start()
            journal.ids.take()
            waits = journal.append(b"one")
            assert (waits is not None) == (durability == "power")
            await journal.close()
            assert not list((tmp_path / durability / "0").glob("*.ring"))

    asyncio.run(main())


WRITER = """
import asyncio, sys
from pathlib import Path
from quorate.clock import SystemClock
from quorate.codecs.snapshot import JournalSettings
from quorate.serving.journal import Journal
from quorate.testing.disk import FaultyDisk

root, stalls = Path(sys.argv[1]), sys.argv[2] == "stalls"

async def main():
    disk = FaultyDisk()
    settings = JournalSettings(ring=str(root / "memory"), stall_ms=60_000.0, segment_bytes=100_000)
    journal = Journal(root / "journal", 2, settings, SystemClock(), print, create=disk.create)
    journal.start()
    if stalls:
        disk.flow.clear()
    for number in range(100_000):
        id = str(journal.ids.take())
        payload = (id + " " * (number % 700)).encode()
        waits = journal.append(payload)
        if waits is not None:
            await waits
        print(id, flush=True)
        if number % 7 == 0:
            await asyncio.sleep(0)

asyncio.run(main())
"""


@pytest.mark.parametrize("disk", ["stalls", "works"])
def test_after_kill_nine_every_acknowledged_record_is_there_once(tmp_path: Path, disk: str) -> None:
    """Kills at different moments, also while the disk has nothing of it; the next start finds every answered id."""
    (tmp_path / "memory").mkdir()
    answered: list[str] = []
    for kill in range(8):
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), disk]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(1 + 61 * kill):
                answered.append(process.stdout.readline().decode().strip())
            process.kill()
            whole = process.stdout.read().decode()
            answered += whole[: whole.rfind("\n") + 1].split()
    ring.rescue(tmp_path / "journal" / "2", 0.0)
    found = [payload.decode().strip() for payload in written(tmp_path / "journal")]
    assert len(answered) > 8
    assert set(answered) <= set(found)
    assert len(found) == len(set(found))
    assert not list((tmp_path / "memory").iterdir())
