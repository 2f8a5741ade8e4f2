"""The newest decisions of an endpoint: from the ends of all journals, no more than is asked for."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from quorate.codecs import decision as decision_codec
from quorate.codecs import newest as module
from quorate.codecs import parquet
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader
from quorate.codecs.newest import newest
from quorate.control.journal.compact import compact
from quorate.core.types import Decision
from quorate.errors import JournalError
from quorate.ids import DecisionId

SALT, EACH = 5, 100


def decision(second: int, slot: int, sequence: int, endpoint: str) -> Decision:
    id_ = str(DecisionId(second * 1000, slot, 2, sequence))
    return Decision(
        id_, endpoint, 1, 0, "policy", float(second), 0.0, 5.0, {}, ("s",), (1.0,), "s", "s", (),
        np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), np.int8), np.float32([[0.5, 0.5]]), False, 1, b"",
        classes=("no", "yes"),
    )  # fmt: skip


class Journals:
    """Two slots with three segments each, whose decisions alternate in time; every fifth is of another endpoint."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.times: list[int] = []
        for slot in (0, 1):
            for part in range(3):
                self._segment(slot, part * EACH)
        self.times.sort(reverse=True)

    def path(self, slot: int, first: int) -> Path:
        return self.root / str(slot) / segment_name(2, first)

    def _segment(self, slot: int, first: int) -> None:
        path = self.path(slot, first)
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = [encode_header(Header(slot, 2, first, 1, SALT))]
        for sequence in range(first, first + EACH - 1):
            second, endpoint = 1000 + 2 * sequence + slot, "other" if sequence % 5 == 0 else "e"
            if endpoint == "e":
                self.times.append(second)
            payload = decision_codec.encode(decision(second, slot, sequence, endpoint))
            parts.append(encode_record(RecordKind.DECISION, sequence, payload, SALT))
        path.write_bytes(b"".join([*parts, encode_record(RecordKind.SEAL, first + EACH - 1, b"", SALT)]))

    def found(self, looked: int = 10_000) -> list[float]:
        return [each.arrived for each in newest(JournalReader(self.root), "e", looked=looked)]


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path)


def test_all_of_one_endpoint_the_newest_first(journals: Journals) -> None:
    assert journals.found() == journals.times


def test_no_more_is_read_than_is_asked_for(journals: Journals, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    records = module._records

    def counted(path: Path, sequences: list[int], offsets: list[int]) -> object:
        read.append(len(sequences))
        return records(path, sequences, offsets)

    monkeypatch.setattr(module, "_records", counted)
    some = newest(JournalReader(journals.root), "e", looked=10_000)
    assert [each.arrived for each in islice(some, 10)] == journals.times[:10]
    assert read == [module.AT_ONCE] * 2  # one piece a slot


def test_a_limit_counts_decisions_of_all_endpoints(journals: Journals) -> None:
    found = journals.found(looked=100)
    assert found == journals.times[: len(found)]
    assert len(found) == 80  # fifty a slot, of which every fifth is of another endpoint


def test_compacted_segments_are_read_too(journals: Journals) -> None:
    pytest.importorskip("pyarrow", reason="The extra 'arrow' is not installed")
    for segment in JournalReader(journals.root).segments()[1:4]:
        compact(segment)
    assert journals.found() == journals.times


def test_what_cannot_be_read_is_left_out(journals: Journals, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="The extra 'arrow' is not installed")
    compact(JournalReader(journals.root).segments()[0])
    path = journals.path(1, 2 * EACH)
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 40):
        data[at] ^= 0xFF  # a record or two
    path.write_bytes(bytes(data))
    found = journals.found()
    assert set(found) < set(journals.times)
    assert len(found) >= len(journals.times) - 3

    def missing() -> None:
        raise JournalError("The extra 'arrow' is not installed.")

    monkeypatch.setattr(parquet, "arrow", missing)
    first = {1000.0 + 2 * sequence for sequence in range(EACH)}  # of slot 0
    assert not {time for time in journals.found() if time % 2 == 0} & first


def test_no_journal_has_no_decisions(tmp_path: Path) -> None:
    assert list(newest(JournalReader(tmp_path / "none"), "e", looked=10)) == []
