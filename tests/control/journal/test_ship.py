"""Shipping: each file once, whole, across restarts; failures wait, are counted, and do not keep others."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import pytest

from quorate.codecs.journal import segment_name
from quorate.codecs.lookup import Segment
from quorate.codecs.snapshot import ShipSettings
from quorate.control.journal.ship import ASIDE_S, LONGEST_WAIT_S, Shipper, shipped
from quorate.control.journal.targets import CommandTarget, FolderTarget, Target, target_of
from quorate.errors import JournalError
from quorate.testing.clock import FakeClock


def segment(root: Path, first: int, *, compacted: bool = True) -> Segment:
    path = root / "0" / segment_name(0, first)
    path.parent.mkdir(parents=True, exist_ok=True)
    if compacted:
        path = path.with_suffix(".parquet")
        path.with_suffix(".qx").write_bytes(b"index %d" % first)
    path.write_bytes(b"content %d" % first)
    return Segment(0, 0, first, path)


class Remote(Target):
    """Remembers what was put; refuses names in ``broken``, and everything while ``down``."""

    def __init__(self) -> None:
        self.put_names: list[str] = []
        self.broken: set[str] = set()
        self.down = False

    def put(self, path: Path, name: str) -> None:
        if self.down or name in self.broken:
            raise JournalError(f"no {name}")
        path.read_bytes()
        self.put_names.append(name)


def shipper(remote: Remote, clock: FakeClock, attempts: int = 3) -> Shipper:
    return Shipper(ShipSettings(to="/elsewhere", attempts=attempts), clock, target=remote)


def test_every_file_is_shipped_once_also_after_a_restart(tmp_path: Path) -> None:
    remote, clock = Remote(), FakeClock()
    files = [segment(tmp_path, 0), segment(tmp_path, 5, compacted=False)]
    one = shipper(remote, clock)
    assert (one.run(files), one.run(files)) == (2, 0)
    names = ["0/0000000-0000000000000.parquet", "0/0000000-0000000000000.qx", "0/0000000-0000000000005.qj"]
    assert remote.put_names == names
    assert (one.counts.files, one.counts.size, one.counts.failures) == (3, 25, 0)
    assert shipper(remote, clock).run(files) == 0
    assert remote.put_names == names
    assert shipped(files[0], one.settings)
    assert not shipped(files[0], ShipSettings(to="/another"))


def test_a_segment_that_became_columns_since_is_shipped_again(tmp_path: Path) -> None:
    remote, clock = Remote(), FakeClock()
    raw = segment(tmp_path, 0, compacted=False)
    one = shipper(remote, clock)
    one.run([raw])
    columns = segment(tmp_path, 0)
    assert not shipped(columns, one.settings)
    assert one.run([columns]) == 1


def test_failures_wait_longer_and_longer_and_are_counted(tmp_path: Path) -> None:
    remote, clock = Remote(), FakeClock()
    remote.down = True
    files, one = [segment(tmp_path, 0)], shipper(remote, clock, attempts=100)
    waits = []
    for _ in range(12):
        before = clock.monotonic()
        failures = one.counts.failures
        while one.counts.failures == failures:
            one.run(files)
            clock.advance(0.5)
        waits.append(clock.monotonic() - before)
    assert waits[1:5] == [1.0, 2.0, 4.0, 8.0]
    assert max(waits) == LONGEST_WAIT_S
    assert (one.counts.failures, one.counts.error) == (12, "no 0/0000000-0000000000000.parquet")
    remote.down = False
    clock.advance(LONGEST_WAIT_S)
    assert one.run(files) == 1
    assert one.counts.error is None


def test_one_bad_file_does_not_keep_the_others_and_is_tried_again_later(tmp_path: Path) -> None:
    remote, clock = Remote(), FakeClock()
    files = [segment(tmp_path, first) for first in range(3)]
    remote.broken.add("0/0000000-0000000000000.parquet")
    one = shipper(remote, clock)
    for _ in range(10):
        one.run(files)
        clock.advance(60)
    assert one.counts.failures == 3
    assert one.aside == 1
    assert [shipped(each, one.settings) for each in files] == [False, True, True]
    remote.broken.clear()
    clock.advance(ASIDE_S)
    assert one.run(files) == 1
    assert one.aside == 0


def test_what_vanishes_meanwhile_is_no_failure(tmp_path: Path) -> None:
    clock = FakeClock()
    files = [segment(tmp_path, 0)]
    files[0].path.unlink()
    one = Shipper(ShipSettings(to=str(tmp_path / "there")), clock)
    assert one.run(files) == 0
    assert one.counts.failures == 0


def test_a_folder_gets_whole_files_only(tmp_path: Path) -> None:
    there = tmp_path / "there"
    target = FolderTarget(there)
    source = segment(tmp_path, 0).path
    target.put(source, "0/a.parquet")
    source.write_bytes(b"newer")
    target.put(source, "0/a.parquet")
    assert [(p.name, p.read_bytes()) for p in (there / "0").iterdir()] == [("a.parquet", b"newer")]
    (there / "1").touch()
    with pytest.raises(OSError):
        target.put(source, "1/a.parquet")


def test_a_url_goes_through_fsspec(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    place = f"memory://{uuid.uuid4().hex}/decisions"
    target = target_of(ShipSettings(to=place))
    source = segment(tmp_path, 0).path
    target.put(source, "0/a.parquet")
    with fsspec.open(f"{place}/0/a.parquet", "rb") as file:
        assert file.read() == b"content 0"
    with pytest.raises(FileNotFoundError):
        target.put(tmp_path / "gone", "0/b.parquet")
    with pytest.raises(JournalError, match="could not be copied to nosuch://x"):
        target_of(ShipSettings(to="nosuch://x")).put(source, "0/a.parquet")


def test_a_command_gets_path_and_name_and_its_failure_is_told(tmp_path: Path) -> None:
    source = segment(tmp_path, 0).path
    copy = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2] + '/' + sys.argv[3].replace('/', '-'))"
    target = CommandTarget((sys.executable, "-c", copy, "{path}", f"{tmp_path}", "{name}"), 60)
    target.put(source, "0/a.parquet")
    assert (tmp_path / "0-a.parquet").read_bytes() == b"content 0"
    fails = (sys.executable, "-c", "import sys; sys.exit('bucket is gone')")
    with pytest.raises(JournalError, match="exit code 1: bucket is gone"):
        CommandTarget(fails, 60).put(source, "0/a.parquet")
    hangs = (sys.executable, "-c", "import sys; sys.stdin.read(); import threading; threading.Event().wait()")
    with pytest.raises(JournalError, match=r"longer than 0\.2 s"):
        CommandTarget(hangs, 0.2).put(source, "0/a.parquet")
    with pytest.raises(JournalError, match="could not be run"):
        CommandTarget((str(tmp_path / "no-such"),), 60).put(source, "0/a.parquet")
