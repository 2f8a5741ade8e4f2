"""Members fused into one graph answer as they do by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from quorate.core.types import Artifact, OutputSpec, Signature, TensorSpec
from quorate.errors import FormatRefused, MemberCrashed, ParityError, SignatureViolation
from quorate.runtimes.compile import CompiledGraph, compile_pool, verify_graph
from quorate.runtimes.graph import GraphSession
from quorate.runtimes.onnx import OnnxRuntime

MakeOnnx = Callable[..., Artifact]
ROWS = {"input": np.random.default_rng(5).normal(size=(7, 4)).astype(np.float32)}


def model(graph: CompiledGraph) -> onnx.ModelProto:
    return onnx.load_from_string(graph.model)


def edited(artifact: Artifact, edit: Callable[[onnx.ModelProto], Any]) -> Artifact:
    """Change an artifact's file in place."""
    path = artifact.folder / "m.onnx"
    proto = onnx.load(path)
    edit(proto)
    onnx.save(proto, path)
    return artifact


def test_all_members_in_one_run(make_onnx: MakeOnnx) -> None:
    members = [(name, make_onnx(name, seed=seed)) for seed, name in enumerate(("a", "b", "c"))]
    graph = compile_pool(members)
    assert (graph.input_name, graph.members) == ("input", ("a", "b", "c"))
    assert verify_graph(graph, members, ROWS) <= 1e-6
    session = GraphSession(graph.model, graph.members)
    assert session.inputs == members[0][1].tensors
    got = session.run(ROWS)
    assert (got.shape, got.dtype, got.flags.c_contiguous) == ((7, 3, 3), np.float32, True)
    for place, (_, artifact) in enumerate(members):
        np.testing.assert_allclose(got[:, place], OnnxRuntime().load(artifact).run(ROWS)["scores"], atol=1e-6)
    assert len({got[:, place].tobytes() for place in range(3)}) == 3
    assert "ArgMax" not in {node.op_type for node in model(graph).graph.node}, "what no answer needs is dropped"
    for bad in ({}, {"input": ROWS["input"].astype(float)}):
        with pytest.raises(SignatureViolation):
            session.run(bad)
    session.close()
    session.close()
    with pytest.raises(MemberCrashed, match="is closed"):
        session.run(ROWS)


@pytest.mark.filterwarnings("ignore::FutureWarning:sklearn")
def test_five_kinds_of_estimators(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.datasets import load_digits
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    rows, labels = load_digits(return_X_y=True)
    rows = rows.astype(np.float32)
    estimators = {
        "logistic": LogisticRegression(max_iter=20),
        "forest": RandomForestClassifier(10, random_state=0),
        "extra": ExtraTreesClassifier(10, random_state=0),
        "mlp": MLPClassifier((16,), max_iter=5, random_state=0),
        "svm": CalibratedClassifierCV(SVC(), cv=2, ensemble=False),
    }
    members = []
    for opset, (name, estimator) in enumerate(estimators.items(), 15):  # each with another opset
        estimator.fit(rows[:300], labels[:300])
        exported = to_onnx(estimator, rows[:1], options={"zipmap": False}, target_opset={"": opset, "ai.onnx.ml": 3})
        (tmp_path / f"{name}.onnx").write_bytes(exported.SerializeToString())
        tensors = (TensorSpec("X", "float32", (None, 64)),)
        signature = Signature("array", tensors, OutputSpec("scores", tuple("0123456789")))
        files = (f"{name}.onnx",)
        artifact = Artifact(name, 1, "onnx", tmp_path, files, "sha256:0", signature, tensors, "probabilities")
        members.append((name, artifact))
    graph = compile_pool(members)
    assert verify_graph(graph, members, {"X": rows[300:]}) <= 1e-6
    assert verify_graph(graph, members, {"X": rows[300:301]}) <= 1e-6


def old_squeeze() -> tuple[Any, ...]:
    """A model whose Unsqueeze means something else since version 13."""
    return (
        helper.make_node("MatMul", ["input", "w"], ["a"]),
        helper.make_node("Unsqueeze", ["a"], ["u"], axes=[0]),
        helper.make_node("Squeeze", ["u"], ["s"], axes=[0]),
        helper.make_node("Softmax", ["s"], ["scores"], axis=1),
        helper.make_node("ArgMax", ["s"], ["label"], axis=1, keepdims=0),
    )


def test_older_operators_are_converted(make_onnx: MakeOnnx) -> None:
    members = [("old", make_onnx("old", opset=11, nodes=old_squeeze())), ("new", make_onnx("new", opset=17))]
    graph = compile_pool(members)
    assert [(entry.domain, entry.version) for entry in model(graph).opset_import] == [("", 17)]
    assert verify_graph(graph, members, ROWS) <= 1e-6


def test_operators_that_cannot_be_converted_are_refused(make_onnx: MakeOnnx) -> None:
    def import_domain(version: int) -> Callable[[onnx.ModelProto], Any]:
        def edit(proto: onnx.ModelProto) -> None:
            proto.opset_import.append(helper.make_opsetid("com.microsoft", version))
            proto.graph.node[2].CopyFrom(helper.make_node("Gelu", ["c"], ["scores"], domain="com.microsoft"))

        return edit

    members = [(f"v{version}", edited(make_onnx(f"v{version}"), import_domain(version))) for version in (1, 2)]
    with pytest.raises(FormatRefused, match=r"version 1 of the operators 'com\.microsoft'") as caught:
        compile_pool(members)
    assert caught.value.path == "v1"


def test_branches_see_the_weights_outside_them(make_onnx: MakeOnnx) -> None:
    def branch(name: str, weight: str) -> onnx.GraphProto:
        nodes = [helper.make_node("Mul", ["a", weight], [f"{name}_out"], name="inner")]
        return helper.make_graph(
            nodes, name, [], [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)]
        )

    nodes = (
        helper.make_node("MatMul", ["input", "w"], ["a"]),
        helper.make_node("ReduceSum", ["input"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node(
            "If", ["positive"], ["scores"], then_branch=branch("then", "b"), else_branch=branch("else", "e")
        ),
        helper.make_node("ArgMax", ["a"], ["label"], axis=1, keepdims=0),
    )

    def more(proto: onnx.ModelProto) -> None:
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((), np.float32), "zero"))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.full(3, 5, np.float32), "e"))

    members = [(name, edited(make_onnx(name, seed=seed, nodes=nodes), more)) for seed, name in enumerate("ab")]
    graph = compile_pool(members)
    for sign in (1, -1):
        rows = {"input": np.full((2, 4), sign, np.float32)}
        assert verify_graph(graph, members, rows) == 0.0


def test_functions_are_inlined(make_onnx: MakeOnnx) -> None:
    def use_function(factor: float) -> Callable[[onnx.ModelProto], Any]:
        def edit(proto: onnx.ModelProto) -> None:
            constant = f"f = Constant <value: tensor = float[1] {{ {factor} }}> ()"
            text = f'<opset_import: ["" : 17], domain: "local"> double (x) => (y) {{ {constant} y = Mul (x, f) }}'
            proto.functions.append(parser.parse_function(text))
            proto.opset_import.append(helper.make_opsetid("local", 1))
            proto.graph.node[2].CopyFrom(helper.make_node("double", ["c"], ["scores"], domain="local"))

        return edit

    members = [(name, edited(make_onnx(name), use_function(factor))) for name, factor in (("a", 2.0), ("b", 3.0))]
    graph = compile_pool(members)
    assert not model(graph).functions
    assert verify_graph(graph, members, ROWS) <= 1e-6
    got = GraphSession(graph.model, graph.members).run(ROWS)
    np.testing.assert_allclose(got[:, 0] * 1.5, got[:, 1], rtol=1e-6)


def test_old_files_that_list_weights_as_inputs(make_onnx: MakeOnnx) -> None:
    def listed(proto: onnx.ModelProto) -> None:
        for name, shape in (("w", [4, 3]), ("b", [3])):
            proto.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    members = [("a", edited(make_onnx("a", seed=1), listed)), ("b", make_onnx("b", seed=2))]
    graph = compile_pool(members)
    assert [value.name for value in model(graph).graph.input] == ["input"]
    assert verify_graph(graph, members, ROWS) <= 1e-6


def test_what_cannot_be_fused_says_why(make_onnx: MakeOnnx) -> None:
    good = make_onnx("good")
    other = TensorSpec("input", "float32", (None, 5))
    refused = {
        "nothing to fuse": [],
        "same name": [("good", good), ("good", good)],
        "its format is skops; expected onnx": [("good", good), ("bad", replace(good, format="skops"))],
        "takes 2 tensors; expected one": [("bad", replace(good, tensors=(other, other)))],
        r"cannot be fused with 'good': it takes input\[N,5\] float32": [
            ("good", good),
            ("bad", replace(good, tensors=(other,))),
        ],
        "exactly one .onnx file": [("bad", replace(good, files=()))],
    }
    for told, members in refused.items():
        with pytest.raises(FormatRefused, match=told):
            compile_pool(members)
    (good.folder / "m.onnx").write_bytes(b"not a model")
    with pytest.raises(FormatRefused, match="Member 'good' cannot be read by onnx"):
        compile_pool([("good", good)])


def test_a_graph_without_the_output_is_refused(make_onnx: MakeOnnx) -> None:
    graph = compile_pool([("a", make_onnx("a"))])
    with pytest.raises(FormatRefused, match="answers for 1 members; expected 2; compile the pool again"):
        GraphSession(graph.model, ["a", "b"])
    with pytest.raises(FormatRefused, match="has no output 'a/scores'; compile the pool again"):
        GraphSession(graph.model, ["a"], outputs={"a": "a/scores"})


def test_parity_is_a_gate(make_onnx: MakeOnnx) -> None:
    members = [(name, make_onnx(name, seed=seed)) for seed, name in enumerate("ab")]
    graph = compile_pool(members)
    crossed = replace(graph, members=("b", "a"))
    with pytest.raises(ParityError, match="Member 'b' answers differently in the fused graph: off by"):
        verify_graph(crossed, members, ROWS)

    proto = model(graph)
    bias = next(tensor for tensor in proto.graph.initializer if tensor.name == "b/b")
    moved = onnx.numpy_helper.to_array(bias) + np.array([1e-4, 0, 0], np.float32)
    bias.CopyFrom(onnx.numpy_helper.from_array(moved, "b/b"))
    with pytest.raises(ParityError, match="Member 'b'"):
        verify_graph(replace(graph, model=proto.SerializeToString()), members, ROWS)


def test_another_label_is_no_parity_however_small_the_difference(make_onnx: MakeOnnx) -> None:
    """Two classes that tie: a difference below the tolerance turns the answer round."""
    nodes = (
        helper.make_node("MatMul", ["input", "w"], ["a"]),
        helper.make_node("Mul", ["a", "zero"], ["z"]),
        helper.make_node("Add", ["z", "tie"], ["scores"]),
        helper.make_node("ArgMax", ["a"], ["label"], axis=1, keepdims=0),
    )

    def tie(extra: float) -> Callable[[onnx.ModelProto], Any]:
        def edit(proto: onnx.ModelProto) -> None:
            for name, value in (("zero", [0.0]), ("tie", [0.5, 0.5 + extra, 0.0])):
                proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.float32), name))

        return edit

    alone = edited(make_onnx("alone", nodes=nodes), tie(0.0))
    fused = edited(make_onnx("fused", nodes=nodes), tie(2e-7))
    graph = compile_pool([("m", fused)])
    with pytest.raises(ParityError, match="gives row 0 another label"):
        verify_graph(graph, [("m", alone)], ROWS)


def test_values_are_compared_by_their_size_and_nan_is_like_nan(make_onnx: MakeOnnx) -> None:
    nodes = (
        helper.make_node("MatMul", ["input", "w"], ["a"]),
        helper.make_node("Mul", ["a", "scale"], ["scores"]),
        helper.make_node("ArgMax", ["a"], ["label"], axis=1, keepdims=0),
    )
    values = Signature("array", (TensorSpec("input", "float32", (None, 4)),), OutputSpec("values", names=tuple("xyz")))

    def scale(by: float) -> Callable[[onnx.ModelProto], Any]:
        def edit(proto: onnx.ModelProto) -> None:
            scale = np.array([by, 1.0, np.nan], np.float32)
            proto.graph.initializer.append(onnx.numpy_helper.from_array(scale, "scale"))

        return edit

    made = {"signature": values}
    alone, near, far = (
        edited(make_onnx(name, nodes=nodes, declared=made), scale(by))
        for name, by in (("alone", 1e6), ("near", 1e6 + 0.25), ("far", 1e6 + 50))
    )
    assert 0 < verify_graph(compile_pool([("m", near)]), [("m", alone)], ROWS) < 1e-6
    with pytest.raises(ParityError):
        verify_graph(compile_pool([("m", far)]), [("m", alone)], ROWS)


def test_doubles_and_values_without_an_axis_become_one_matrix(make_onnx: MakeOnnx) -> None:
    """float64 ``[n, 1]`` as some exporters answer, and float32 ``[n]``."""
    values = Signature("array", (TensorSpec("input", "float32", (None, 4)),), OutputSpec("values", names=("y",)))
    label = helper.make_node("ArgMax", ["a"], ["label"], axis=1, keepdims=0)
    product = helper.make_node("MatMul", ["input", "w"], ["a"])
    double = (
        product,
        helper.make_node("ReduceSum", ["a"], ["s"], keepdims=1, axes=[1]),
        helper.make_node("Cast", ["s"], ["scores"], to=TensorProto.DOUBLE),
        label,
    )
    flat = (product, helper.make_node("ReduceSum", ["a"], ["scores"], keepdims=0, axes=[1]), label)

    def answers(kind: int, shape: list[int | None]) -> Callable[[onnx.ModelProto], Any]:
        def edit(proto: onnx.ModelProto) -> None:
            proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("scores", kind, shape))

        return edit

    declared = {"signature": values}
    members = [
        ("double", edited(make_onnx("double", opset=12, nodes=double, declared=declared), answers(11, [None, 1]))),
        ("flat", edited(make_onnx("flat", opset=12, nodes=flat, declared=declared, seed=1), answers(1, [None]))),
    ]
    graph = compile_pool(members)
    assert verify_graph(graph, members, ROWS) == 0.0
    got = GraphSession(graph.model, graph.members).run(ROWS)
    assert (got.shape, got.dtype) == ((7, 2, 1), np.float32)


def test_members_may_call_their_one_tensor_as_they_like(make_onnx: MakeOnnx) -> None:
    def renamed(proto: onnx.ModelProto) -> None:
        proto.graph.input[0].name = proto.graph.node[0].input[0] = "b"  # as another member's weight is called

    tensors = (TensorSpec("b", "float32", (None, 4)),)
    other = edited(make_onnx("other", seed=1, declared={"tensors": tensors}), renamed)
    proto = onnx.load(other.folder / "m.onnx")
    proto.graph.initializer[1].name = proto.graph.node[1].input[1] = "bias"
    onnx.save(proto, other.folder / "m.onnx")
    members = [("plain", make_onnx("plain")), ("other", other)]
    for order in (members, members[::-1]):
        graph = compile_pool(order)
        assert verify_graph(graph, order, ROWS) <= 1e-6
