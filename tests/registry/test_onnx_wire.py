from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.registry.onnx_wire import FIELDS, Malformed, external_locations


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def external(location: str, *, flag: bool = True) -> bytes:
    return (number(14, 1) if flag else b"") + message(13, message(1, b"location") + message(2, location.encode()))


def model(graph: bytes, *more: bytes) -> bytes:
    return number(1, 9) + message(7, graph) + b"".join(more)


# Every road from a model to a tensor: what to put around the tensor's bytes.
def attribute_tensor(tensor: bytes) -> bytes:
    return model(message(1, message(5, message(5, tensor))))


def attribute_tensors(tensor: bytes) -> bytes:
    return model(message(1, message(5, message(10, tensor))))


def subgraph(tensor: bytes) -> bytes:
    return model(message(1, message(5, message(6, message(5, tensor)))))


def subgraphs(tensor: bytes) -> bytes:
    return model(message(1, message(5, message(11, message(5, tensor)))))


def sparse(tensor: bytes) -> bytes:
    return model(message(15, message(2, tensor)))


def sparse_attribute(tensor: bytes) -> bytes:
    return model(message(1, message(5, message(22, message(1, tensor)))))


def function(tensor: bytes) -> bytes:
    return model(b"", message(25, message(7, message(5, message(5, tensor)))))


def function_default(tensor: bytes) -> bytes:
    return model(b"", message(25, message(11, message(5, tensor))))


def training(tensor: bytes) -> bytes:
    return model(b"", message(20, message(1, message(5, tensor))))


def initializer(tensor: bytes) -> bytes:
    return model(message(5, tensor))


ROADS = [
    initializer,
    attribute_tensor,
    attribute_tensors,
    subgraph,
    subgraphs,
    sparse,
    sparse_attribute,
    function,
    function_default,
    training,
]


@pytest.mark.parametrize("road", ROADS)
def test_external_data_is_found_wherever_a_tensor_can_be(road: Any) -> None:
    assert external_locations(road(external("../secret"))) == ["../secret"]
    assert external_locations(road(external("w.bin", flag=False))) == ["w.bin"]
    assert external_locations(road(number(14, 0) + message(9, b"raw"))) == []


def test_the_table_names_every_road_of_the_real_schema() -> None:
    onnx = pytest.importorskip("onnx")
    descriptors: dict[str, Any] = {}

    def visit(descriptor: Any) -> None:
        if descriptor.name not in descriptors:
            descriptors[descriptor.name] = descriptor
            for field in descriptor.fields:
                if field.message_type is not None:
                    visit(field.message_type)

    visit(onnx.ModelProto.DESCRIPTOR)

    def reaches(name: str, seen: frozenset[str] = frozenset()) -> bool:
        if name == "TensorProto":
            return True
        fields = descriptors[name].fields
        return any(
            field.message_type is not None
            and field.message_type.name not in seen
            and reaches(field.message_type.name, seen | {name})
            for field in fields
        )

    for name, descriptor in descriptors.items():
        if name == "TensorProto" or not reaches(name):
            continue
        expected = {
            f.number: f.message_type.name for f in descriptor.fields if f.message_type and reaches(f.message_type.name)
        }
        assert FIELDS.get(name) == expected, name
    tensor = onnx.TensorProto.DESCRIPTOR.fields_by_name
    assert (tensor["external_data"].number, tensor["data_location"].number, onnx.TensorProto.EXTERNAL) == (13, 14, 1)
    assert FIELDS["TensorProto"] == {13: tensor["external_data"].message_type.name}


def test_a_real_model_with_external_data() -> None:
    onnx = pytest.importorskip("onnx")
    import numpy as np

    weight = onnx.numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
    node = onnx.helper.make_node("MatMul", ["input", "w"], ["output"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node], "g", [value("input", 1, [None, 4])], [value("output", 1, [None, 2])], [weight]
    )
    built = onnx.helper.make_model(graph)
    assert external_locations(built.SerializeToString()) == []
    onnx.external_data_helper.set_external_data(weight, "weights/w.bin")
    built.graph.initializer[0].CopyFrom(weight)
    assert external_locations(built.SerializeToString()) == ["weights/w.bin"]


def test_of_repeated_fields_none_is_overlooked() -> None:
    twice = message(13, message(1, b"other") + message(1, b"location") + message(2, b"good") + message(2, b"../bad"))
    assert external_locations(initializer(number(14, 1) + twice)) == ["good", "../bad"]
    split = model(message(1, message(5, message(5, external("a", flag=False)) + message(5, external("b")))))
    assert sorted(external_locations(split)) == ["a", "b"]
    two_graphs = model(b"", message(7, message(5, external("late"))))
    assert external_locations(two_graphs) == ["late"]


def test_numbers_and_strings_of_an_attribute_are_skipped_right() -> None:
    lists = b"\x3d\x00\x00\x80\x3f" * 3 + number(8, 300) * 3 + message(9, b"LEAF") * 3 + message(9, b"x" * 200)
    attribute = message(1, b"name") + lists + message(5, external("w")) + lists
    assert external_locations(model(message(1, message(5, attribute)))) == ["w"]
    assert external_locations(model(message(1, message(5, lists)))) == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no IR version"),
        (number(1, 9), "no graph"),
        (message(7, b""), "no IR version"),
        (b"\x00", "does not start a field"),
        (b"\x0b", "unknown wire type 3"),
        (b"\x08", "cut off in a number"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "more than ten bytes"),
        (b"\xff" * 9 + b"\x01", "does not start a field"),
        (varint(7 << 3 | 2) + varint(100) + b"x", "goes on for 99 bytes more"),
        (number(1, 9) + varint(7 << 3 | 2) + varint(1 << 62), "goes on for"),
        (model(message(1, message(5, b"\x4a\x05abc"))), "cut off in a string"),
        (model(message(1, message(5, b"\x3d\x00"))), "goes on for 3 bytes more"),
        (initializer(number(14, 1)), "does not say where"),
        (b"hello world, this is text", "."),
    ],
)
def test_what_is_malformed_is_said(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        external_locations(data)


def test_nesting_is_bounded() -> None:
    graph = message(5, external("deep"))
    for _ in range(30):
        graph = message(1, message(5, message(6, graph)))
    assert external_locations(model(graph)) == ["deep"]
    for _ in range(5):
        graph = message(1, message(5, message(6, graph)))
    with pytest.raises(Malformed, match="nested more than 100 deep"):
        external_locations(model(graph))


def test_every_truncation_is_malformed_or_hides_nothing() -> None:
    data = model(
        message(1, message(5, message(1, b"a") + message(5, external("w.bin")))) + message(5, external("v.bin"))
    )
    for length in range(len(data)):
        with pytest.raises(Malformed):
            external_locations(data[:length])


@given(st.binary(max_size=300))
def test_any_bytes_end_in_an_answer(data: bytes) -> None:
    with suppress(Malformed):
        external_locations(number(1, 9) + message(7, data))


def test_flipped_bytes_end_in_an_answer() -> None:
    rng = random.Random(5)
    data = model(
        message(1, message(5, message(8, b"x" * 9) + message(5, external("w.bin")))) + message(5, external("v"))
    )
    for _ in range(3000):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        with suppress(Malformed):
            external_locations(bytes(broken))
