"""TFLite files are looked through before LiteRT, which trusts them, may load them."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import FormatRefused
from quorate.flatbuffer import Malformed
from quorate.registry import formats
from quorate.registry.tflite_wire import check_tflite, is_tflite
from quorate.testing.tflite import Number, Numbers, Step, Table, dense_network, flatbuffer

WEIGHTS, BIAS = np.ones((4, 3)), np.zeros(3)
GOOD = dense_network(WEIGHTS, BIAS)
QUANTISED = dense_network(WEIGHTS, BIAS, dtype="uint8", given=Step(1.0, 0), logits=Step(1.0, 0))


def file(**changes: Any) -> bytes:
    """A file of one operator and two tensors, some of its parts written otherwise."""
    tensors: list[Table] = [{0: Numbers("i", [1, 4]), 2: Number("I", changes.get("buffer", 0)), 3: "a"}, {3: "b"}]
    operator: Table = {
        0: Number("I", changes.get("code", 0)),
        1: Numbers("i", changes.get("inputs", [0, -1])),
        2: Numbers("i", [1]),
    }
    graph: Table = {
        0: tensors,
        1: Numbers("i", [0]),
        2: Numbers("i", changes.get("outputs", [1])),
        3: [operator | changes.get("operator", {})],
    }
    signature: Table = {
        1: [{0: "out", 1: Number("I", changes.get("named", 1))}],
        4: Number("I", changes.get("of", 0)),
    }
    model: Table = {1: [{0: Number("b", 0)}], 2: [graph], 4: [changes.get("data", {})], 7: [signature]}
    return flatbuffer(model | changes.get("model", {}), b"TFL3")


@pytest.mark.parametrize("data", [GOOD, QUANTISED, file()])
def test_good_files(data: bytes) -> None:
    check_tflite(data)
    assert is_tflite(data)
    formats.check("tflite", {"m.tflite": data}, {})
    assert formats.guess({"m.bin": data}) == "tflite"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"buffer": 1}, "a tensor of graph 0 names buffer 1, and there are 1"),
        ({"code": 3}, "graph 0 names operator 3, and there are 1"),
        ({"inputs": [0, 2]}, "an operator of graph 0 names tensor 2, and there are 2"),
        ({"inputs": [-2]}, "an operator of graph 0 names tensor -2"),
        ({"outputs": [7]}, "graph 0 begins or ends with tensor 7"),
        ({"outputs": [-1]}, "graph 0 begins or ends with tensor -1"),
        ({"named": 2}, "a signature names tensor 2, and there are 2"),
        ({"of": 1}, "a signature names graph 1, and there are 1"),
        ({"data": {1: Number("Q", 64), 2: Number("Q", 1 << 40)}}, "it is cut off: a buffer ends at byte"),
        ({"model": {2: []}}, "it has no graph, or no buffers"),
        ({"model": {4: []}}, "it has no graph, or no buffers"),
    ],
)
def test_indexes_that_name_nothing(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Malformed, match=message):
        check_tflite(file(**changes))


def test_options_with_lists_are_followed() -> None:
    """A reshape's new shape, the 17th kind of options, is a list that LiteRT reads."""
    good = file(operator={3: Number("B", 17), 4: {0: Numbers("i", [1, 4])}})
    check_tflite(good)
    shape = good.index(struct.pack("<Iii", 2, 1, 4))
    cut = good[:shape] + struct.pack("<I", 1 << 20) + good[shape + 4 :]
    with pytest.raises(Malformed, match="the list at byte"):
        check_tflite(cut)
    unknown = file(operator={3: Number("B", 99), 4: {0: Number("i", 1 << 30)}})  # numbers, for all that is known
    check_tflite(unknown)


def test_what_lies_about_its_size_is_refused() -> None:
    for end in (len(GOOD) - 1, len(GOOD) // 2, 9, 4, 0):
        with pytest.raises(Malformed):
            check_tflite(GOOD[:end])
    with pytest.raises(FormatRefused, match=r"'m\.tflite' is not a TFLite model: .*; convert it again"):
        formats.check("tflite", {"m.tflite": GOOD[:100]}, {})
    with pytest.raises(FormatRefused, match="bytes 4 to 8 are not TFL3"):
        formats.check("tflite", {"m.tflite": b"\x1c\0\0\0TFL9" + GOOD[8:]}, {})
    with pytest.raises(FormatRefused, match=r"one file that ends in \.tflite"):
        formats.check("tflite", {"m.bin": GOOD}, {})


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=4))
def test_damage_is_refused_or_harmless(at: int, damage: bytes) -> None:
    data = bytearray(GOOD)
    data[at : at + len(damage)] = damage
    with suppress(Malformed):
        check_tflite(bytes(data))
