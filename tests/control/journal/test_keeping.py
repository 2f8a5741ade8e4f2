"""What control does with the journals besides reading: together, in order, and remembered."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs import parquet, snapshot
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import JournalSettings, Routing, ShipSettings
from quorate.control.journal import compact
from quorate.control.journal.compacting import CompactProcess
from quorate.control.journal.ingest import Ingest, follow, ingest_lock
from quorate.control.journal.keeping import Keeper, Kept, ship_lock
from quorate.control.journal.pins import Pin, pin
from quorate.core.types import Decision, Outcome
from quorate.home import Home
from quorate.ids import DecisionId
from quorate.store import ledger
from quorate.store.database import Database
from quorate.testing.clock import FakeClock

SALT = 3
DAY = 86_400.0


class Books:
    """A project with a journal, a ledger and a keeper."""

    def __init__(self, root: Path, new_store: Callable[[str], Database]) -> None:
        self.home = Home(root)
        self.database = new_store(self.home.store_url)
        self.clock = FakeClock()
        self.events: list[tuple[str, int]] = []
        self.version = 0
        self.ingest = Ingest(JournalReader(self.home.journal), self.database)
        self.keeper = self.fresh()

    def fresh(self) -> Keeper:
        return Keeper(self.home, self.database, self.clock, count=lambda *event: self.events.append(event))

    def apply(self, **settings: Any) -> None:
        self.version += 1
        snapshot.write(self.home.snapshot, Routing(self.version, journal=JournalSettings(**settings)))

    def segment(self, first: int, count: int = 3, *, sealed: bool = True, days: float = 0.0) -> list[str]:
        ids = [DecisionId(1000 + i, 0, 0, i) for i in range(first, first + count)]
        data = encode_header(Header(0, 0, first, 1, SALT))
        for id_ in ids:
            decision = Decision(
                str(id_), "e", 1, 0, "policy", 600.0, 0.0, 5.0, {}, ("s",), (1.0,), "s", "s", (),
                np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), np.int8), np.float32([[0, 1]]), False, 1, b"",
                classes=("no", "yes"),
            )  # fmt: skip
            data += encode_record(RecordKind.DECISION, id_.sequence, decision_codec.encode(decision), SALT)
        if sealed:
            data += encode_record(RecordKind.SEAL, first + count, b"", SALT)
        path = self.home.journal / "0" / segment_name(0, first)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (self.clock.now() - days * DAY,) * 2)
        return [str(id_) for id_ in ids]

    def names(self) -> list[str]:
        return sorted(path.name.removeprefix("0000000-00000000000") for path in (self.home.journal / "0").iterdir())


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_store: Callable[[str], Database]) -> Iterator[Books]:
    monkeypatch.setattr(compact, "SMALL", 0)
    books = Books(tmp_path, new_store)
    yield books
    books.database.close()


needs_arrow = pytest.mark.skipif(not parquet.available(), reason="needs the extra arrow")


@needs_arrow
def test_what_is_ingested_is_compacted_and_late_outcomes_still_join(books: Books) -> None:
    ids = books.segment(0)
    books.keeper.tidy()
    assert books.names() == ["00.qj"]  # nobody has ingested it
    books.ingest.catch_up()
    books.keeper.tidy()
    assert books.names() == ["00.parquet", "00.qx"]
    assert books.events == [("compacted", 1)]
    assert (books.keeper.kept.compacted, books.keeper.kept.decisions) == (1, 3)
    books.segment(3)
    late = outcome_codec.encode(Outcome(ids[1], 0, "yes", at=1.0, received=1.0))
    path = books.home.journal / "0" / segment_name(0, 3)
    path.write_bytes(encode_header(Header(0, 0, 3, 1, SALT)) + encode_record(RecordKind.OUTCOME, 3, late, SALT))
    books.ingest.catch_up()
    with books.database.read() as connection:
        assert [outcome.state for outcome in ledger.outcomes_of(connection, [ids[1]])] == ["joined"]
    assert Kept.read(books.home).decisions == 3


@needs_arrow
def test_only_so_many_are_compacted_at_a_time_and_small_ones_never(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first in (0, 3, 6):
        books.segment(first)
    books.ingest.catch_up()
    books.keeper.tidy(most=2)
    assert books.keeper.compactable() == 1
    monkeypatch.setattr(compact, "SMALL", 10**6)
    keeper = books.fresh()
    assert keeper.compactable() == 0
    keeper.tidy()
    assert books.names() == ["00.parquet", "00.qx", "03.parquet", "03.qx", "06.qj"]


@needs_arrow
def test_a_segment_that_cannot_be_compacted_is_named_and_left(books: Books) -> None:
    books.segment(0, count=6)
    path = books.home.journal / "0" / segment_name(0, 0)
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)
    books.ingest.catch_up()
    for _ in range(3):
        books.keeper.tidy()
    assert books.events == [("left", 1)]
    assert "damaged" in Kept.read(books.home).left["0/" + path.name]


@needs_arrow
def test_a_full_disk_delays_compaction_but_not_deletion(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    books.apply(keep_days=10)
    books.segment(0, days=20)
    books.segment(3)
    books.ingest.catch_up()
    full: list[object] = []

    def no_space(segment: object) -> None:
        full.append(segment)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(compact, "compact", no_space)
        for _ in range(3):
            books.keeper.tidy(most=1)
    assert len(full) == 1
    assert books.names() == ["03.qj"]
    books.clock.advance(61)
    books.keeper.tidy()
    assert books.names() == ["03.parquet", "03.qx"]


def test_without_the_extra_segments_stay_and_that_is_said_once(
    books: Books, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parquet, "available", lambda: False)
    books.segment(0)
    books.ingest.catch_up()
    with caplog.at_level(logging.WARNING):
        books.keeper.tidy()
        books.keeper.tidy()
    [said] = [record.getMessage() for record in caplog.records if "arrow" in record.getMessage()]
    assert "pip install 'quorate[arrow]'" in said
    assert books.names() == ["00.qj"]


def test_retention_spares_what_is_not_ingested_open_or_pinned(books: Books) -> None:
    books.apply(keep_days=10, compact=False)
    books.segment(0, days=20)
    books.segment(3, days=15)
    books.segment(6, days=1)
    books.keeper.tidy()
    assert books.names() == ["00.qj", "03.qj", "06.qj"]
    books.ingest.catch_up()
    pin(books.home, Pin("replay", books.clock.now() - 16 * DAY, "needed", until=books.clock.now() + DAY))
    books.clock.advance(31)
    books.keeper.tidy()
    assert books.names() == ["03.qj", "06.qj"]
    assert (books.keeper.kept.deleted, books.keeper.kept.held) == (1, 1)
    books.clock.advance(2 * DAY)
    books.keeper.tidy()
    assert books.names() == ["06.qj"]
    assert (books.keeper.kept.deleted, books.keeper.kept.held) == (2, 0)
    assert books.events == [("deleted", 1), ("deleted", 1)]


def test_a_reader_of_what_is_deleted_finds_nothing(books: Books) -> None:
    ids = books.segment(0, days=20)
    books.segment(3)
    reader = JournalReader(books.home.journal)
    assert reader.find(ids[0]) is not None
    books.ingest.catch_up()
    books.apply(keep_days=10, compact=False)
    books.keeper.tidy()
    assert reader.find(ids[0]) is None
    assert reader.outline(ids[0]) is None


@needs_arrow
def test_only_columns_are_shipped_and_only_what_is_shipped_is_deleted(books: Books, tmp_path: Path) -> None:
    there = tmp_path / "there"
    books.apply(keep_days=10, keep_until_shipped=True, ship=ShipSettings(to=str(there)))
    books.segment(0, days=20)
    books.segment(3, sealed=False)
    books.ingest.catch_up()
    with (books.home.journal / "0" / segment_name(0, 3)).open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)  # a worker writes to it
        assert books.keeper.ship() == 0  # it waits to be compacted first
        books.keeper.tidy()
        assert books.keeper.kept.held == 1
        assert books.keeper.ship() == 1
    assert sorted(p.name for p in (there / "0").iterdir()) == [
        "0000000-0000000000000.parquet",
        "0000000-0000000000000.qx",
    ]
    books.clock.advance(31)
    books.keeper.tidy()
    assert "00.parquet" not in books.names()
    assert Kept.read(books.home).shipped == 2
    assert ("shipped", 2) in books.events


def test_what_cannot_be_shipped_is_counted_and_shown(books: Books, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    books.apply(compact=False, ship=ShipSettings(to=str(tmp_path / "file" / "below")))
    books.segment(0)
    books.ingest.catch_up()
    assert books.keeper.ship() == 0
    kept = Kept.read(books.home)
    assert (kept.shipped, kept.ship_failures) == (0, 1)
    assert "file" in (kept.ship_error or "")
    assert ("ship_failed", 1) in books.events
    assert books.fresh().kept.ship_failures == 1


def test_one_process_ships_at_a_time(books: Books) -> None:
    with ship_lock(books.home) as mine, ship_lock(books.home) as other:
        assert (mine, other) == (True, False)


def test_following_tidies_while_it_holds_the_lock(books: Books) -> None:
    stop, seen = threading.Event(), []

    def tidy() -> None:
        with ingest_lock(books.home) as other:
            seen.append(other)
        stop.set()
        raise OSError("logged, and tried again")

    books.segment(0)
    follow(books.home, books.database, stop, every_s=0.0, tidy=tidy)
    assert seen == [False]


# --- in a process of its own ----------------------------------------------------------------------


def until(keeper: Keeper, done: Callable[[], bool]) -> None:
    """Tidy until it is done, as control does; a process has to start and end for it."""
    limit = time.monotonic() + 120
    while not done():
        assert time.monotonic() < limit
        keeper.tidy()
        time.sleep(0.05)


@needs_arrow
def test_a_process_compacts_and_nobody_waits_for_it(books: Books) -> None:
    process = CompactProcess(idle=False)
    keeper = Keeper(books.home, books.database, books.clock, count=lambda *e: books.events.append(e), process=process)
    books.segment(0)
    books.segment(3)
    path = books.home.journal / "0" / segment_name(0, 6)
    books.segment(6, count=6)
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)
    books.ingest.catch_up()
    keeper.tidy()
    assert process.busy
    assert books.events == []
    until(keeper, lambda: len(books.events) == 3)
    assert books.events == [("compacted", 1), ("compacted", 1), ("left", 1)]
    assert (keeper.kept.compacted, keeper.kept.decisions) == (2, 6)
    assert "damaged" in keeper.kept.left["0/" + path.name]
    assert books.names() == ["00.parquet", "00.qx", "03.parquet", "03.qx", "06.qj"]
    keeper.tidy()
    assert not process.busy


@needs_arrow
def test_a_process_that_was_killed_is_followed_by_another(books: Books) -> None:
    process = CompactProcess(idle=False)
    keeper = Keeper(books.home, books.database, books.clock, process=process)
    books.segment(0)
    books.ingest.catch_up()
    keeper.tidy()
    assert process._process is not None
    process._process.kill()
    until(keeper, lambda: not process.busy)
    keeper.tidy()
    assert not process.busy  # whatever it was, it is not tried over and over
    books.clock.advance(61)
    until(keeper, lambda: keeper.kept.compacted == 1)
    assert books.names() == ["00.parquet", "00.qx"]
    process.stop()
    assert not process.busy


def test_a_process_ends_with_the_one_that_started_it_and_takes_no_processor_from_others() -> None:
    program = (
        "import os, threading, time; from quorate.control.journal import compacting as c; c.humbly();"
        "idle = getattr(os, 'SCHED_IDLE', None);"
        "print(os.nice(0) == 19 if idle is None else os.sched_getscheduler(0) == idle, flush=True);"
        "threading.Thread(target=c._end_with_parent, daemon=True).start(); time.sleep(600)"
    )
    done = subprocess.run([sys.executable, "-c", program], input=b"", capture_output=True, timeout=240, check=False)
    assert (done.stdout.strip(), done.returncode) == (b"True", 1)
