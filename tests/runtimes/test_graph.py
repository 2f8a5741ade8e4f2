"""A compiled graph, loaded: one array for all members, also from graphs of the previous release."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from quorate.core.types import Artifact
from quorate.errors import MemberCrashed, SignatureViolation
from quorate.runtimes.compile import compile_pool
from quorate.runtimes.graph import GraphSession

MakeOnnx = Callable[..., Artifact]
ROWS = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)
WEIGHTS = np.random.default_rng(4).normal(size=(3, 4, 2)).astype(np.float32)


def of_the_previous_release(*, quantised: bool = False) -> bytes:
    """One output per member: float32 and float64 ``[n, 2]``, and one whose scale depends on the whole batch."""
    nodes = [helper.make_node("MatMul", ["input", f"{name}/w"], [f"{name}/z"]) for name in "abc"]
    nodes.append(helper.make_node("Cast", ["b/z"], ["b/double"], to=TensorProto.DOUBLE))
    last = "c/z"
    if quantised:
        nodes.append(helper.make_node("DynamicQuantizeLinear", ["c/z"], ["c/q", "c/scale", "c/zero"]))
        nodes.append(helper.make_node("DequantizeLinear", ["c/q", "c/scale", "c/zero"], ["c/rounded"]))
        last = "c/rounded"
    outputs = {"a/z": TensorProto.FLOAT, "b/double": TensorProto.DOUBLE, last: TensorProto.FLOAT}
    graph = helper.make_graph(
        nodes,
        "pool",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info(name, kind, [None, 2]) for name, kind in outputs.items()],
        [numpy_helper.from_array(weights, f"{name}/w") for name, weights in zip("abc", WEIGHTS, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_graphs_of_the_previous_release_give_the_same_array() -> None:
    outputs = {"c": "c/z", "a": "a/z", "b": "b/double"}  # in an order of their own
    session = GraphSession(of_the_previous_release(), list(outputs), outputs=outputs)
    got = session.run({"input": ROWS})
    assert (got.shape, got.dtype, got.flags.c_contiguous) == ((6, 3, 2), np.float32, True)
    for place, index in enumerate((2, 0, 1)):
        np.testing.assert_allclose(got[:, place], ROWS @ WEIGHTS[index], atol=1e-6)


def test_graphs_of_the_previous_release_run_one_row_at_a_time_where_they_must() -> None:
    outputs = {"a": "a/z", "c": "c/rounded"}
    model = of_the_previous_release(quantised=True)
    together = GraphSession(model, list(outputs), outputs=outputs)
    alone = GraphSession(model, list(outputs), outputs=outputs, alone=True)
    single = np.concatenate([together.run({"input": ROWS[i : i + 1]}) for i in range(len(ROWS))])
    np.testing.assert_array_equal(alone.run({"input": ROWS}), single)
    assert np.abs(together.run({"input": ROWS}) - single).max() > 1e-4


def test_errors_are_the_members_or_the_callers(make_onnx: MakeOnnx) -> None:
    graph = compile_pool([("a", make_onnx("a"))])
    session = GraphSession(graph.model, graph.members)
    for bad in ({}, {"input": ROWS.astype(float)}, {"input": ROWS[:, :3]}, {"input": ROWS, "more": ROWS}):
        with pytest.raises(SignatureViolation):
            session.run(bad)
    session.close()
    with pytest.raises(MemberCrashed, match="Graph 'pool' is closed"):
        session.run({"input": ROWS})


def test_threads_get_their_own_rows(make_onnx: MakeOnnx) -> None:
    graph = compile_pool([(name, make_onnx(name, seed=seed)) for seed, name in enumerate("ab")])
    session = GraphSession(graph.model, graph.members)
    inputs = [ROWS[:1] * scale for scale in range(8)]
    expected = [session.run({"input": rows}) for rows in inputs]
    wrong: list[Any] = []

    def ask(index: int) -> None:
        for _ in range(50):
            if not np.array_equal(session.run({"input": inputs[index]}), expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
