"""Nodes that work column by column are merged, and answer as before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from quorate.runtimes.compile.columns import vectorise

WIDTH = 4
ROWS = np.random.default_rng(0).normal(size=(5, WIDTH)).astype(np.float32)


def graph_of(nodes: Sequence[Any], weights: dict[str, Any], width: int) -> onnx.GraphProto:
    return helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, width])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )


def run(graph: onnx.GraphProto, rows: np.ndarray = ROWS) -> np.ndarray:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return ort.InferenceSession(model.SerializeToString()).run(None, {"x": rows})[0]


def column(i: int, output: str) -> Any:
    return helper.make_node("ArrayFeatureExtractor", ["x", f"i{i}"], [output], domain="ai.onnx.ml")


INDICES = {f"i{i}": np.array([i]) for i in range(WIDTH)}
ONE = {"one": np.array(1.0, np.float32)}


def platt(order: Sequence[int]) -> tuple[list[Any], dict[str, Any]]:
    """1 / (1 + exp(a x + b)) column by column, then side by side."""
    nodes, weights = [], {**INDICES, **ONE}
    for i in order:
        weights |= {f"a{i}": np.array(-1.0 - i, np.float32), f"b{i}": np.array(0.5 * i, np.float32)}
        nodes += [
            column(i, f"c{i}"),
            helper.make_node("Mul", [f"a{i}", f"c{i}"], [f"m{i}"]),
            helper.make_node("Add", [f"m{i}", f"b{i}"], [f"s{i}"]),
            helper.make_node("Exp", [f"s{i}"], [f"e{i}"]),
            helper.make_node("Add", ["one", f"e{i}"], [f"d{i}"]),
            helper.make_node("Div", ["one", f"d{i}"], [f"p{i}"]),
        ]
    nodes.append(helper.make_node("Concat", [f"p{i}" for i in order], ["y"], axis=1))
    return nodes, weights


@pytest.mark.parametrize(
    ("order", "operators"),
    [((0, 1, 2, 3), ["Mul", "Add", "Sigmoid"]), ((3, 0), ["Gather", "Mul", "Add", "Sigmoid"])],
)
def test_sigmoids_of_columns_are_one(order: Sequence[int], operators: list[str]) -> None:
    graph = graph_of(*platt(order), len(order))
    before = run(graph)
    assert vectorise(graph, 17, {"x": WIDTH}, ()) == len(order) * 6 + 1 - len(operators)
    assert [node.op_type for node in graph.node] == operators
    np.testing.assert_allclose(run(graph), before, atol=2e-7)


def test_what_would_have_overflowed_on_its_way_does_not_spoil_its_neighbours() -> None:
    graph = graph_of(*platt(range(WIDTH)), WIDTH)
    far = np.array([[-1e30, 0.5, 1e30, np.nan]], np.float32)
    before = run(graph, far)
    vectorise(graph, 17, {"x": WIDTH}, ())
    after = run(graph, far)
    np.testing.assert_allclose(after[0, :3], before[0, :3], atol=2e-7)
    assert np.isnan(after[0, 3])


def votes() -> tuple[list[Any], dict[str, Any]]:
    """Votes and confidence of pairs, as of one class against one: sums over columns, and a quotient."""
    weights = {**INDICES, **ONE, "zero": np.array(0.0, np.float32)}
    nodes = [
        helper.make_node("Less", ["x", "zero"], ["negative"]),
        helper.make_node("Cast", ["negative"], ["v"], to=TensorProto.FLOAT),
        helper.make_node("Neg", ["x"], ["n"]),
    ]
    for name in ("c1", "c3", "v0", "v1", "v2", "v3", "n0", "n2"):
        source = {"c": "x"}.get(name[0], name[0])
        nodes.append(helper.make_node("ArrayFeatureExtractor", [source, f"i{name[1]}"], [name], domain="ai.onnx.ml"))
    nodes += [
        helper.make_node("Sum", ["n0", "c1", "n2"], ["s0"]),
        helper.make_node("Sub", ["n0", "c3"], ["s1"]),
        helper.make_node("Concat", ["s0", "s1"], ["sums"], axis=1),
        helper.make_node("Abs", ["sums"], ["size"]),
        helper.make_node("Add", ["size", "one"], ["below"]),
        helper.make_node("Div", ["sums", "below"], ["confidence"]),
        helper.make_node("Sum", ["v0", "v1", "v3"], ["v01"]),
        helper.make_node("Sub", ["one", "v2"], ["v23"]),
        helper.make_node("Concat", ["v01", "v23"], ["counts"], axis=-1),
        helper.make_node("Add", ["counts", "confidence"], ["z"]),
        helper.make_node("Slice", ["z", "i1", "i2", "i1"], ["z1"]),
        helper.make_node("Slice", ["z", "i0", "i1", "i1"], ["z0"]),
        helper.make_node("Concat", ["z1", "z0", "z1"], ["y"], axis=1),
    ]
    return nodes, weights


def test_sums_over_columns_are_products() -> None:
    graph = graph_of(*votes(), 3)
    before = run(graph)
    assert vectorise(graph, 17, {"x": WIDTH}, ("x",)) > 10
    assert "ArrayFeatureExtractor" not in {node.op_type for node in graph.node}
    np.testing.assert_allclose(run(graph), before, atol=1e-6)


def test_columns_that_may_be_infinite_are_not_mixed() -> None:
    graph = graph_of(*votes(), 3)
    content = graph.SerializeToString()
    assert vectorise(graph, 17, {"x": WIDTH}, ()) == 0, "x is not known to be finite"
    assert graph.SerializeToString() == content


def test_tensors_in_between_that_others_read_are_still_there() -> None:
    nodes, weights = platt(range(WIDTH))
    nodes[-1].output[0] = "p"
    nodes += [helper.make_node("Add", ["p", "p2"], ["more"]), helper.make_node("Relu", ["more"], ["y"])]
    graph = graph_of(nodes, weights, WIDTH)
    before = run(graph)
    assert vectorise(graph, 17, {"x": WIDTH}, ()) > 0
    np.testing.assert_allclose(run(graph), before, atol=2e-7)


def test_columns_of_unknown_tensors_stay() -> None:
    graph = graph_of(*platt(range(WIDTH)), WIDTH)
    assert vectorise(graph, 17, {}, ()) == 0
    assert len(graph.node) == 25


def test_columns_of_several_tensors_are_put_side_by_side() -> None:
    """As of the folds of a calibrated model, each of which has its own scores."""
    nodes, weights, ends = [], {**INDICES, **ONE}, []
    for fold, (operator, places) in enumerate((("Neg", (0, 1)), ("Exp", (3, 2, 1)), ("Neg", (2,)))):
        nodes.append(helper.make_node(operator, ["x"], [f"f{fold}"]))
        for i in places:
            name = f"{fold}{i}"
            nodes += [
                helper.make_node("ArrayFeatureExtractor", [f"f{fold}", f"i{i}"], [f"c{name}"], domain="ai.onnx.ml"),
                helper.make_node("Exp", [f"c{name}"], [f"e{name}"]),
                helper.make_node("Add", [f"e{name}", "one"], [f"d{name}"]),
                helper.make_node("Div", ["one", f"d{name}"], [f"p{name}"]),
            ]
            ends.append(f"p{name}")
    nodes.append(helper.make_node("Concat", ends, ["y"], axis=1))
    graph = graph_of(nodes, weights, len(ends))
    before = run(graph)
    assert vectorise(graph, 17, {"f0": WIDTH, "f1": WIDTH, "f2": WIDTH}, ()) > 10
    assert [node.op_type for node in graph.node].count("Sigmoid") == 1
    np.testing.assert_allclose(run(graph), before, atol=2e-7)
