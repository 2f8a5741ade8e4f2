"""What is read while others write, compact and delete; what is damaged is counted; a kill leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.codecs.lookup import Segment
from quorate.control.journal.keeping import PRUNE_EVERY_S, Keeper
from quorate.control.journal.pins import Pin, pin, pins
from quorate.control.journal.retention import delete
from quorate.control.replay import slices
from quorate.control.replay.tally import Tally

from .conftest import START, decided, drawn, told

parquet = pytest.importorskip("pyarrow.parquet")


def three(log: Any, count: int = 20) -> list[Segment]:
    """Three segments of so many decisions, with their truths."""
    made = []
    for number in range(3):
        first = number * 1000
        some = [decided(first + i, drawn(1)[0]) for i in range(count)]
        made.append(log.write(some, [told(d, "yes") for d in some], first=first))
    return made


def broken(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def test_a_damaged_segment_loses_its_records_only(log: Any) -> None:
    segment = three(log)[1]
    broken(segment.path, 200)
    found = log.replay("a")
    assert (found.files.segments, found.files.damaged, found.counts.used) == (3, 0, 59)
    assert found.files.damaged_bytes > 0
    assert any("bytes and 0 records of others could not be read" in warning for warning in found.warnings)


def end_of(path: Path, name: str) -> int:
    """Where the column of that name ends in a compacted file."""
    group = parquet.ParquetFile(path).metadata.row_group(0)
    [column] = [c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == name]
    return int((column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size)


@pytest.mark.parametrize("where", ["page", "footer"])
def test_a_damaged_compacted_file_is_left_out_and_counted(log: Any, where: str) -> None:
    segments = three(log)
    for each in segments:
        log.compact(each)
    path = segments[1].beside(".parquet")
    broken(path, end_of(path, "arrived") - 3 if where == "page" else path.stat().st_size - 2)
    found = log.replay("a")
    assert (found.files.compacted, found.files.damaged, found.files.unread_decisions) == (2, 1, 20)
    assert (found.counts.used, found.counts.decisions) == (40, 40)
    assert any("1 files, 20 decisions of compacted ones" in warning for warning in found.warnings)


def test_damage_in_the_bodies_is_counted_as_unused(log: Any) -> None:
    segments = three(log)
    for each in segments:
        log.compact(each)
    path = segments[2].beside(".parquet")
    broken(path, end_of(path, "outputs.list.element") - 3)
    found = log.replay("a")
    assert (found.files.compacted, found.files.damaged, found.counts.used) == (2, 1, 40)
    assert found.counts.decisions == 60
    assert found.counts.left_out == {"file damaged": 20}


@pytest.mark.parametrize("what", ["compacted", "deleted"])
def test_files_that_change_while_others_are_read(log: Any, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """The list of files is older than the files: the second is compacted, or deleted, while the first is read."""
    segments = three(log)
    plain, changed = slices.Records.__iter__, []

    def slowly(self: Any) -> Any:
        yield from plain(self)
        if not changed:
            changed.append(segments[1])
            log.compact(segments[1]) if what == "compacted" else delete(segments[1])

    monkeypatch.setattr(slices.Records, "__iter__", slowly)
    found = log.replay("a")
    if what == "compacted":
        assert (found.files.compacted, found.files.segments, found.counts.used) == (1, 2, 60)
        assert found.warnings == ("Only 60 decisions could be used; with fewer than 200 little is shown.",)
    else:
        assert (found.files.gone, found.counts.used) == (1, 40)
        assert "1 files were deleted while they were read." in found.warnings


def test_retention_waits_for_what_is_being_read(log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = three(log)
    for each in segments:
        os.utime(each.path, (START, START))
    project = log.project
    text = project.home.config.read_text()
    project.write(text + "journal: {keep_days: 1, compact: false}\n")
    project.apply()
    project.clock.advance(START + 10 * 86_400 - project.clock.now())
    keeper = Keeper(project.home, project.database, project.clock)
    plain, held = slices.Records.__iter__, []

    def slowly(self: Any) -> Any:
        keeper.tidy()
        held.extend(each.name for each in pins(project.home, project.clock.now()))
        yield from plain(self)

    monkeypatch.setattr(slices.Records, "__iter__", slowly)
    found = log.replay("a")
    assert (found.files.segments, found.files.gone, found.counts.used) == (3, 0, 60)
    assert held
    assert all(name.startswith("replay-") for name in held)
    assert pins(project.home, project.clock.now()) == []
    project.clock.advance(PRUNE_EVERY_S + 1)
    keeper.tidy()
    assert not any(each.path.exists() for each in segments)


def test_an_error_leaves_nothing_behind(log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    three(log)

    def stopped(_self: Any, _slot: int, _boot: int, _head: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(Tally, "add", stopped)
    with pytest.raises(MemoryError, match="no room"):
        log.replay("a")
    assert list((log.project.home.journal / "pins").iterdir()) == []
    assert list((log.project.home.run / "replay").iterdir()) == []


def test_a_kill_leaves_nothing_behind(log: Any) -> None:
    """Killed with the outcomes read and a file open: no file stays, and the pin lapses by itself."""
    three(log)
    home = log.project.home
    program = f"""
        import os, signal, sys
        from pathlib import Path
        from quorate.control.replay import slices
        from quorate.control.replay.asked import Question
        from quorate.control.replay.local import replay_here
        from quorate.home import Home
        from quorate.store.database import Database
        plain = slices.Records.__iter__
        def die(self):
            yield from plain(self)
            os.kill(os.getpid(), signal.SIGKILL)
        slices.Records.__iter__ = die
        home = Home(Path({str(home.root)!r}))
        replay_here(home, Database(home.store_url), Question("main", "a"))
    """
    before = {path for path in home.state.rglob("*") if path.is_file()}
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert died.returncode == -signal.SIGKILL
    after = {path for path in home.state.rglob("*") if path.is_file()} - before
    left = [path for path in after if path.suffix not in (".lock", ".db-wal", ".db-shm")]
    assert [path.parent.name for path in left] == ["pins"]
    made = json.loads(left[0].read_bytes())
    project = log.project
    project.clock.advance(made["until"] - project.clock.now() + 1.0)
    assert pins(home, project.clock.now()) == []  # it holds nothing back any more
    assert log.replay("a").counts.used == 60
    assert not left[0].exists()  # the next replay sweeps it up
    other = Pin("mine", 0.0, "by hand", project.clock.now() - 1)
    pin(home, other)
    log.replay("a")
    assert (home.journal / "pins" / "mine.json").exists()  # somebody else's is left alone


def test_many_layouts_in_one_file(log: Any) -> None:
    """Revisions with other members, strategies and sampled outputs, mixed in one compacted file."""
    outputs, some = drawn(60), []
    for i in range(60):
        d = decided(i, outputs[i], revision=1 + i % 3)
        if i % 3 == 1:
            d = d._replace(members=d.members[:2], outputs=d.outputs[:, :2], status=d.status[:, :2])
        if i % 3 == 2:
            d = d._replace(strategies=("only",), propensities=(1.0,), outputs=d.outputs[:, :, :0])
        some.append(d)
    labels = ["yes"] * 60
    segment = log.write(some, [told(d, label) for d, label in zip(some, labels, strict=True)])
    for compacted in (False, True):
        if compacted:
            log.compact(segment)
        found = log.replay("c", method="exact")
        assert (found.counts.used, found.counts.left_out) == (20, {"outputs not recorded": 20, "members not run": 20})
        assert found.candidate.value == np.mean(outputs[::3, 0, 2].argmax(axis=1) == 1)
        found = log.replay("b", method="exact")
        assert (found.counts.used, found.counts.left_out) == (40, {"outputs not recorded": 20})
