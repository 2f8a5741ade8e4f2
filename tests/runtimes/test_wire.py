"""Frames come out as they went in, and nonsense is an error, never a crash or a huge allocation."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from quorate.errors import SignatureViolation
from quorate.runtimes import wire

TENSOR = arrays.arrays(
    st.sampled_from([np.dtype(code) for code in "?bhilqBHILQefd"]), arrays.array_shapes(min_dims=0, min_side=0)
)


@given(st.dictionaries(st.text(max_size=5), TENSOR, max_size=3), st.integers(0, 2**64 - 1))
def test_tensors_round_trip(tensors: dict[str, Any], request: int) -> None:
    received = bytearray(b"".join(wire.pack_tensors(wire.Kind.RESULT, request, tensors)) + b"next")
    frame = wire.take_frame(received)
    assert frame is not None
    header, meta, body = frame
    assert received == b"next"
    assert (header.kind, header.request) == (wire.Kind.RESULT, request)
    back = wire.read_tensors(meta, body)
    assert list(back) == list(tensors)
    for name, array in tensors.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert back[name].flags.writeable
        assert back[name].flags.aligned
        assert back[name].tobytes() == array.tobytes()


def test_a_frame_in_pieces_waits_for_the_last() -> None:
    whole = b"".join(wire.pack_tensors(wire.Kind.RUN, 7, {"x": np.arange(3), "t": np.array(["a", None], object)}))
    for cut in range(len(whole)):
        assert wire.take_frame(bytearray(whole[:cut])) is None
    assert wire.take_frame(bytearray(whole)) is not None


def test_large_arrays_are_not_copied() -> None:
    array = np.zeros(100_000)
    frame = wire.pack_tensors(wire.Kind.RUN, 1, {"x": array})
    assert any(isinstance(part, memoryview) and np.shares_memory(np.frombuffer(part), array) for part in frame)


def test_too_much_is_refused_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_BODY", 100)
    with pytest.raises(SignatureViolation, match="send fewer rows"):
        wire.pack_tensors(wire.Kind.RUN, 1, {"x": np.zeros(101, np.uint8)})
    for meta, body in ((0, 101), (wire.MAX_META + 1, 0)):
        with pytest.raises(wire.WireError, match="too long"):
            wire.take_frame(bytearray(struct.pack("<IIQB", meta, body, 0, 1)))


@pytest.mark.parametrize("array", [np.array([1j]), np.array(["2020"], "M8[D]"), np.array([{}]), np.zeros(1, ">f4")])
def test_what_does_not_travel_is_refused(array: np.ndarray) -> None:
    with pytest.raises(SignatureViolation, match="expected numbers, text or bytes"):
        wire.pack_tensors(wire.Kind.RUN, 1, {"x": array})


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(SignatureViolation, match="not valid Unicode"):
        wire.pack_tensors(wire.Kind.RUN, 1, {"x": np.array(["\ud800"], object)})


@pytest.mark.parametrize(
    "meta",
    [
        5,
        [["x", "d", [3]]],  # longer than the body
        [["x", "B", [0]]],  # shorter
        [["x", "d", [-1]]],
        [["x", "O", [1]]],
        [["x", "V8", [1]]],
        [["x", "d", [1 << 60]]],
        [["x", "d", [0, 1 << 62]]],
        [["x", "O", [1], [["nested"]]], ["y", "d", [2]]],
        [["x", "O", [2], ["one"]], ["y", "d", [2]]],
    ],
    ids=repr,
)
def test_bad_tensors_are_an_error(meta: Any) -> None:
    with pytest.raises(wire.WireError):
        wire.read_tensors(msgspec.msgpack.encode(meta), bytearray(16))


@given(st.binary(max_size=64))
def test_noise_is_an_error(noise: bytes) -> None:
    for read in (wire.read_fault, wire.read_artifact, lambda meta: wire.read_tensors(meta, bytearray(16))):
        with pytest.raises(wire.WireError):
            read(noise)
