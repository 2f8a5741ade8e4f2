"""Captured inputs survive encoding exactly; hostile bytes are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from quorate.codecs import capture as codec
from quorate.codecs.capture import Capture
from quorate.codecs.capture_reader import CaptureReader, Losses
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.errors import InvalidInput, JournalError
from quorate.ids import DecisionId

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
number = st.floats(allow_nan=False)
scalar = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | number | text
numbers = st.sampled_from(["?", "i1", "u1", "<i4", ">i8", "<u2", "<f2", ">f4", "<f8"]).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3))
)
images = st.lists(st.binary(max_size=9) | arrays.arrays("u1", (2, 3)), min_size=1, max_size=3)
captures = st.builds(
    Capture,
    id=text,
    endpoint=text,
    revision=st.integers(0, 2**31),
    arrived=number,
    rows=st.integers(0, 2**31),
    share=st.floats(0, 1),
    inputs=st.dictionaries(text, numbers | st.lists(text, max_size=3) | images, max_size=3),
    only=st.lists(text, max_size=2).map(tuple),
    context=st.dictionaries(text, scalar, max_size=3),
    unit=st.none() | text,
    removed=st.lists(text, max_size=2).map(tuple),
    hashed=st.lists(text, max_size=2).map(tuple),
    erased=st.none() | text,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        little = one.dtype.newbyteorder("<")
        return (other.dtype, other.shape, other.tobytes()) == (little, one.shape, one.astype(little).tobytes())
    return len(one) == len(other) and all(
        same(a, b) if isinstance(a, np.ndarray) else a == b for a, b in zip(one, other, strict=True)
    )


@given(captures)
def test_decoding_is_exact(capture: Capture) -> None:
    read = codec.decode(codec.encode(capture))
    assert read._replace(inputs={}) == capture._replace(inputs={})
    assert list(read.inputs) == list(capture.inputs)
    for name, column in capture.inputs.items():
        assert same(column, read.inputs[name]), name


@given(captures, st.data())
def test_a_changed_byte_is_read_or_refused_and_never_anything_else(capture: Capture, data: st.DataObject) -> None:
    good = bytearray(codec.encode(capture))
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = codec.decode(bytes(good))
    except JournalError:
        return
    assert isinstance(read, Capture)


def test_object_columns_count_as_text() -> None:
    made = Capture("i", "e", 1, 0.0, 2, 1.0, {"name": np.array(["a", "bc"], object), "town": np.array(["x", "y"])})
    assert codec.decode(codec.encode(made)).inputs == {"name": ["a", "bc"], "town": ["x", "y"]}


@pytest.mark.parametrize("column", [np.array([1 + 2j]), ["\ud800"], np.array(["\ud800"], object)])
def test_what_cannot_be_kept_is_refused(column: Any) -> None:
    with pytest.raises(InvalidInput, match="cannot be kept"):
        codec.encode(Capture("i", "e", 1, 0.0, 1, 1.0, {"x": column}))


@pytest.mark.parametrize(
    "column",
    [
        ("n", "|O8", [1], b"12345678"),
        ("n", "<f4", [2**40, 2**40], b""),
        ("n", "<f4", [-1], b""),
        ("n", "junk", [0], b""),
    ],
)
def test_numbers_are_never_taken_at_their_word(column: Any) -> None:
    fields = ["i", "e", 1, 0.0, 1, 1.0, {"x": column}, [], {}, None, [], [], None]
    with pytest.raises(JournalError, match="cannot be read"):
        codec.decode(b"\x01" + msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("data", [b"", b"\x02\x90"])
def test_unknown_versions_are_refused(data: bytes) -> None:
    with pytest.raises(JournalError, match=r"this release reads \[1\]"):
        codec.decode(data)


def test_weighing_counts_what_is_held() -> None:
    raw = {"input": np.zeros((3, 4)), "image": [b"123", np.zeros((2, 2), "u1")], "name": np.array(["a"], object)}
    assert codec.weigh(raw) == 96 + 7 + 64


def made(sequence: int, **changes: Any) -> Capture:
    return Capture(str(DecisionId(5, 1, 2, sequence)), "shop", 1, 9.0, 1, 0.5, {"x": np.array([sequence])})._replace(
        **changes
    )


def write(root: Path, first: int, captures_: list[tuple[int, bytes]]) -> Path:
    path = root / "shop" / "1" / segment_name(2, first)
    path.parent.mkdir(parents=True, exist_ok=True)
    records = b"".join(encode_record(RecordKind.CAPTURE, at, payload, 7) for at, payload in captures_)
    path.write_bytes(encode_header(Header(1, 2, first, 1, 7)) + records)
    return path


def test_an_input_is_found_by_its_decision_and_damage_costs_only_what_it_hits(tmp_path: Path) -> None:
    path = write(tmp_path, 3, [(s, codec.encode(made(s))) for s in (3, 5, 8)])
    write(tmp_path, 9, [(9, codec.encode(made(9, erased="abc"))), (12, b"\x63of a newer release")])
    reader = CaptureReader(tmp_path)
    assert reader.endpoints() == ["shop"]
    found = reader.find("shop", str(DecisionId(5, 1, 2, 5)))
    assert found is not None
    assert found.inputs["x"].tolist() == [5]  # type: ignore[union-attr]
    for other in (DecisionId(6, 1, 2, 5), DecisionId(5, 1, 2, 4), DecisionId(5, 1, 3, 5), DecisionId(5, 1, 2, 9)):
        assert reader.find("shop", str(other)) is None
    data = bytearray(path.read_bytes())
    data[data.index(made(5).id.encode())] ^= 1
    path.write_bytes(data)
    losses = Losses()
    assert [c.id for c in reader.captures("shop", losses)] == [made(3).id, made(8).id]
    assert losses.damaged > 0
    assert losses.unreadable == 1
    assert math.isclose(next(reader.captures("shop")).share, 0.5)
    assert list(CaptureReader(tmp_path / "none").captures("shop")) == []
