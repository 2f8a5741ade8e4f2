"""Where decisions lie: found by reading, or passed on by who read; forgotten when the file is another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, payload_at, scan
from quorate.codecs.offsets import Offsets

SALT = 3


def segment(sequences: Sequence[int], *, sealed: bool = False) -> bytes:
    """Decisions of some sequences, an outcome after each of them."""
    parts = [encode_header(Header(0, 0, sequences[0], 1, SALT))]
    for each in sequences:
        parts.append(encode_record(RecordKind.DECISION, each, b"d%d" % each, SALT))
        parts.append(encode_record(RecordKind.OUTCOME, each + 1, b"o", SALT))
    return b"".join([*parts, encode_record(RecordKind.SEAL, sequences[-1] + 2, b"", SALT) if sealed else b""])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0000000-0000000000010.qj"


def check(known: Offsets, path: Path, sequences: Sequence[int]) -> None:
    data = path.read_bytes()
    offsets = known.of(np.array([*sequences, 5, 11, 10**9], np.uint64)).tolist()
    assert offsets[-3:] == [-1, -1, -1]
    for sequence, offset in zip(sequences, offsets, strict=False):
        assert known.offset(sequence) == offset
        assert payload_at(data, offset, sequence, SALT) == b"d%d" % sequence
        assert payload_at(data, offset, sequence + 2, SALT) is None
        assert payload_at(data[: offset + 19], offset, sequence, SALT) is None
    assert known.offset(11) is None


def test_it_grows_with_the_file(path: Path) -> None:
    known = Offsets()
    whole = segment([10, 12, 14], sealed=True)
    path.write_bytes(whole[:50])
    known.update(path)
    assert known.of(np.array([10], np.uint64)).tolist() == [-1]
    for size in (100, len(whole) - 5, len(whole)):
        path.write_bytes(whole[:size])
        known.update(path)
    check(known, path, [10, 12, 14])
    assert known.sealed


def test_what_others_read_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(segment([10, 12, 14], sealed=True))
    known, found = Offsets(), scan(path)
    for count, _ in enumerate(found, 1):
        if count % 2 == 0:
            known.extend(path, found.passed())
    assert not known.sealed
    known.extend(path, found.passed())
    monkeypatch.setattr("quorate.codecs.offsets.scan", None)
    known.update(path)
    check(known, path, [10, 12, 14])


def test_a_stretch_that_does_not_follow_is_no_help(path: Path) -> None:
    path.write_bytes(segment([10, 12, 14], sealed=True))
    found = scan(path)
    records = iter(found)
    next(records)
    found.passed()
    list(records)
    known = Offsets()
    known.extend(path, found.passed())
    assert known.end == 0
    known.update(path)
    check(known, path, [10, 12, 14])


def test_another_file_in_its_place_is_read_from_the_start(path: Path) -> None:
    path.write_bytes(segment([10, 12, 14], sealed=True))
    known = Offsets()
    known.update(path)
    other = path.with_suffix(".new")
    other.write_bytes(segment([10, 14], sealed=True))
    other.replace(path)
    known.update(path)
    check(known, path, [10, 14])
    assert known.offset(12) is None
