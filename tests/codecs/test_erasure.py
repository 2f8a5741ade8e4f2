"""A subject's records are taken out of a file, of this release's format and of the one before."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.codecs import columnar, erasure
from quorate.core.erasing import Subject, blanked
from quorate.core.record import KeyedHash
from quorate.core.types import Decision
from quorate.errors import JournalError
from quorate.ids import DecisionId


def decision(i: int, unit: str | None) -> Decision:
    return Decision(
        str(DecisionId(1000 + i, 0, 0, i)), "shop", 1, 0, "policy", 1.0, 0.0, 1.0, {"user": unit, "x": math.nan},
        ("s",), (1.0,), "s", "s", (), np.full((1, 2, 2), np.nan, "f4"), np.zeros((1, 2), "i1"), None, False, 1, b"z",
        classes=("a", "b"), unit=unit, request_id="r", facts={"input.rows": 1},
        features=None if unit is None else np.array([[i, np.nan, 0.1]], "f4"),
    )  # fmt: skip


@pytest.mark.parametrize("old", [False, True], ids=["format 3", "format 1"])
def test_columns_are_as_the_decisions_would_be(tmp_path: Path, old: bool) -> None:
    pytest.importorskip("pyarrow")
    made = [decision(i, unit) for i, unit in enumerate(["ann", "bob", None, "ann"])]
    table = columnar.decisions_table(list(enumerate(made)), {"slot": 0})
    if old:
        table = table.drop_columns(["facts", "features", "feature_width"])
        table = table.replace_schema_metadata(table.schema.metadata | {b"quorate.format": b"1"})
    path = tmp_path / "0000000-0000000000000.parquet"
    with path.open("wb") as file:
        columnar.write(file, table)
    wanted = {made[0].id, made[2].id, made[3].id}

    def match(id_: str, endpoint: str, context: dict[str, Any], unit: str | None) -> bool:
        assert math.isnan(context["x"])
        return id_ in wanted

    taken = erasure.erase_columns(path, match, "t", dry_run=False)
    assert set(taken.ids) == wanted
    found = [d for _, d in columnar.read_decisions(path)]
    for before, after in zip(made, found, strict=True):
        expected = blanked(before, "t") if before.id in wanted else before
        expected = expected._replace(facts={}, features=None) if old else expected
        for field in Decision._fields:
            if field == "context":
                assert repr(dict(after.context)) == repr(dict(expected.context))
            elif isinstance(getattr(expected, field), np.ndarray):
                assert getattr(after, field).tobytes() == getattr(expected, field).tobytes()
            else:
                assert getattr(after, field) == getattr(expected, field), field
    again = erasure.erase_columns(path, lambda i, e, c, u: i in wanted, "t", dry_run=False)
    assert (again.ids, set(again.before)) == ([], wanted)
    other = erasure.erase_columns(path, lambda i, e, c, u: i in wanted, "other", dry_run=False)
    assert (other.ids, other.before) == ([], [])  # erased is erased


def test_columns_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "x.parquet"
    path.write_bytes(b"no columns")
    with pytest.raises(JournalError, match="cannot be read"):
        erasure.erase_columns(path, lambda i, e, c, u: True, "t", dry_run=False)
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]


@pytest.mark.parametrize(
    ("subject", "context", "unit", "is_it"),
    [
        (Subject(KeyedHash("s")(42), key="id"), {"id": 42}, None, True),
        (Subject(KeyedHash("s")("42"), key="id"), {"id": 42}, None, True),  # values count as text
        (Subject(KeyedHash("s")(42), key="id"), {"id": KeyedHash("s")(42)}, None, True),
        (Subject(KeyedHash("s")(42), key="id"), {"id": KeyedHash("other")(42)}, None, False),
        (Subject(KeyedHash("s")(42), key="id"), {"other": 42}, "42", False),
        (Subject(KeyedHash("s")(42), key="id", unit=True), {}, "42", True),
        (Subject(KeyedHash("s")("None"), key="id", unit=True), {"id": None}, None, False),
        (Subject(decisions=frozenset(["d"])), {"id": 42}, "42", True),
        (Subject(), {"id": ""}, "", False),
    ],
)
def test_a_subject_is_known_by_its_keyed_hash(subject: Any, context: Any, unit: Any, is_it: bool) -> None:
    assert subject.matches("d", context, unit, KeyedHash("s")) is is_it
