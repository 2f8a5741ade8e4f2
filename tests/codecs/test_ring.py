"""What killed workers left in their rings comes to the disk: all of it, once, and only when no worker has the ring."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

import pytest

from quorate.codecs import ring
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, parse_name, scan, segment_name

SALT = 77


def made(folder: Path, *records: tuple[int, bytes], boot: int = 3, torn: bytes = b"") -> Path:
    """A ring with these records (by sequence) in the memory beside the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder.parent / f"memory-{boot}.ring"
    parts = [encode_header(Header(1, boot, 0, 5, SALT)), torn]
    parts += [encode_record(RecordKind.DECISION, sequence, payload, SALT) for sequence, payload in records]
    target.write_bytes(b"".join(parts) + bytes(1000))
    ring.link_of(folder, boot).symlink_to(target)
    return target


def segment(folder: Path, *records: tuple[int, bytes], boot: int = 3, first: int = 0, tail: bytes = b"") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    parts = [encode_header(Header(1, boot, first, 5, SALT))]
    parts += [encode_record(RecordKind.DECISION, sequence, payload, SALT) for sequence, payload in records]
    (folder / segment_name(boot, first)).write_bytes(b"".join(parts) + tail)


def test_what_the_disk_lacks_becomes_a_sealed_segment_in_order_of_sequence(tmp_path: Path) -> None:
    folder = tmp_path / "1"
    torn = encode_record(RecordKind.DECISION, 4, b"four", SALT)[:-2]
    segment(folder, (1, b"one"), (2, b"two"), (3, b"three"), tail=torn)
    before = (folder / segment_name(3, 0)).read_bytes()
    target = made(folder, (5, b"five"), (6, b"six"), (2, b"two"), (3, b"three"), (4, b"four"), torn=b"rest of a record")
    assert ring.rescue(folder, 12.5) == 3
    found = scan(folder / segment_name(3, 4))
    assert [(r.kind, r.sequence, r.payload) for r in found] == [
        (1, 4, b"four"),
        (1, 5, b"five"),
        (1, 6, b"six"),
        (3, 7, b""),
    ]
    assert found.header == Header(1, 3, 4, 12_500_000_000, SALT)
    assert found.sealed
    assert not found.damage
    assert (folder / segment_name(3, 0)).read_bytes() == before  # nobody who has read it need go back
    assert not target.exists()
    assert sorted(path.name for path in folder.iterdir()) == [segment_name(3, 0), segment_name(3, 4)]
    assert ring.rescue(folder, 13) == 0


def test_a_ring_that_the_disk_has_all_of_only_goes(tmp_path: Path) -> None:
    folder = tmp_path / "1"
    segment(folder, (1, b"one"), (2, b"two"))
    target = made(folder, (2, b"two"), (1, b"one"))
    assert ring.rescue(folder, 0) == 0
    assert not target.exists()
    assert [path.name for path in folder.iterdir()] == [segment_name(3, 0)]


def test_nobody_takes_the_ring_of_a_living_worker(tmp_path: Path) -> None:
    folder = tmp_path / "1"
    segment(folder)
    target = made(folder, (1, b"one"))
    descriptor = os.open(target, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert ring.rescue(folder, 0) == 0
    assert target.exists()
    os.close(descriptor)  # it ends
    assert ring.rescue(folder, 0) == 1


def test_a_ring_that_is_gone_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "1"
    made(folder, (1, b"one")).unlink()
    with caplog.at_level(logging.ERROR):
        assert ring.rescue(folder, 0) == 0
        assert ring.rescue(folder, 0) == 0
    assert [record.message for record in caplog.records if "is gone" in record.message] == [
        f"The ring {tmp_path / 'memory-3.ring'} is gone, with what its worker had not brought to the disk yet."
    ]


def test_a_rescue_that_fails_leaves_the_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "1"
    target = made(folder, (1, b"one"))

    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            ring.rescue(folder, 0)
    assert target.exists()
    assert ring.rescue(folder, 0) == 1
    assert [name for path in folder.iterdir() if (name := parse_name(path.name))] == [(3, 1)]


def test_each_boot_has_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "1"
    segment(folder, (1, b"a"), boot=3)
    segment(folder, (1, b"b"), boot=4)
    made(folder, (2, b"aa"), boot=3)
    made(folder, (1, b"b"), (2, b"bb"), boot=4)
    assert ring.rescue(folder, 0) == 2
    assert [r.payload for r in scan(folder / segment_name(3, 2))] == [b"aa", b""]
    assert [r.payload for r in scan(folder / segment_name(4, 2))] == [b"bb", b""]


def test_a_decision_is_found_by_its_sequence(tmp_path: Path) -> None:
    folder = tmp_path / "1"
    assert ring.find(folder, 3, 1) is None
    false = encode_record(RecordKind.DECISION, 7, b"of another salt", SALT + 1)
    made(folder, (5, b"five"), (6, b"six"), (7, b"seven"), torn=false)
    assert ring.find(folder, 3, 6) == b"six"
    assert ring.find(folder, 3, 7) == b"seven"
    assert ring.find(folder, 3, 8) is None
    assert ring.find(folder, 4, 6) is None


def test_forsaken_rings_are_swept_after_a_day(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()

    def forsaken(name: str, link: Path) -> Path:
        path = memory / f"quorate-{name}.ring"
        path.write_bytes(encode_header(Header(1, 3, 0, 5, SALT)) + bytes(100) + b"\0" + os.fsencode(link))
        os.utime(path, (1000.0, 1000.0))
        return path

    gone = forsaken("gone", tmp_path / "deleted" / "x.ring")
    linked = forsaken("linked", tmp_path / "linked.ring")
    (tmp_path / "linked.ring").symlink_to(linked)
    another = forsaken("another", tmp_path / "another.ring")
    (tmp_path / "another.ring").symlink_to(linked)
    living = forsaken("living", tmp_path / "deleted" / "y.ring")
    foreign = memory / "somebody-elses.ring"
    foreign.write_bytes(b"")
    os.utime(foreign, (1000.0, 1000.0))
    with living.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ring.sweep(memory, 1000.0 + 86_399)
        assert len(list(memory.iterdir())) == 5
        ring.sweep(memory, 1000.0 + 86_401)
    assert sorted(memory.iterdir()) == sorted([linked, living, foreign])
    assert not gone.exists()
    assert not another.exists()
