"""Lessons as bytes: they come back as they were, in few bytes, and damage is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.codecs import lessons
from quorate.errors import FormatRefused
from quorate.ids import DecisionId

IDS = st.builds(
    lambda *parts: str(DecisionId(*parts)),
    st.integers(0, 2**48 - 1),
    st.integers(0, 2**12 - 1),
    st.integers(0, 2**22 - 1),
    st.integers(0, 2**40 - 1),
)
TRUTHS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(IDS, st.integers(0, 2**31), TRUTHS), max_size=40))
def test_they_come_back_in_their_order(given: list[tuple[str, int, float]]) -> None:
    ids, rows, truths = ([each[i] for each in given] for i in range(3))
    found = lessons.unpack(lessons.pack(ids, rows, truths))
    assert (found.decisions, found.rows.tolist(), found.truths.tolist()) == (ids, rows, truths)
    assert found.truths.tobytes() == np.array(truths, np.float64).tobytes()
    seen = lessons.unpack(lessons.pack(ids))
    assert (seen.decisions, len(seen.rows), len(seen.truths)) == (ids, 0, 0)


def test_a_thousand_lessons_of_traffic_are_a_few_bytes_each() -> None:
    rng = np.random.default_rng(0)
    times = 1_700_000_000_000 + rng.integers(0, 20, 1000).cumsum()
    ids = [str(DecisionId(int(t), 1, 7, 2 * i)) for i, t in enumerate(times)]
    packed = lessons.pack(ids, [0] * 1000, rng.integers(0, 10, 1000).tolist())
    assert len(packed) < 3000
    assert len(lessons.pack(ids)) < 2000


def test_lessons_of_some_decisions_are_taken_out() -> None:
    ids = [str(DecisionId(i, 0, 0, i)) for i in (1, 1, 2, 3)]
    left = lessons.unpack(lessons.pack(ids, [0, 1, 0, 0], [5.0, 6.0, 7.0, 8.0])).without({ids[0], ids[3]})
    assert (left.decisions, left.rows.tolist(), left.truths.tolist()) == ([ids[2]], [0], [7.0])


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02\x00\x00\x00\x00\x00", b"\x01\x01\x00\x00\x00\x01nonsense"])
def test_what_is_damaged_or_newer_is_refused(data: bytes) -> None:
    with pytest.raises(FormatRefused, match="Lessons"):
        lessons.unpack(data)


def test_a_wrong_number_of_them_is_refused() -> None:
    data = bytearray(lessons.pack([str(DecisionId(1, 0, 0, 1))], [0], [1.0]))
    data[1] = 2
    with pytest.raises(FormatRefused, match="other numbers"):
        lessons.unpack(bytes(data))
