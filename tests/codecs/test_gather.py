"""Many decisions at once: what looking each of them up would give, compacted or not, damaged or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quorate.codecs import decision as decision_codec
from quorate.codecs import parquet
from quorate.codecs.decision import Packed
from quorate.codecs.gather import FEW, gather
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader
from quorate.control.journal.compact import compact
from quorate.core.types import Decision
from quorate.errors import JournalError
from quorate.ids import DecisionId

SALT, EACH = 5, 3 * FEW


def decision(id_: str) -> Decision:
    return Decision(
        id_, "e", 1, 0, "policy", 600.0, 0.0, 5.0, {}, ("s",), (1.0,), "s", "s", (),
        np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), np.int8), np.float32([[0.5, 0.5]]), False, 1, b"",
        classes=("no", "yes"),
    )  # fmt: skip


class Written:
    """Journals of two slots, three segments each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ids: list[str] = []
        for slot in (0, 1):
            for part in range(3):
                self._segment(slot, part * EACH)

    def _segment(self, slot: int, first: int) -> None:
        path = self.root / str(slot) / segment_name(2, first)
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = [encode_header(Header(slot, 2, first, 1, SALT))]
        for sequence in range(first, first + EACH - 1):
            id_ = str(DecisionId(1000 + sequence, slot, 2, sequence))
            kind, payload = RecordKind.DECISION, decision_codec.encode(decision(id_))
            if sequence % 7 == 3:
                kind, payload = RecordKind.CHANGE, b"no decision"
            else:
                self.ids.append(id_)
            parts.append(encode_record(kind, sequence, payload, SALT))
        path.write_bytes(b"".join([*parts, encode_record(RecordKind.SEAL, first + EACH - 1, b"", SALT)]))

    @property
    def reader(self) -> JournalReader:
        return JournalReader(self.root)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


def check(written: Written, ids: list[str]) -> dict[str, Packed | JournalError | None]:
    """What is gathered, after seeing that it is what looking up gives."""
    found = list(gather(written.reader, ids))
    assert sorted(id_ for id_, _ in found) == sorted(set(ids))
    reader = written.reader
    for id_, one in found:
        assert not isinstance(one, JournalError)
        alone = reader.find(id_)
        assert (one and one.id) == (alone and alone.id)
        assert one is None or one == decision_codec.pack(alone)
    return dict(found)


def test_all_of_them_in_the_order_written(written: Written) -> None:
    ids = list(np.random.default_rng(1).permutation(written.ids))
    assert [id_ for id_, _ in gather(written.reader, ids)] == written.ids
    assert all(check(written, ids).values())


def test_few_of_each_and_again(written: Written) -> None:
    ids = [*written.ids[::40], *written.ids[::40]]
    assert all(check(written, ids).values())


def test_ids_that_nothing_has(written: Written) -> None:
    missing = [
        str(DecisionId(1, 0, 2, 0)),  # another time
        str(DecisionId(1003, 0, 2, 3)),  # no decision
        str(DecisionId(1000, 0, 1, 0)),  # another boot
        str(DecisionId(1000, 7, 2, 0)),  # another slot
        str(DecisionId(9000, 1, 2, 9000)),  # not yet
        written.ids[0].replace("-7", "-4", 1),  # not of version 7
        f"\u00e9{written.ids[1][1:]}",
        "no id",
        "",
    ]
    for ids in (missing, [*missing, *written.ids]):
        found = dict(gather(written.reader, ids))
        assert [found[id_] for id_ in missing] == [None] * 9
        assert sum(one is not None for one in found.values()) == len(ids) - 9


def test_ids_written_otherwise_are_the_same_ids(written: Written) -> None:
    ids = [written.ids[EACH + 1].upper(), *written.ids[EACH : EACH + FEW + 2]]
    assert ids[0] != ids[2]
    assert all(check(written, ids).values())


def test_damage_costs_what_it_hits(written: Written) -> None:
    path = written.root / "1" / segment_name(2, EACH)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle] ^= 0xFF
    path.write_bytes(bytes(data))
    found = check(written, written.ids)
    assert sum(one is None for one in found.values()) <= 1
    data[middle - 400 : middle + 400] = b"\xff" * 800  # lengths as well
    path.write_bytes(bytes(data))
    lost = sum(one is None for one in check(written, written.ids).values())
    assert 1 <= lost <= 8


def test_a_torn_end_is_not_there_yet(written: Written) -> None:
    path = written.root / "0" / segment_name(2, 0)
    whole = path.read_bytes()
    for cut in (len(whole) // 2, len(whole) // 2 + 3, 20):
        path.write_bytes(whole[:cut])
        check(written, written.ids)


def test_records_too_new_are_errors_of_their_own(written: Written) -> None:
    path = written.root / "0" / segment_name(2, 0)
    id_ = str(DecisionId(1000, 0, 2, 0))
    record = encode_record(RecordKind.DECISION, 0, b"\x63?", SALT)
    path.write_bytes(encode_header(Header(0, 2, 0, 1, SALT)) + record)
    for ids in ([id_], [id_, *written.ids[1:EACH]]):
        found = dict(gather(written.reader, ids))
        assert isinstance(found[id_], JournalError)


@pytest.mark.skipif(not parquet.available(), reason="needs the extra arrow")
def test_compacted_files_are_read_by_rows(written: Written) -> None:
    for segment in written.reader.segments()[1:5]:
        compact(segment)
    assert all(check(written, written.ids).values())
    assert all(check(written, written.ids[::2]).values())
    assert all(check(written, written.ids[::50]).values())
    (written.root / "0" / segment_name(2, EACH).replace(".qj", ".parquet")).unlink()
    found = check(written, written.ids)
    assert 0 < sum(one is None for one in found.values()) < EACH
