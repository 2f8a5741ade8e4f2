"""FlatBuffers are read as they were written, and never beyond their end."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.flatbuffer import Malformed, View, field
from quorate.testing.tflite import Number, Numbers, flatbuffer

WRITTEN = flatbuffer(
    {
        0: Number("I", 7),
        1: "ünï",
        2: Numbers("i", [-1, 2, 3]),
        4: [{0: Number("q", -5)}, {}, {1: "b"}],
        5: Numbers("B", b"abc", 16),
        6: {0: Numbers("q", [9], 8)},
    },
    b"TEST",
)


def test_what_was_written_is_read() -> None:
    view = View(WRITTEN)
    fields = view.fields(view.follow(0))
    assert len(fields) == 7
    assert view.number("I", fields[0]) == 7
    assert view.text(fields[1]) == "ünï"
    assert view.numbers(fields[2], "i") == (-1, 2, 3)
    assert fields[3] == 0
    assert field(fields, 3) == field(fields, 99) == 0
    first, empty, last = view.tables(fields[4])
    assert view.number("q", view.fields(first)[0]) == -5
    assert view.fields(empty) == ()
    assert view.text(view.fields(last)[1]) == "b"
    start, count = view.vector(fields[5], 1)
    assert WRITTEN[start : start + count] == b"abc"
    assert start % 16 == 0
    inside = view.fields(view.follow(fields[6]))
    assert view.numbers(inside[0], "q") == (9,)


def test_what_is_not_there_is_empty() -> None:
    view = View(WRITTEN)
    assert view.tables(0) == []
    assert view.numbers(0, "i") == ()
    assert view.text(0) == ""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no number at byte 0 of 0"),
        (struct.pack("<I", 0), "the offset at byte 0 leads nowhere"),  # to itself
        (struct.pack("<I", 400), "leads nowhere"),
        (struct.pack("<Ii", 4, 400), "has its vtable outside"),
        (struct.pack("<IiHH", 4, -4, 3, 4), "the vtable at byte 8 is cut off"),  # an odd length
        (struct.pack("<IiHH", 4, -4, 40, 4), "the vtable at byte 8 is cut off"),
        (struct.pack("<IiHH", 4, -4, 4, 40), "the table at byte 4 is cut off"),
        (struct.pack("<IiHHH", 4, -4, 6, 4, 4), "has a field outside"),
    ],
)
def test_broken_tables(data: bytes, message: str) -> None:
    view = View(data)
    with pytest.raises(Malformed, match=message):
        view.fields(view.follow(0))


def test_broken_lists_and_texts() -> None:
    with pytest.raises(Malformed, match="the list at byte 4 is cut off"):
        View(struct.pack("<III", 4, 2, 0)).vector(0, 4)
    with pytest.raises(Malformed, match="the text at byte 12 does not end"):
        View(struct.pack("<III", 0, 4, 1) + b"ab").text(4)
    assert View(struct.pack("<III", 0, 4, 1) + b"\xff\0").text(4) == "\\xff"


@given(st.integers(0, len(WRITTEN) - 1), st.integers(0, 255), st.integers(0, len(WRITTEN)))
def test_damage_is_an_error_or_another_file_but_nothing_worse(at: int, byte: int, end: int) -> None:
    data = bytearray(WRITTEN)
    data[at] = byte
    view = View(bytes(data[:end]))
    try:
        fields = view.fields(view.follow(0))
        view.text(field(fields, 1))
        view.numbers(field(fields, 2), "i")
        for table in view.tables(field(fields, 4)):
            view.fields(table)
    except Malformed:
        pass
