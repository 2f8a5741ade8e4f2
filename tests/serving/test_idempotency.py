"""Idempotency keys and the memory of outcomes, shared by workers, across crashes, bounded."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from quorate.errors import StoreError
from quorate.serving.idempotency import (
    STALE_S,
    Bounds,
    Claimed,
    Fact,
    IdempotencyTable,
    InProgress,
    Mismatch,
    Replay,
)
from quorate.testing.clock import FakeClock

JSON = [(b"content-type", b"application/json"), (b"inference-header-content-length", b"7")]
FACT = Fact("d", 0, "truth", "user", "7", 100.0)


class Tables:
    """Tables of several workers on one file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run" / "idempotency.db"
        self.clock = FakeClock()
        self.open: list[IdempotencyTable] = []

    def table(self, slot: int = 0, boot: int = 0, bounds: Bounds | None = None) -> IdempotencyTable:
        table = IdempotencyTable(self.path, slot=slot, boot=boot, clock=self.clock, bounds=bounds)
        self.open.append(table)
        return table


def run(test: Callable[[Tables], Awaitable[None]], folder: Path) -> None:
    async def main() -> None:
        tables = Tables(folder)
        try:
            await asyncio.wait_for(test(tables), 20)
        finally:
            for table in tables.open:
                table.close()

    asyncio.run(main())


def test_a_key_is_answered_once(tmp_path: Path) -> None:
    async def test(tables: Tables) -> None:
        one, two = tables.table(slot=0), tables.table(slot=1)
        assert await one.claim("k", b"f") == Claimed()
        assert await one.claim("k", b"f") == InProgress()
        assert await two.claim("k", b"f") == InProgress()
        assert await two.claim("k", b"other") == Mismatch()
        await one.finish("k", 200, JSON, b"answer")
        for table in (one, two):
            assert await table.claim("k", b"f") == Replay(200, JSON, b"answer")
            assert await table.claim("k", b"other") == Mismatch()

    run(test, tmp_path)


def test_a_released_key_may_be_tried_again(tmp_path: Path) -> None:
    async def test(tables: Tables) -> None:
        one, two = tables.table(slot=0), tables.table(slot=1)
        await one.claim("k", b"f")
        await two.release("k")  # not its own
        assert await two.claim("k", b"f") == InProgress()
        await one.release("k")
        assert await two.claim("k", b"f") == Claimed()
        await one.finish("k", 200, JSON, b"no longer its own")
        assert await one.claim("k", b"f") == InProgress()
        await two.finish("k", 200, JSON, b"kept")
        await two.release("k")
        assert await one.claim("k", b"f") == Replay(200, JSON, b"kept")

    run(test, tmp_path)


def test_a_dead_workers_claim_is_taken_over_by_any_slot(tmp_path: Path) -> None:
    async def test(tables: Tables) -> None:
        dead, other = tables.table(slot=0, boot=3), tables.table(slot=1)
        await dead.claim("k", b"f")
        assert await other.claim("k", b"f") == InProgress()
        tables.table(slot=0, boot=4)
        assert await other.claim("k", b"different") == Mismatch()
        assert await other.claim("k", b"f") == Claimed()
        assert await other.claim("k", b"f") == InProgress()

    run(test, tmp_path)


def test_answers_survive_the_worker(tmp_path: Path) -> None:
    async def test(tables: Tables) -> None:
        one = tables.table(boot=0)
        await one.claim("k", b"f")
        await one.finish("k", 200, JSON, b"answer")
        one.close()
        assert await tables.table(boot=1).claim("k", b"f") == Replay(200, JSON, b"answer")

    run(test, tmp_path)


def test_a_claim_of_a_slot_that_never_came_back_goes_stale(tmp_path: Path) -> None:
    async def test(tables: Tables) -> None:
        one, two = tables.table(slot=0), tables.table(slot=1)
        await one.claim("k", b"f")
        tables.clock.advance(STALE_S - 1)
        assert await two.claim("k", b"f") == InProgress()
        tables.clock.advance(1)
        assert await two.claim("k", b"f") == Claimed()

    run(test, tmp_path)


def test_answers_are_forgotten_after_a_day(tmp_path: Path) -> None:
    async def test(tables: Tables) -> None:
        table = tables.table()
        await table.claim("k", b"f")
        await table.finish("k", 200, JSON, b"answer")
        tables.clock.advance(24 * 3600 - 1)
        assert isinstance(await table.claim("k", b"f"), Replay)
        tables.clock.advance(1)
        assert await table.claim("k", b"new request") == Claimed()

    run(test, tmp_path)


@pytest.mark.parametrize(
    ("bounds", "kept"), [(Bounds(rows=10), 10), (Bounds(body_bytes=1000), 11), (Bounds(age_s=3.0), 3)]
)
def test_the_oldest_answers_go_first(tmp_path: Path, bounds: Bounds, kept: int) -> None:
    async def test(tables: Tables) -> None:
        table = tables.table(bounds=bounds)
        await table.claim("running", b"f")
        for i in range(256):
            await table.claim(f"k{i}", b"f")
            await table.finish(f"k{i}", 200, JSON, b"x" * 100)
            if i >= 251:
                tables.clock.advance(1.0)
        with sqlite3.connect(tables.path) as connection:
            (rows,) = connection.execute("SELECT count(*) FROM claims WHERE status IS NOT NULL").fetchone()
        connection.close()
        assert rows <= kept
        assert await table.claim("k255", b"f") == Replay(200, JSON, b"x" * 100)
        if bounds.age_s > 5:
            assert await table.claim("running", b"f") == InProgress()

    run(test, tmp_path)


def test_a_cancelled_claim_is_given_back(tmp_path: Path) -> None:
    async def test(tables: Tables) -> None:
        table, other = tables.table(slot=0), tables.table(slot=1)
        gate = threading.Event()
        table._background.submit(gate.wait)
        claiming = asyncio.ensure_future(table.claim("k", b"f"))
        await asyncio.sleep(0)
        claiming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claiming
        gate.set()
        while await other.claim("k", b"f") != Claimed():
            await asyncio.sleep(0)

    run(test, tmp_path)


def test_a_cancelled_claim_of_anothers_key_leaves_it(tmp_path: Path) -> None:
    async def test(tables: Tables) -> None:
        table = tables.table()
        await table.claim("k", b"f")
        claiming = asyncio.ensure_future(table.claim("k", b"f"))
        await asyncio.sleep(0)
        claiming.cancel()
        await asyncio.wait([claiming])
        assert await table.claim("k", b"f") == InProgress()
        assert await table.claim("k", b"f") == InProgress()

    run(test, tmp_path)


def test_facts_are_new_once_then_duplicates_or_corrections(tmp_path: Path) -> None:
    async def test(tables: Tables) -> None:
        one, two = tables.table(slot=0), tables.table(slot=1)
        other = FACT._replace(value="8", at=200.0)
        assert await one.first_seen([FACT, FACT, other]) == ["new", "duplicate", "correction"]
        assert await one.first_seen([FACT]) == ["new"]  # asking remembers nothing
        await one.remember([FACT])
        assert await two.first_seen([FACT, other]) == ["duplicate", "correction"]
        for changed in ({"row": 1}, {"metric": "reward"}, {"source": "expert"}, {"decision": "e"}):
            assert await two.first_seen([FACT._replace(**changed)]) == ["new"]
        assert await two.first_seen([FACT._replace(value=7.0)]) == ["correction"]
        await two.remember([other])
        assert await one.first_seen([other, FACT]) == ["duplicate", "correction"]

    run(test, tmp_path)


def test_an_older_fact_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    async def test(tables: Tables) -> None:
        table = tables.table()
        newer = FACT._replace(value="8", at=200.0)
        await table.remember([newer])
        await table.remember([FACT])
        assert await table.first_seen([newer]) == ["duplicate"]

    run(test, tmp_path)


def test_facts_are_bounded_in_age_and_number(tmp_path: Path) -> None:
    async def test(tables: Tables) -> None:
        table = tables.table(bounds=Bounds(facts=8))
        for i in range(20):
            await table.remember([FACT._replace(row=i)])
            tables.clock.advance(1.0)
        with sqlite3.connect(tables.path) as connection:
            assert connection.execute("SELECT count(*), max(row) FROM seen").fetchone() == (9, 19)
        connection.close()
        tables.clock.advance(24 * 3600)
        assert await table.first_seen([FACT._replace(row=19)]) == ["new"]

    run(test, tmp_path)


@pytest.mark.parametrize("content", [b"not a database, not at all", None])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "idempotency.db"
    if content is not None:
        path.write_bytes(content * 100)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    with pytest.raises(StoreError, match=r"idempotency.db .*Delete the file"):
        IdempotencyTable(path, slot=0, boot=0, clock=FakeClock())
