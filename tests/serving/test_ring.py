"""The ring keeps what waits, whatever comes and goes, and nothing that the disk has longer than it must."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.codecs import ring as codec
from quorate.codecs.journal import HEADER_SIZE, OVERHEAD, Header, RecordKind, encode_record, scan
from quorate.serving.ring import Ring, open_ring

SALT = 11


def made(tmp_path: Path, size: int = 1000) -> tuple[Ring, Path]:
    folder = tmp_path / "0"
    folder.mkdir(exist_ok=True)
    return Ring(tmp_path, folder, Header(0, 2, 0, 1, SALT), size=size), codec.link_of(folder, 2)


def record(sequence: int, length: int) -> bytes:
    return encode_record(RecordKind.DECISION, sequence, bytes([sequence % 251]) * length, SALT)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 300), st.none()), max_size=60))
def test_what_waits_is_always_whole(tmp_path_factory: pytest.TempPathFactory, steps: list[int | None]) -> None:
    """A number puts a record of that length, None frees the oldest."""
    ring, link = made(tmp_path_factory.mktemp("ring"))
    waiting: deque[tuple[int, int]] = deque()
    for sequence, length in enumerate(steps):
        if length is None:
            if waiting:
                waiting.popleft()
                ring.free()
        elif ring.put(record(sequence, length)):
            waiting.append((sequence, length))
        else:
            assert waiting  # an empty ring has room for all that fits into it at all
        found = {each.sequence: len(each.payload) for each in scan(link)}
        assert dict(waiting).items() <= found.items()
    ring.close()


def test_it_takes_as_much_as_fits_and_again_when_that_is_freed(tmp_path: Path) -> None:
    each = 100 + OVERHEAD
    ring, _ = made(tmp_path, HEADER_SIZE + 3 * each)
    for lap in range(5):
        assert [ring.put(record(4 * lap + i, 100)) for i in range(4)] == [True, True, True, False]
        for _ in range(3):
            ring.free()
    assert not ring.put(record(99, 3 * each))
    ring.close()


def test_it_wraps_around(tmp_path: Path) -> None:
    each = 100 + OVERHEAD
    ring, link = made(tmp_path, HEADER_SIZE + 3 * each + 50)
    for sequence in range(3):
        assert ring.put(record(sequence, 100))
    ring.free()
    assert ring.put(record(3, 100))  # at the beginning
    assert not ring.put(record(4, 0))  # the second is in the way
    assert [r.sequence for r in scan(link)] == [3, 1, 2]
    ring.free()
    assert ring.put(record(4, 0))
    ring.close()


def test_wiping_waits_for_what_waits(tmp_path: Path) -> None:
    ring, link = made(tmp_path)
    ring.put(record(0, 50))
    ring.put(record(1, 50))
    ring.free()
    ring.wipe()
    assert [r.sequence for r in scan(link)] == [0, 1]
    ring.free()
    assert not any(link.read_bytes()[HEADER_SIZE:1000])
    ring.put(record(2, 50))
    ring.free()
    assert [r.sequence for r in scan(link)] == [2]  # asked for once, done once
    ring.close()


def test_closing_leaves_what_waits_for_the_next_worker_and_nothing_else(tmp_path: Path) -> None:
    ring, link = made(tmp_path)
    assert link.stat().st_mode & 0o777 == 0o600
    ring.close()
    assert not link.is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    ring, link = made(tmp_path)
    ring.put(record(0, 50))
    ring.close()
    assert [r.sequence for r in scan(link)] == [0]
    assert codec.rescue(link.parent, 0) == 1


def test_where_there_is_no_such_memory_there_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    header = Header(0, 2, 0, 1, SALT)
    assert open_ring(None, tmp_path, header) is None
    assert not caplog.records
    assert open_ring(str(tmp_path / "nowhere"), tmp_path, header) is None
    assert "There is no ring for the journal" in caplog.text


def test_a_memory_without_room_says_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: len(data) // 2)
    folder = tmp_path / "0"
    folder.mkdir()
    assert open_ring(str(tmp_path), folder, Header(0, 2, 0, 1, SALT)) is None
    assert "No space left" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    assert not list(folder.iterdir())


def test_a_memory_that_fails_later_has_answers_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ring, link = made(tmp_path)

    def failing(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", failing)
        assert not ring.put(record(0, 50))
    assert "cannot be written" in caplog.text
    assert ring.put(record(1, 50))
    assert [r.sequence for r in scan(link)] == [1]
    ring.close()
