"""Captured inputs are kept as long, and as much of them, as was declared; also where nothing is declared any more."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from quorate.codecs import sealing, snapshot
from quorate.codecs.journal import Header, encode_header, segment_name
from quorate.codecs.snapshot import CaptureRoute, EndpointRoute, PolicyRoute, Routing
from quorate.control.captures.keeping import CaptureKeeper, held
from quorate.control.journal.retention import DAY


class Shelf:
    """Capture files of one endpoint, of chosen ages (days) and 100 bytes each."""

    def __init__(self, project: Any) -> None:
        self.home, self.clock = project.home, project.clock
        self.deleted = 0

    def declare(self, route: CaptureRoute | None) -> None:
        endpoint = EndpointRoute("shop", 1, "p", (), PolicyRoute("fixed"), capture=route)
        version = (snapshot.current_version(self.home.snapshot) or 0) + 1
        snapshot.write(self.home.snapshot, Routing(version, endpoints=(endpoint,)))

    def file(self, first: int, days: float, *, created_days: float | None = None) -> Path:
        path: Path = self.home.captures / "shop" / "0" / segment_name(0, first)
        path.parent.mkdir(parents=True, exist_ok=True)
        now = self.clock.now()
        created = now - (days if created_days is None else created_days) * DAY
        head = encode_header(Header(0, 0, first, int(created * 1e9), 1))
        path.write_bytes(head + b"\0" * (100 - len(head)))
        os.utime(path, (now - days * DAY, now - days * DAY))
        return path

    def tidy(self) -> list[int]:
        def count(files: int) -> None:
            self.deleted += files

        CaptureKeeper(self.home, self.clock, count=count).tidy(at_once=True)
        return [int(path.name[8:21]) for path in sorted((self.home.captures / "shop" / "0").glob("*.qj"))]


@pytest.fixture
def shelf(project: Any) -> Shelf:
    return Shelf(project)


def test_what_is_too_old_goes(shelf: Shelf) -> None:
    shelf.declare(CaptureRoute(keep_days=10.0))
    for first, days in enumerate((30, 11, 9, 0)):
        shelf.file(first, days)
    assert shelf.tidy() == [2, 3]
    assert shelf.deleted == 2


def test_what_is_too_much_goes_oldest_first(shelf: Shelf) -> None:
    shelf.declare(CaptureRoute(keep_days=None, keep_bytes=250))
    for first, days in enumerate((1, 4, 3, 2)):
        shelf.file(first, days)
    assert shelf.tidy() == [0, 3]


def test_what_is_written_to_stays_and_is_ended_before_it_is_too_old(shelf: Shelf) -> None:
    shelf.declare(CaptureRoute(keep_days=10.0))
    path = shelf.file(0, 0.1, created_days=0.5)
    with path.open("r+b") as worker:
        fcntl.flock(worker, fcntl.LOCK_EX)
        assert shelf.tidy() == [0]
        assert sealing.stamp(shelf.home.seal) is None
        shelf.clock.advance(0.6 * DAY)
        assert shelf.tidy() == [0]
        assert sealing.stamp(shelf.home.seal) is not None
        shelf.clock.advance(20 * DAY)
        assert shelf.tidy() == [0]
    assert shelf.tidy() == []


def test_what_is_not_declared_any_more_is_kept_as_long_as_it_was(shelf: Shelf) -> None:
    shelf.declare(CaptureRoute(keep_days=3.0))
    shelf.file(0, 0)
    assert shelf.tidy() == [0]
    shelf.declare(None)
    (one,) = held(shelf.home)
    assert (one.declared, one.keep_days, one.files, one.size) == (False, 3.0, 1, 100)
    shelf.clock.advance(2 * DAY)
    assert shelf.tidy() == [0]
    shelf.clock.advance(2 * DAY)
    assert shelf.tidy() == []


def test_what_is_to_be_captured_is_listed_before_anything_is(shelf: Shelf) -> None:
    shelf.declare(CaptureRoute(keep_days=None))
    (one,) = held(shelf.home)
    assert (one.endpoint, one.files, one.declared, one.oldest, one.keep_days) == ("shop", 0, True, None, None)
