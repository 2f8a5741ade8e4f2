"""Decisions and outcomes survive as columns, bit for bit."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.codecs import columnar, parquet, sidecar
from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.core.types import Decision, MemberRun, Outcome, Status
from quorate.errors import JournalError
from quorate.ids import DecisionId

pytest.importorskip("pyarrow")

ORIGIN = {"slot": 3, "boot": 1, "first": 0}
(ODD_NAN,) = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_DEAD_BEEF))
TEXTS = ["", "a", "é\0ü", "x" * 300, "🙂"]


def identity(i: int) -> str:
    return str(DecisionId(1000 + i, 3, 1, i))


def decision(rng: np.random.Generator, i: int) -> Decision:
    """A decision with everything that can be odd about one."""
    n, m, k = (int(x) for x in rng.integers(0, 4, 3))

    def text() -> str:
        return TEXTS[rng.integers(len(TEXTS))]

    def maybe(value: Any) -> Any:
        return None if rng.random() < 0.3 else value

    def number() -> float:
        odd = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), ODD_NAN, 5e-324, 1e16, 1.0]
        return odd[rng.integers(len(odd))] if rng.random() < 0.5 else float(rng.normal())

    def floats(*shape: int) -> Any:
        bits = rng.integers(0, 2**32, shape, np.uint64).astype(np.uint32)
        return bits.view("<f4").reshape(shape)  # any bits: every NaN payload, signalling ones too

    scalars: list[Any] = [text(), 2**64 - 1, -(2**63), True, None, number(), 1, 1.0]
    strategies = tuple(text() for _ in range(rng.integers(0, 4)))
    return Decision(
        id=identity(i) if i % 7 else text(),
        endpoint=text(),
        revision=int(rng.integers(0, 2**31)),
        state_version=0,
        source="policy" if i % 2 else "caller",
        arrived=number(),
        queue_ms=number(),
        latency_ms=number(),
        context={f"k{j}": scalars[rng.integers(len(scalars))] for j in range(rng.integers(0, 4))},
        strategies=strategies,
        propensities=tuple(number() for _ in strategies),
        assigned=text(),
        served=maybe(text()),
        members=tuple(
            MemberRun(text(), j, Status(int(rng.integers(3))), maybe(number()), maybe(text())) for j in range(m)
        ),
        outputs=floats(n, m, k),
        status=rng.integers(0, 3, (n, m)).astype(np.int8),
        answer=maybe(floats(n, k)),
        degraded=bool(rng.integers(2)),
        rows=n,
        input_digest=rng.bytes(int(rng.integers(0, 33))),
        output_kind="scores" if i % 3 else "values",
        classes=tuple(text() for _ in range(rng.integers(0, 3))),
        unit=maybe(text()),
        error=maybe(text()),
        abstained=bool(rng.integers(2)),
        capture=maybe(text()),
        request_id=maybe(text()),
        idempotency_key=maybe(text()),
        traceparent=maybe(text()),
        facts={f"f{j}": [text(), 2**53, -1.5, True, None][rng.integers(5)] for j in range(rng.integers(0, 3))},
        features=maybe(floats(n, 1 + i % 3)),
        withheld=tuple(rng.integers(0, 2**31 - 1, size=int(rng.integers(3))).tolist()),
    )


def write(path: Path, table: Any) -> None:
    with path.open("wb") as file:
        columnar.write(file, table)
    parquet.verify(path, table)


def test_every_field_of_every_decision_comes_back_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [(2 * i, decision(rng, i)) for i in range(parquet.ROW_GROUP + 300)]
    path = tmp_path / "x.parquet"
    write(path, columnar.decisions_table(rows, ORIGIN))
    found = list(columnar.read_decisions(path))
    assert [sequence for sequence, _ in found] == [sequence for sequence, _ in rows]
    for (_, before), (_, after) in zip(rows, found, strict=True):
        assert decision_codec.encode(after) == decision_codec.encode(before)
        assert repr(after.context) == repr(before.context)
    for row in (0, parquet.ROW_GROUP - 1, parquet.ROW_GROUP, len(rows) - 1):
        one = columnar.read_decision(path, row)
        assert one is not None
        assert decision_codec.encode(one) == decision_codec.encode(rows[row][1])
    assert columnar.read_decision(path, len(rows)) is None


def test_what_the_release_before_wrote_has_no_facts(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = [(i, decision(rng, i)._replace(facts={})) for i in range(20)]
    table = columnar.decisions_table(rows, ORIGIN)
    table = table.drop_columns(["facts"]).replace_schema_metadata(table.schema.metadata | {b"quorate.format": b"1"})
    path = tmp_path / "x.parquet"
    with path.open("wb") as file:
        columnar.write(file, table)
    found = [each for _, each in columnar.read_decisions(path)]
    assert [decision_codec.encode(each) for each in found] == [decision_codec.encode(each) for _, each in rows]


def test_outcomes_come_back_with_the_type_of_their_truth(tmp_path: Path) -> None:
    outcomes = [
        Outcome(identity(0), 0, "yes", {}, "user", 1.5, 2.5),
        Outcome(identity(1), 3, 0.1, {}, "expert", 1.0, 2.0),
        Outcome(identity(2), 0, 7, {}, "é", 1.0, 2.0),
        Outcome(identity(3), 2**31 - 1, None, {"reward": -0.0, "b": 1e300}, "user", 1.0, 2.0),
    ]
    path = tmp_path / "x.outcomes.parquet"
    write(path, columnar.outcomes_table(list(enumerate(outcomes)), ORIGIN))
    found = list(columnar.read_outcomes(path))
    assert [sequence for sequence, _ in found] == [0, 1, 2, 3]
    assert [outcome_codec.encode(o) for _, o in found] == [outcome_codec.encode(o) for o in outcomes]
    assert [type(o.truth) for _, o in found] == [str, float, int, type(None)]


def test_no_records_are_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write(path, columnar.decisions_table([], ORIGIN))
    assert list(columnar.read_decisions(path)) == []


def test_the_columns_are_typed_and_say_where_they_are_from(tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    rng = np.random.default_rng(2)
    path = tmp_path / "x.parquet"
    write(path, columnar.decisions_table([(0, decision(rng, 1))], ORIGIN))
    schema = parquet.read_schema(path)
    assert {key: schema.metadata[key] for key in (b"quorate.format", b"quorate.slot")} == {
        b"quorate.format": b"3",
        b"quorate.slot": b"3",
    }
    assert str(schema.field("outputs").type) == "list<element: float>"
    assert str(schema.field("latency_ms").type) == "double"


def test_what_was_not_written_as_it_should_be_is_noticed(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = [(i, decision(rng, i)) for i in range(1, 4)]
    path = tmp_path / "x.parquet"
    write(path, columnar.decisions_table(rows, ORIGIN))
    with pytest.raises(JournalError, match="not written as it should be"):
        parquet.verify(path, columnar.decisions_table(rows[:2], ORIGIN))
    rows[1] = (rows[1][0], decision(rng, 2))
    with pytest.raises(JournalError, match=r"column '.*' differs"):
        parquet.verify(path, columnar.decisions_table(rows, ORIGIN))


def test_a_damaged_or_newer_file_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    path = tmp_path / "x.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(parquet, "FORMAT", 99)
        write_newer = columnar.decisions_table([(0, decision(rng, 1))], ORIGIN)
        with path.open("wb") as file:
            columnar.write(file, write_newer)
    with pytest.raises(JournalError, match="format 99; this release reads"):
        list(columnar.read_decisions(path))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(JournalError, match="cannot be read"):
        list(columnar.read_decisions(path))


def test_without_the_extra_reading_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    parquet.arrow.cache_clear()
    monkeypatch.setattr(parquet, "import_module", missing)
    try:
        with pytest.raises(JournalError, match=r"pip install 'quorate\[arrow\]'"):
            list(columnar.read_decisions(tmp_path / "x.parquet"))
    finally:
        parquet.arrow.cache_clear()


def test_the_index_knows_ids_rows_and_classes() -> None:
    rng = np.random.default_rng(5)
    rows = [(i, decision(rng, i)) for i in range(200)]
    index = sidecar.Sidecar(sidecar.encode(rows, 3, 1))
    assert len(index) == 200
    for i, d in rows:
        row = index.row(DecisionId(1000 + i, 3, 1, i))
        if i % 7 == 0:  # its id is not one of that place, so nobody can ask for it
            assert row is None
            continue
        assert row == i
        assert index.outline(i) == (d.endpoint, d.output_kind, d.classes, d.rows)
    assert index.row(DecisionId(1002, 3, 1, 1)) is None  # another time: an id of another project
    assert index.row(DecisionId(1200, 3, 1, 200)) is None


def test_a_damaged_or_newer_index_is_refused() -> None:
    data = bytearray(sidecar.encode([], 0, 0))
    sidecar.Sidecar(bytes(data))
    for at in range(len(data)):
        if at in (6, 7):  # reserved
            continue
        wrong = bytearray(data)
        wrong[at] ^= 1
        with pytest.raises(JournalError, match=r"damaged|has format"):
            sidecar.Sidecar(bytes(wrong))
    for size in range(len(data)):
        with pytest.raises(JournalError, match="damaged"):
            sidecar.Sidecar(bytes(data[:size]))
