"""ONNX Runtime as a runtime: what it refuses, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from quorate.core.types import Artifact, OutputSpec, Signature, TensorSpec
from quorate.errors import FormatRefused, MemberCrashed, SignatureViolation
from quorate.runtimes.onnx import OnnxRuntime, inspect_onnx

MakeOnnx = Callable[..., Artifact]
ROWS = np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)


def test_a_file_says_what_it_takes_and_gives(make_onnx: MakeOnnx) -> None:
    inputs, outputs = inspect_onnx(make_onnx(shape=("batch", 4)).folder / "m.onnx")
    assert inputs == (TensorSpec("input", "float32", (None, 4)),)
    assert outputs == (TensorSpec("scores", "float32", (None, 3)), TensorSpec("label", "int64", (None,)))


def test_weights_beside_the_file_are_found(make_onnx: MakeOnnx) -> None:
    artifact = make_onnx("outside", external=True)
    inside, outside = (OnnxRuntime().load(a).run({"input": ROWS})["scores"] for a in (make_onnx("inside"), artifact))
    np.testing.assert_array_equal(inside, outside)
    (artifact.folder / "w.data").unlink()
    with pytest.raises(FormatRefused, match="ONNX Runtime"):
        OnnxRuntime().load(artifact)


def test_options_reach_onnx_runtime(make_onnx: MakeOnnx, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    real = ort.InferenceSession

    def spy(model: Any, options: ort.SessionOptions, providers: list[str]) -> ort.InferenceSession:
        seen.append((options, providers))
        return real(model, options, providers=providers)

    monkeypatch.setattr(ort, "InferenceSession", spy)
    OnnxRuntime().load(make_onnx("one"))
    OnnxRuntime().load(make_onnx("two", intra_op_threads=2, providers=["CPUExecutionProvider"]))
    (one, providers), (two, _) = seen
    assert providers == ["CPUExecutionProvider"]
    assert (one.intra_op_num_threads, one.inter_op_num_threads, two.intra_op_num_threads) == (1, 1, 2)
    assert one.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
    assert one.log_severity_level == 3
    assert one.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"shape": (1, 4)}, "fixes the first axis of its input input"),
        ({"declared": {"tensors": (TensorSpec("x", "float32", (None, 4)),)}}, "its file takes input"),
        ({"declared": {"tensors": (TensorSpec("input", "float64", (None, 4)),)}}, "its file takes input"),
        ({"declared": {"tensors": (TensorSpec("input", "float32", (None, 5)),)}}, "its file takes input"),
        ({"declared": {"tensors": (TensorSpec("input", "float32", (None, 4, 1)),)}}, "its file takes input"),
        ({"declared": {"output_name": "probabilities"}}, "has no output 'probabilities'; its file has scores"),
        ({"declared": {"output_name": "label"}}, r"must answer label\[N,3\]"),
        ({"declared": {"files": ("a.onnx", "b.onnx")}}, "exactly one"),
        ({"threads": 2}, "option 'threads'"),
        ({"intra_op_threads": 0}, "intra_op_threads to 0"),
        ({"providers": ["TpuExecutionProvider"]}, "expected some of"),
        ({"providers": "CPUExecutionProvider"}, "expected some of"),
    ],
)
def test_what_does_not_fit_is_refused_at_load(change: dict[str, Any], told: str, make_onnx: MakeOnnx) -> None:
    with pytest.raises(FormatRefused, match=told):
        OnnxRuntime().load(make_onnx(**change))


def test_what_is_not_a_model_is_refused(make_onnx: MakeOnnx) -> None:
    artifact = make_onnx()
    (artifact.folder / "m.onnx").write_bytes(b"not a model")
    with pytest.raises(FormatRefused, match="Model 'm' is not an ONNX file") as caught:
        OnnxRuntime().load(artifact)
    assert "\n" not in str(caught.value)


def test_a_dictionary_per_row_is_refused_with_the_remedy(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    model = to_onnx(LogisticRegression().fit(ROWS, [0, 1, 0, 1, 1]), ROWS)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FormatRefused, match=r"expected a tensor; export it with options=\{'zipmap': False\}"):
        inspect_onnx(tmp_path / "m.onnx")


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_fails_is_one_sentence(make_onnx: MakeOnnx) -> None:
    from onnx import helper

    nodes = (  # only two columns are there to be gathered from
        helper.make_node("Cast", ["input"], ["index"], to=7),
        helper.make_node("GatherElements", ["input", "index"], ["g"], axis=1),
        helper.make_node("MatMul", ["g", "w"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    )
    session = OnnxRuntime().load(make_onnx(nodes=nodes))
    with pytest.raises(MemberCrashed, match="Model 'm' failed in ONNX Runtime") as caught:
        session.run({"input": np.full((1, 4), 9, np.float32)})
    assert "\n" not in str(caught.value)
    assert session.run({"input": np.zeros((1, 4), np.float32)})["scores"].shape == (1, 3)


def test_another_width_than_declared_is_a_violation(make_onnx: MakeOnnx) -> None:
    from onnx import helper

    nodes = (  # squares the row: its true width shows at run time only
        helper.make_node("Transpose", ["input"], ["t"]),
        helper.make_node("MatMul", ["t", "input"], ["u"]),
        helper.make_node("MatMul", ["u", "w"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    )
    with pytest.raises(SignatureViolation, match=r"must answer scores\[1,3\] float32; got \[4,3\] float32"):
        OnnxRuntime().load(make_onnx(nodes=nodes)).run({"input": ROWS[:1]})


def test_one_value_per_row(make_onnx: MakeOnnx) -> None:
    output = Signature("array", (), OutputSpec("values", names=("label",)))
    artifact = make_onnx(declared={"signature": output, "output_name": "label"})
    got = OnnxRuntime().load(artifact).run({"input": ROWS})["label"]
    assert got.dtype == np.float32
    assert got.shape == (5, 1)


def test_a_model_of_one_tensor_takes_it_under_any_name(make_onnx: MakeOnnx) -> None:
    session = OnnxRuntime().load(make_onnx())
    np.testing.assert_array_equal(session.run({"anything": ROWS})["scores"], session.run({"input": ROWS})["scores"])
    with pytest.raises(SignatureViolation, match="float64"):
        session.run({"anything": ROWS.astype(np.float64)})
    with pytest.raises(SignatureViolation, match="no input"):
        session.run({"input": ROWS, "anything": ROWS})
