"""What is deleted: old or too much, oldest first; what is held: open, pinned, not shipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quorate.clock import SystemClock
from quorate.codecs.journal import segment_name
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import JournalSettings
from quorate.control.journal.pins import Pin, pin, pins, unpin
from quorate.control.journal.retention import DAY, Pruned, prune, stored, sweep
from quorate.errors import ConfigError, JournalError
from quorate.home import Home
from quorate.serving.journal import Journal

NOW = 100 * DAY


def put(root: Path, first: int, days: float, size: int = 100, *, slot: int = 0, boot: int = 0) -> Path:
    """A file whose newest record is ``days`` old."""
    path = root / str(slot) / segment_name(boot, first)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - days * DAY,) * 2)
    return path


def run(root: Path, settings: JournalSettings, **changes: object) -> Pruned:
    given = {"pinned_from": None, "deletable": lambda _: True, "shipped": lambda _: True} | changes
    return prune(stored(JournalReader(root).files()), settings, NOW, **given)  # type: ignore[arg-type]


def firsts(root: Path) -> list[int]:
    return [segment.first for segment in JournalReader(root).files()]


def test_by_default_everything_is_kept(tmp_path: Path) -> None:
    put(tmp_path, 0, 5000)
    assert run(tmp_path, JournalSettings()) == Pruned()
    assert firsts(tmp_path) == [0]


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    for first, days in ((0, 30.0), (1, 10.1), (2, 9.9), (3, 0.0)):
        put(tmp_path, first, days)
    assert run(tmp_path, JournalSettings(keep_days=10)) == Pruned(2, 200, 0)
    assert firsts(tmp_path) == [2, 3]


def test_what_is_too_much_goes_oldest_first_over_all_slots(tmp_path: Path) -> None:
    put(tmp_path, 0, 3, slot=0)
    put(tmp_path, 1, 4, slot=1)
    put(tmp_path, 2, 1, slot=0)
    put(tmp_path, 3, 2, slot=1)
    assert run(tmp_path, JournalSettings(keep_bytes=250)) == Pruned(2, 200, 0)
    assert firsts(tmp_path) == [2, 3]
    assert run(tmp_path, JournalSettings(keep_bytes=200)) == Pruned()


def test_all_files_of_a_segment_count_and_go_together(tmp_path: Path) -> None:
    path = put(tmp_path, 0, 5)
    put(tmp_path, 1, 1)
    path.rename(path.with_suffix(".parquet"))
    for suffix in (".qx", ".outcomes.parquet", ".shipped"):
        path.with_suffix(suffix).write_bytes(b"x" * 50)
    assert stored(JournalReader(tmp_path).files())[0].size == 200
    assert run(tmp_path, JournalSettings(keep_bytes=200)) == Pruned(1, 200, 0)
    assert [p.name for p in (tmp_path / "0").iterdir()] == [segment_name(0, 1)]


def test_what_is_open_pinned_or_not_shipped_is_held(tmp_path: Path) -> None:
    for first in range(4):
        put(tmp_path, first, 40 - first)
    settings = JournalSettings(keep_days=10, keep_until_shipped=True)
    done = run(
        tmp_path,
        settings,
        deletable=lambda segment: segment.first != 0,
        shipped=lambda segment: segment.first != 1,
        pinned_from=NOW - 37.5 * DAY,
    )
    assert done == Pruned(1, 100, 2)
    assert firsts(tmp_path) == [0, 1, 3]


def test_a_boot_whose_files_are_all_deleted_is_not_begun_again(tmp_path: Path) -> None:
    put(tmp_path, 0, 50, boot=7)
    put(tmp_path, 9, 50, boot=7)
    assert run(tmp_path, JournalSettings(keep_days=1)).files == 2
    assert [p.name for p in (tmp_path / "0").iterdir()] == ["0000007-0000000000009.gone"]
    journal = Journal(tmp_path, 0, JournalSettings(ring=None), SystemClock(), print)
    assert journal.boot == 8
    sweep(tmp_path / "0")
    assert [p.name for p in (tmp_path / "0").iterdir()] == [segment_name(8, 0)]


def test_what_a_killed_deletion_left_is_swept_up(tmp_path: Path) -> None:
    path = put(tmp_path, 0, 50)
    kept = put(tmp_path, 1, 50).with_suffix(".shipped")
    for left in (path.with_suffix(".qx"), path.with_suffix(".outcomes.parquet"), path.with_suffix(".shipped"), kept):
        left.touch()
    path.unlink()
    sweep(tmp_path / "0")
    assert sorted(p.name for p in (tmp_path / "0").iterdir()) == [segment_name(0, 1), kept.name]


def test_a_file_that_vanishes_meanwhile_harms_nobody(tmp_path: Path) -> None:
    path = put(tmp_path, 0, 50)
    files = JournalReader(tmp_path).files()
    path.unlink()
    assert stored(files) == []


def test_pins_last_until_they_are_removed_or_over(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert pins(home, 0.0) == []
    pin(home, Pin("experiment-1", 50.0, "still running"))
    pin(home, Pin("replay", 20.0, "tonight", until=1000.0))
    assert [p.name for p in pins(home, 999.0)] == ["experiment-1", "replay"]
    assert [p.name for p in pins(home, 1000.0)] == ["experiment-1"]
    pin(home, Pin("experiment-1", 60.0, "moved on"))
    assert pins(home, 1000.0) == [Pin("experiment-1", 60.0, "moved on")]
    assert unpin(home, "experiment-1")
    assert not unpin(home, "experiment-1")


def test_a_pin_that_cannot_be_read_deletes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    pin(home, Pin("a", 1.0, ""))
    (home.journal / "pins" / "a.json").write_text("{")
    with pytest.raises(JournalError, match="nothing is deleted"):
        pins(home, 0.0)
    with pytest.raises(ConfigError, match="name"):
        pin(home, Pin("../a", 1.0, ""))
