"""Logits become probabilities, and rows run alone, the same in a session and in a fused graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from quorate.core.types import Artifact, OutputSpec, Signature, TensorSpec
from quorate.errors import FormatRefused
from quorate.runtimes import adapt
from quorate.runtimes.compile import compile_pool, verify_graph
from quorate.runtimes.graph import GraphSession
from quorate.runtimes.onnx import OnnxRuntime

ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32) * np.arange(1, 7, dtype=np.float32)[:, None]
MakeOnnx = Callable[..., Artifact]

LINEAR = (
    helper.make_node("MatMul", ["input", "w"], ["a"]),
    helper.make_node("Add", ["a", "b"], ["scores"]),
    helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
)
QUANTISED = (
    helper.make_node("DynamicQuantizeLinear", ["input"], ["q", "scale", "zero"]),
    helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["rounded"]),
    helper.make_node("MatMul", ["rounded", "w"], ["a"]),
    helper.make_node("Add", ["a", "b"], ["scores"]),
    helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
)


def answers(artifact: Artifact, rows: np.ndarray) -> np.ndarray:
    return OnnxRuntime().load(artifact).run({"input": rows})["scores"]


def one_by_one(artifact: Artifact, rows: np.ndarray) -> np.ndarray:
    return np.concatenate([answers(artifact, rows[i : i + 1]) for i in range(len(rows))])


def expected_softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(axis=1, keepdims=True)


def test_softmax_neither_overflows_nor_spoils_other_rows() -> None:
    logits = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0], [np.inf, 0.0, 0.0], [np.nan, 0.0, 0.0]], np.float32)
    found = adapt.softmax(logits)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected_softmax(logits[:1])[0], rtol=1e-6)
    np.testing.assert_array_equal(found[1], [1.0, 0.0, 0.0])
    assert np.isnan(found[2:]).all(axis=1).tolist() == [True, True]


def test_logits_become_probabilities(make_onnx: MakeOnnx) -> None:
    plain = make_onnx("plain", nodes=LINEAR)
    found = answers(make_onnx("m", nodes=LINEAR, activation="softmax"), ROWS)
    np.testing.assert_allclose(found, expected_softmax(answers(plain, ROWS)), atol=1e-6)


def test_rows_alone_do_not_depend_on_their_batch(make_onnx: MakeOnnx) -> None:
    together = make_onnx("together", nodes=QUANTISED, rows="together")
    assert np.abs(answers(together, ROWS) - one_by_one(together, ROWS)).max() > 1e-3
    alone = make_onnx("alone", nodes=QUANTISED, rows="alone")
    np.testing.assert_array_equal(answers(alone, ROWS), one_by_one(together, ROWS))


def test_a_file_that_takes_one_row_serves_many_alone(make_onnx: MakeOnnx) -> None:
    with pytest.raises(FormatRefused, match=r"dynamic batch axis or set the option rows to alone \(`--rows alone`\)"):
        answers(make_onnx("fixed", shape=(1, 4)), ROWS)
    with pytest.raises(FormatRefused, match=r"with a dynamic batch axis\.$"):
        answers(make_onnx("two", shape=(2, 4), rows="alone"), ROWS)
    np.testing.assert_allclose(
        answers(make_onnx("alone", shape=(1, 4), rows="alone"), ROWS), answers(make_onnx("any"), ROWS), atol=1e-6
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "relu"}, "sets activation to 'relu'; expected softmax, or no such option"),
        ({"rows": "one"}, "sets rows to 'one'; expected alone or together"),
    ],
)
def test_other_options_are_refused(make_onnx: MakeOnnx, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatRefused, match=message):
        OnnxRuntime().load(make_onnx(**options))


def test_values_have_no_softmax(make_onnx: MakeOnnx) -> None:
    output = OutputSpec("values", names=("x", "y", "z"))
    signature = Signature("array", (TensorSpec("input", "float32", (None, 4)),), output)
    with pytest.raises(FormatRefused, match="its output is values, not scores"):
        OnnxRuntime().load(make_onnx(declared={"signature": signature}, activation="softmax"))


def fused(members: list[tuple[str, Artifact]], rows: np.ndarray) -> dict[str, np.ndarray]:
    graph = compile_pool(members)
    verify_graph(graph, members, {"input": rows})
    stacked = GraphSession(graph.model, graph.members).run({"input": rows})
    return {name: stacked[:, place] for place, name in enumerate(graph.members)}


def test_a_fused_graph_does_the_same(make_onnx: MakeOnnx) -> None:
    members = [
        ("probabilities", make_onnx("probabilities", seed=1)),
        ("logits", make_onnx("logits", seed=2, nodes=LINEAR, activation="softmax")),
    ]
    found = fused(members, ROWS)
    for name, artifact in members:
        np.testing.assert_allclose(found[name], answers(artifact, ROWS), atol=1e-6)


def test_a_member_that_must_run_alone_is_not_fused(make_onnx: MakeOnnx) -> None:
    members = [
        ("plain", make_onnx("plain", seed=1)),
        ("quantised", make_onnx("quantised", seed=2, nodes=QUANTISED, activation="softmax", rows="alone")),
    ]
    with pytest.raises(FormatRefused, match="'quantised' cannot be fused: its rows must be run alone") as caught:
        compile_pool(members)
    assert caught.value.path == "quantised"


def test_members_without_a_standard_operator_get_a_softmax_too(tmp_path: Path) -> None:
    tensors = (TensorSpec("input", "float32", (None, 4)),)
    node = helper.make_node("Scaler", ["input"], ["scores"], domain="ai.onnx.ml", offset=[0.5], scale=[2.0])
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 4])] for name in ("input", "scores")]
    graph = helper.make_graph([node], "g", *ends)
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8),
        tmp_path / "m.onnx",
    )
    artifact = Artifact(
        "m",
        1,
        "onnx",
        tmp_path,
        ("m.onnx",),
        "sha256:0",
        Signature("array", tensors, OutputSpec("scores", ("a", "b", "c", "d"))),
        tensors,
        "scores",
        {"activation": "softmax"},
    )
    np.testing.assert_allclose(fused([("m", artifact)], ROWS)["m"], expected_softmax((ROWS - 0.5) * 2), atol=1e-6)
