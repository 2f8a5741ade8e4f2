"""Messages of the Open Inference Protocol, made by hand, as generated code and the server's own reader see them."""

from __future__ import annotations

import struct

import numpy as np

from benchmarks.peers import protocol
from quorate.codecs.snapshot import Limits
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.serving import oip

PIXELS = np.arange(200, dtype=np.uint8)[:128].reshape(2, 8, 8)
SIGNATURE = Signature(
    "image", (TensorSpec("image", "uint8", (None, None, None)),), OutputSpec("scores", classes=("a", "b"))
)


def test_the_server_reads_a_binary_request() -> None:
    body, headers = protocol.binary(PIXELS)
    found = oip.decode(body, headers[protocol.HEADER].encode(), SIGNATURE, Limits())
    np.testing.assert_array_equal(np.asarray(found.raw["image"]), PIXELS)


def test_a_binary_answer_is_read() -> None:
    head = b'{"outputs":[{"name":"probabilities","shape":[1,2],"datatype":"FP32"}]}'
    answer = protocol.binary_answer(head + struct.pack("<2f", 0.25, 0.75), len(head))
    assert answer.tolist() == [[0.25, 0.75]]


def test_messages_survive_their_own_reader() -> None:
    fields = dict(protocol._fields(protocol.message("digits", PIXELS)))
    assert fields[1] == b"digits"
    assert fields[7] == PIXELS.tobytes()
    tensor = dict(protocol._fields(fields[5]))
    assert (tensor[1], tensor[2], tensor[3]) == (b"image", b"UINT8", bytes([2, 8, 8]))


def test_answers_with_raw_and_with_typed_contents() -> None:
    data = struct.pack("<2f", 0.25, 0.75)
    raw = protocol._field(1, b"digits") + protocol._field(6, data)
    typed = protocol._field(5, protocol._field(1, b"p") + protocol._field(5, protocol._field(6, data)))
    assert protocol.message_answer(raw).tolist() == [0.25, 0.75]
    assert protocol.message_answer(typed).tolist() == [0.25, 0.75]


def test_long_fields_have_long_lengths() -> None:
    assert protocol._field(1, b"x" * 300)[:3] == b"\x0a\xac\x02"
