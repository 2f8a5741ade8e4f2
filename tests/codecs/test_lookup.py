"""Looking decisions up by id, in journals that grow, rotate and break."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quorate.codecs import decision as decision_codec
from quorate.codecs import ring
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader
from quorate.core.types import Decision
from quorate.errors import InvalidInput
from quorate.ids import DecisionId

SALT = 7


def identity(sequence: int, *, boot: int = 0, slot: int = 1, ms: int = 1000) -> DecisionId:
    return DecisionId(ms + sequence, slot, boot, sequence)


def decision(id_: DecisionId) -> Decision:
    nothing = np.zeros((1, 0, 0), np.float32)
    return Decision(
        str(id_), "e", 1, 0, "policy", 1.0, 0.0, 1.0, {}, ("s",), (1.0,), "s", "s", (),
        nothing, np.zeros((1, 0), np.int8), None, False, 1, b"",
    )  # fmt: skip


def record(id_: DecisionId, stored: DecisionId | None = None) -> bytes:
    return encode_record(RecordKind.DECISION, id_.sequence, decision_codec.encode(decision(stored or id_)), SALT)


def begin(root: Path, first: int, *, boot: int = 0, slot: int = 1) -> Path:
    path = root / str(slot) / segment_name(boot, first)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_header(Header(slot, boot, first, 1, SALT)))
    return path


def extend(path: Path, *records: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(records))


def test_finds_every_decision_of_every_slot_boot_and_segment(tmp_path: Path) -> None:
    ids = []
    for slot in (0, 1, 4095):
        for boot in (0, 3):
            for first in (0, 5, 7):
                path = begin(tmp_path, first, boot=boot, slot=slot)
                here = [identity(first + i, boot=boot, slot=slot) for i in range({0: 5, 5: 2, 7: 4}[first])]
                extend(path, *map(record, here))
                ids += here
    reader = JournalReader(tmp_path, cached=2)
    for id_ in ids + ids[::-1]:
        found = reader.find(str(id_))
        assert found is not None
        assert found.id == str(id_)
    assert [s.path for s in reader.segments()] == sorted(
        tmp_path.glob("*/*.qj"), key=lambda p: (int(p.parent.name), p.name)
    )


def test_all_decisions_come_in_the_order_written(tmp_path: Path) -> None:
    ids = [identity(i, slot=slot) for slot in (0, 1) for i in (0, 1, 5)]
    for slot in (0, 1):
        extend(begin(tmp_path, 0, slot=slot), *(record(i) for i in ids if i.slot == slot and i.sequence < 5))
        extend(begin(tmp_path, 5, slot=slot), *(record(i) for i in ids if i.slot == slot and i.sequence >= 5))
    reader = JournalReader(tmp_path)
    assert [found.id for found in reader.decisions()] == [str(i) for i in ids]
    listed = reader.files()
    listed[0].path.unlink()  # deleted between the listing and the reading
    reader.files = lambda: listed  # type: ignore[method-assign]
    assert [found.id for found in reader.decisions()] == [str(i) for i in ids[2:]]


def in_ring(root: Path, boot: int, *records: bytes) -> None:
    """A ring of the slot 1 with these records, overwritten ones among them."""
    memory = root / f"memory-{boot}"
    memory.write_bytes(begin(root / "elsewhere", 0, boot=boot).read_bytes() + b"".join(records) + bytes(100))
    ring.link_of(root / "1", boot).symlink_to(memory)


def test_all_decisions_are_those_that_the_disk_does_not_have_yet_as_well(tmp_path: Path) -> None:
    ids = [identity(sequence) for sequence in range(1, 6)]
    extend(begin(tmp_path, 0), record(ids[0]), record(ids[1]))
    extend(begin(tmp_path, 3), record(ids[2]))
    reader = JournalReader(tmp_path)
    in_ring(tmp_path, 0, record(ids[4]), record(ids[1]), record(ids[2]), record(ids[3]))
    assert [d.id for d in reader.decisions()] == [str(id_) for id_ in ids]
    assert [reader.find(id_) is not None for id_ in ids] == [True] * 5


def test_what_is_deleted_does_not_come_again_from_a_ring(tmp_path: Path) -> None:
    ids = [identity(sequence) for sequence in range(1, 4)]
    begin(tmp_path, 3)  # the one before was too old
    in_ring(tmp_path, 0, record(ids[0]), record(ids[1]), record(ids[2]))
    assert [d.id for d in JournalReader(tmp_path).decisions()] == [str(ids[2])]
    assert ring.rescue(tmp_path / "1", 0.0) == 1


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    extend(begin(tmp_path, 5), record(identity(5)), encode_record(RecordKind.OUTCOME, 6, b"\x01", SALT))
    reader = JournalReader(tmp_path)
    assert reader.find(identity(5)) is not None
    for missing in (identity(4), identity(6), identity(7), identity(5, boot=1), identity(5, slot=2)):
        assert reader.find(missing) is None


def test_the_same_place_with_another_id_is_not_it(tmp_path: Path) -> None:
    """After a restored backup the place may be taken by another decision."""
    extend(begin(tmp_path, 0), record(identity(0), stored=identity(0, ms=9)))
    assert JournalReader(tmp_path).find(identity(0, ms=1000)) is None
    assert JournalReader(tmp_path).find(identity(0, ms=9)) is not None


def test_follows_a_segment_that_grows_and_one_that_begins(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path)
    assert reader.find(identity(0)) is None
    assert reader.segments() == []
    path = begin(tmp_path, 0)
    assert reader.find(identity(0)) is None
    for i in range(3):
        extend(path, record(identity(i)))
        assert reader.find(identity(i)) is not None
    extend(path, record(identity(3))[:-1])
    assert reader.find(identity(3)) is None
    extend(path, record(identity(3))[-1:])
    assert reader.find(identity(3)) is not None
    extend(begin(tmp_path, 4), record(identity(4)))
    assert reader.find(identity(4)) is not None
    assert reader.find(identity(2)) is not None


def test_a_removed_segment_is_missed_quietly(tmp_path: Path) -> None:
    path = begin(tmp_path, 0)
    extend(path, record(identity(0)))
    reader = JournalReader(tmp_path)
    assert reader.find(identity(0)) is not None
    path.unlink()
    assert reader.find(identity(0)) is None


def test_a_record_damaged_after_it_was_indexed_is_not_returned(tmp_path: Path) -> None:
    path = begin(tmp_path, 0)
    extend(path, record(identity(0)), record(identity(1)))
    reader = JournalReader(tmp_path)
    assert reader.find(identity(0)) is not None
    raw = bytearray(path.read_bytes())
    raw[60] ^= 1
    path.write_bytes(bytes(raw))
    assert reader.find(identity(0)) is None
    assert reader.find(identity(1)) is not None


def test_stray_files_are_no_segments(tmp_path: Path) -> None:
    extend(begin(tmp_path, 0), record(identity(0)))
    (tmp_path / "1" / "notes.txt").write_text("x")
    (tmp_path / "README").write_text("x")
    reader = JournalReader(tmp_path)
    assert len(reader.segments()) == 1
    assert reader.find(identity(0)) is not None


@pytest.mark.parametrize("text", ["", "x", "0190b3a0-1234-4000-8000-000000000001"])
def test_what_is_not_an_id_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match="not a decision id"):
        JournalReader(tmp_path).find(text)
