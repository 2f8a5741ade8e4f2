"""What several members begin with is computed once, and only that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from quorate.runtimes.compile import compile_pool, verify_graph
from quorate.runtimes.compile.shared import share

Make = Callable[..., Any]


def graph_of(nodes: list[Any], weights: dict[str, Any], outputs: tuple[str, ...]) -> onnx.GraphProto:
    return helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )


def test_members_share_their_scaler(make_estimator: Make) -> None:
    rows, labels = load_iris(return_X_y=True)
    fitted = [make_pipeline(StandardScaler(), LogisticRegression(C=c)).fit(rows, labels) for c in (1.0, 0.1)]
    other = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows[:140], labels[:140])
    members = [make_estimator(f"m{i}", each, rows) for i, each in enumerate((*fitted, other))]
    graph = compile_pool(members)
    assert graph.shared == 1
    found = Counter(node.op_type for node in onnx.load_from_string(graph.model).graph.node)
    assert (found["Scaler"], found["LinearClassifier"]) == (2, 3), "another scaler is another"
    assert verify_graph(graph, members, {"X": rows.astype(np.float32)}) == 0.0


def test_prefixes_are_shared_as_far_as_they_are_equal() -> None:
    nodes = []
    for member, last in (("a", "Exp"), ("b", "Exp"), ("c", "Neg")):
        nodes += [
            helper.make_node("Mul", ["x", f"{member}/w"], [f"{member}/m"]),
            helper.make_node("Relu", [f"{member}/m"], [f"{member}/r"]),
            helper.make_node(last, [f"{member}/r"], [f"{member}/e"]),
        ]
    nodes.append(helper.make_node("Concat", ["a/e", "b/e", "c/e"], ["y"], axis=1))
    weights = {f"{member}/w": np.float32([2, 3]) for member in "abc"}
    graph = graph_of(nodes, weights, ("y",))
    assert share(graph) == 5
    assert [node.op_type for node in graph.node] == ["Mul", "Relu", "Exp", "Neg", "Concat"]
    assert list(graph.node[-1].input) == ["a/e", "a/e", "c/e"]
    assert [tensor.name for tensor in graph.initializer] == ["a/w"]


def test_weights_differ_by_type_shape_and_every_byte() -> None:
    weights = {"a": np.float32([0.0]), "b": np.float32([-0.0]), "c": np.float32([[0.0]]), "d": np.float64([0.0])}
    graph = graph_of([helper.make_node("Identity", ["x"], ["y"])], weights, ("y",))
    share(graph)
    assert [tensor.name for tensor in graph.initializer] == ["a", "b", "c", "d"]


def test_attributes_differ() -> None:
    nodes = [helper.make_node("Softmax", ["x"], [f"s{axis}"], axis=axis) for axis in (0, 1)]
    nodes.append(helper.make_node("Add", ["s0", "s1"], ["y"]))
    assert share(graph_of(nodes, {}, ("y",))) == 0


def test_randomness_is_not_shared() -> None:
    nodes = [helper.make_node("RandomNormalLike", ["x"], [name]) for name in "ab"]
    nodes.append(helper.make_node("Add", ["a", "b"], ["y"]))
    assert share(graph_of(nodes, {}, ("y",))) == 0


def test_outputs_keep_their_names() -> None:
    nodes = [helper.make_node("Exp", ["x"], [name]) for name in "yz"]
    graph = graph_of(nodes, {}, ("y", "z"))
    assert share(graph) == 0
    assert [value.name for value in graph.output] == ["y", "z"]


def test_branches_read_what_is_left() -> None:
    def branch(name: str, reads: str) -> onnx.GraphProto:
        made = helper.make_tensor_value_info(f"{name}/o", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node("Neg", [reads], [f"{name}/o"])], name, [], [made])

    nodes = [
        helper.make_node("Exp", ["x"], ["a"]),
        helper.make_node("Exp", ["x"], ["b"]),
        helper.make_node("If", ["yes"], ["c"], then_branch=branch("then", "a"), else_branch=branch("else", "b")),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    graph = graph_of(nodes, {"yes": np.array(True)}, ("y",))
    assert share(graph) == 1
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    rows = np.ones((3, 2), np.float32)
    np.testing.assert_allclose(ort.InferenceSession(model.SerializeToString()).run(None, {"x": rows})[0], 0.0)
